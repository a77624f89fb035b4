package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/trust/identity"
)

// forwarder sends operators' requests on to the leader, with the operators' own credentials, over connections that are kept.
type forwarder struct {
	identity   *identity.Source
	federation string
	logger     *slog.Logger

	mu        sync.Mutex
	leader    model.Node
	transport *http.Transport
}

// forwardIdle is shorter than the time after which a node closes idle connections: a request is never sent into one that closes.
const forwardIdle = 30 * time.Second

// to returns the transport for a leader; the former leader's connections are let go.
func (f *forwarder) to(leader model.Node) *http.Transport {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.transport != nil && f.leader == leader {
		return f.transport
	}
	if f.transport != nil {
		f.transport.CloseIdleConnections()
	}
	config := f.identity.ClientTLS(identity.MatchNode(f.federation, leader.Name))
	config.NextProtos = []string{"http/1.1"}
	f.leader = leader
	f.transport = &http.Transport{
		TLSClientConfig: config, ResponseHeaderTimeout: callTimeout, IdleConnTimeout: forwardIdle, MaxIdleConnsPerHost: 64,
	}
	return f.transport
}

// forward sends one request on and copies the answer.
func (f *forwarder) forward(w http.ResponseWriter, r *http.Request, leader model.Node) {
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(pr *httputil.ProxyRequest) { pr.SetURL(&url.URL{Scheme: "https", Host: leader.RESTAddress}) },
		Transport: f.to(leader),
		ErrorLog:  slog.NewLogLogger(f.logger.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			w.Header().Set("Retry-After", "1")
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintf(w, `{"title":"Service Unavailable","status":503,"detail":%q}`, "the leader "+leader.Name+" does not answer: "+err.Error())
		},
	}
	proxy.ServeHTTP(w, r)
}
