package xds

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

const (
	spreadWorkloads = 4
	spreadCalls     = 1000 * spreadWorkloads
)

// remote is a site "beta" of several workloads behind gateways, and a caller of site "alpha" that can reach them by way of gateways only.
type remote struct {
	apps  [spreadWorkloads]*httptest.Server
	calls [spreadWorkloads]atomic.Int64
	// http and http2 are where the caller's Envoy offers the service's two ports.
	http, http2 uint16
}

func startRemote(t *testing.T, gateways int) *remote {
	binary := findEnvoy(t)
	r := &remote{http: freePort(t), http2: freePort(t)}
	alpha, beta := newAuthority(t, "alpha.acme"), newAuthority(t, "beta.acme")
	trust := &snapshot.Trust{Bundles: []model.Bundle{alpha.bundle(), beta.bundle()}}
	far := &snapshot.Snapshot{Federation: "acme", Cluster: "beta", Trust: trust}
	plain, second := httpPort(8080), model.Port{Name: "grpc", Number: 9090, Protocol: model.ProtocolGRPC}
	var inbound, gates []route.Endpoint
	for i := range r.apps {
		r.apps[i] = r.app(t, i)
		target := r.apps[i].Listener.Addr().String()
		inbound = append(inbound, endpoint("127.0.0.1", freePort(t)))
		far.Workloads = append(far.Workloads, &snapshot.Workload{Callers: []string{"alpha.acme"}, Workload: model.Workload{
			ID: fmt.Sprint("server-", i), Service: payments, Address: "127.0.0.1", InboundPort: inbound[i].Port,
			Ports: []model.WorkloadPort{{Port: plain, Target: target}, {Port: second, Target: target}},
		}})
	}
	for i := range gateways {
		gates = append(gates, endpoint("127.0.0.1", freePort(t)))
		gate := &model.WorkloadGateway{Bind: loopback(gates[i].Port)}
		far.Workloads = append(far.Workloads, &snapshot.Workload{Workload: model.Workload{ID: fmt.Sprint("gate-", i), Gateway: gate}})
	}
	caller := &snapshot.Workload{Workload: model.Workload{ID: "web", Locality: here}}
	near := &snapshot.Snapshot{Federation: "acme", Cluster: "alpha", Trust: trust, Workloads: []*snapshot.Workload{caller}}
	for bind, port := range map[uint16]model.Port{r.http: plain, r.http2: second} {
		sp := served(payments, port, []string{paymentsID}, one(group("beta", "us", gates...)))
		near.Services = append(near.Services, sp)
		caller.Calls = append(caller.Calls, snapshot.Call{Bind: loopback(bind), SNI: sp.SNI})
		far.Passthrough = append(far.Passthrough, &snapshot.Passthrough{SNI: sp.SNI, Protocol: port.Protocol, Endpoints: inbound})
	}
	seal(far)
	for _, w := range far.Workloads {
		startMember(t, binary, far, w.ID, beta, paymentsID)
	}
	startMember(t, binary, seal(near), "web", alpha, webID)
	return r
}

func startMember(t *testing.T, binary string, s *snapshot.Snapshot, id string, a *authority, uri string) {
	set := generate(t, s, id)
	set[SecretType] = append(set[SecretType], NewDefaultSecret(a.issue(t, uri)))
	startEnvoy(t, binary, id, set)
}

// app counts its calls. It speaks HTTP/1.1 and, as a gRPC application would, HTTP/2 without TLS.
func (r *remote) app(t *testing.T, i int) *httptest.Server {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		r.calls[i].Add(1)
		_, _ = io.WriteString(w, "ok")
	}))
	s.Config.Protocols = &http.Protocols{}
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// TestLoadIsSpread calls four workloads behind a passthrough gateway, where a connection leads to one of them, with few and with many
// callers at a time: none of the workloads may get more than twice its share.
func TestLoadIsSpread(t *testing.T) {
	for _, gateways := range []int{1, 2} {
		t.Run(fmt.Sprint(gateways, " gateways"), func(t *testing.T) {
			r := startRemote(t, gateways)
			t.Logf("| gateways | callers' protocol | callers | calls per workload |")
			for _, callers := range []int{1, 8, 64} {
				t.Logf("| %d | HTTP/1.1 | %d | %s |", gateways, callers, r.load(t, r.http, false, callers))
				t.Logf("| %d | HTTP/2 | %d | %s |", gateways, callers, r.load(t, r.http2, true, callers))
			}
		})
	}
}

// load makes the calls from so many callers, each of which waits for its answer, and returns how many each workload got.
func (r *remote) load(t *testing.T, port uint16, http2 bool, callers int) string {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: callers, Protocols: &http.Protocols{}}
	transport.Protocols.SetHTTP1(!http2)
	transport.Protocols.SetUnencryptedHTTP2(http2)
	client := &http.Client{Transport: transport}
	defer client.CloseIdleConnections()
	url := "http://" + loopback(port) + "/"
	eventually(t, "call through the gateway", expect(client, "GET", url, 200, "ok"))
	for i := range r.calls {
		r.calls[i].Store(0)
	}
	if err := callAll(client, url, callers); err != nil {
		t.Errorf("%d callers: %v", callers, err)
	}
	var counts []string
	for i := range r.calls {
		n := r.calls[i].Load()
		counts = append(counts, fmt.Sprint(n))
		if n > 2*spreadCalls/spreadWorkloads {
			t.Errorf("workload %d got %d of %d calls by %d callers (HTTP/2: %v), more than twice its share", i, n, spreadCalls, callers, http2)
		}
	}
	slices.Sort(counts)
	return strings.Join(counts, ", ")
}

func callAll(client *http.Client, url string, callers int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var left atomic.Int64
	left.Store(spreadCalls)
	failed := make(chan error, callers)
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			for left.Add(-1) >= 0 && ctx.Err() == nil {
				if err := expect(client, "GET", url, 200, "ok")(); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	running.Wait()
	close(failed)
	var all error
	for err := range failed {
		all = errors.Join(all, err)
	}
	return errors.Join(all, ctx.Err())
}
