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

// forwarder sends operators' requests on to other nodes, the leader above all, with the operators' own credentials, over connections
// that are kept.
type forwarder struct {
	identity   *identity.Source
	federation string
	logger     *slog.Logger

	mu    sync.Mutex
	known map[string]forwardTo
}

// forwardTo is a node as it was last sent to.
type forwardTo struct {
	node      model.Node
	transport *http.Transport
}

// forwardIdle is shorter than the time after which a node closes idle connections: a request is never sent into one that closes.
const forwardIdle = 30 * time.Second

// to returns the transport for a node; connections to where it was before are let go.
func (f *forwarder) to(node model.Node) *http.Transport {
	f.mu.Lock()
	defer f.mu.Unlock()
	held, ok := f.known[node.Name]
	switch {
	case ok && held.node == node:
		return held.transport
	case ok:
		held.transport.CloseIdleConnections()
	case f.known == nil:
		f.known = map[string]forwardTo{}
	}
	config := f.identity.ClientTLS(identity.MatchNode(f.federation, node.Name))
	config.NextProtos = []string{"http/1.1"}
	transport := &http.Transport{
		TLSClientConfig: config, ResponseHeaderTimeout: callTimeout, IdleConnTimeout: forwardIdle, MaxIdleConnsPerHost: 64,
	}
	f.known[node.Name] = forwardTo{node, transport}
	return transport
}

// forward sends one request on and copies the answer.
func (f *forwarder) forward(w http.ResponseWriter, r *http.Request, node model.Node) {
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(pr *httputil.ProxyRequest) { pr.SetURL(&url.URL{Scheme: "https", Host: node.RESTAddress}) },
		Transport: f.to(node),
		ErrorLog:  slog.NewLogLogger(f.logger.Handler(), slog.LevelDebug),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			w.Header().Set("Retry-After", "1")
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintf(w, `{"title":"Service Unavailable","status":503,"detail":%q}`, "node "+node.Name+" does not answer: "+err.Error())
		},
	}
	proxy.ServeHTTP(w, r)
}
