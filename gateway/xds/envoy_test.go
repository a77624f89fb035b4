package xds

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

const (
	webID      = "spiffe://alpha.acme/ns/shop/sa/web"
	paymentsID = "spiffe://beta.acme/ns/shop/sa/payments"
)

// federation is two sites with real Envoys: "alpha" with a caller, "beta" with two servers and a gateway. Gamma is trusted by both and
// may do nothing.
type federation struct {
	t                     *testing.T
	alpha, beta, gamma    *authority
	site, far             *snapshot.Snapshot
	apps                  [2]*httptest.Server
	inbound               [2]uint16
	gate, http, tcp, open uint16
	vip                   netip.AddrPort
	envoys                map[string]*process
}

func startFederation(t *testing.T) *federation {
	binary := findEnvoy(t)
	f := &federation{
		t: t, alpha: newAuthority(t, "alpha.acme"), beta: newAuthority(t, "beta.acme"), gamma: newAuthority(t, "gamma.acme"),
		apps:    [2]*httptest.Server{httpApp(t, "first"), httpApp(t, "second")},
		inbound: [2]uint16{freePort(t), freePort(t)},
		gate:    freePort(t), http: freePort(t), tcp: freePort(t), open: freePort(t),
		vip:    netip.AddrPortFrom(netip.MustParseAddr("127.77.1.2"), 8080),
		envoys: map[string]*process{},
	}
	f.describe(tcpApp(t))
	for _, w := range f.far.Workloads {
		f.start(binary, f.far, w.ID, f.beta, paymentsID)
	}
	f.start(binary, f.site, "web", f.alpha, webID)
	return f
}

// describe makes both sites' snapshots; every later change is made to them and pushed.
func (f *federation) describe(tcpTarget string) {
	trust := &snapshot.Trust{Bundles: []model.Bundle{f.alpha.bundle(), f.beta.bundle(), f.gamma.bundle()}}
	gate := endpoint("127.0.0.1", f.gate)
	gate.Gateway = true
	web := served(payments, httpPort(8080), []string{paymentsID}, one(group("beta", "us", gate)))
	web.VIP = f.vip.Addr()
	db := served(payments, tcpPort(5432), []string{paymentsID}, one(group("beta", "us", gate)))
	caller := model.Workload{ID: "web", Locality: here, Open: &model.OpenUpstreams{HTTPBind: loopback(f.open), VIPs: true}}
	f.site = &snapshot.Snapshot{
		Federation: "acme", Cluster: "alpha", Trust: trust, Services: []*snapshot.ServicePort{web, db},
		Workloads: []*snapshot.Workload{{Workload: caller, Calls: []snapshot.Call{
			{Bind: loopback(f.http), SNI: web.SNI}, {Bind: loopback(f.tcp), SNI: db.SNI},
		}}},
	}
	gateway := model.Workload{ID: "gate", Gateway: &model.WorkloadGateway{Bind: loopback(f.gate)}}
	first := endpoint("127.0.0.1", f.inbound[0])
	f.far = &snapshot.Snapshot{
		Federation: "acme", Cluster: "beta", Trust: trust,
		Workloads: []*snapshot.Workload{{Workload: gateway}},
		Passthrough: []*snapshot.Passthrough{
			{SNI: web.SNI, Protocol: web.Port.Protocol, Endpoints: []route.Endpoint{first}},
			{SNI: db.SNI, Protocol: db.Port.Protocol, Endpoints: []route.Endpoint{first}},
		},
	}
	for i, app := range f.apps {
		f.far.Workloads = append(f.far.Workloads, &snapshot.Workload{Callers: []string{"alpha.acme", "beta.acme"}, Workload: model.Workload{
			ID: fmt.Sprint("server-", i), Service: payments, Address: "127.0.0.1", InboundPort: f.inbound[i],
			Ports: []model.WorkloadPort{
				{Port: httpPort(8080), Target: app.Listener.Addr().String()}, {Port: tcpPort(5432), Target: tcpTarget},
			},
		}})
	}
	seal(f.site)
	seal(f.far)
}

func (f *federation) start(binary string, s *snapshot.Snapshot, id string, a *authority, uri string) {
	set := generate(f.t, s, id)
	set[SecretType] = append(set[SecretType], NewDefaultSecret(a.issue(f.t, uri)))
	f.envoys[id] = startEnvoy(f.t, binary, id, set)
}

// push gives an Envoy what its snapshot says now. It keeps its certificate.
func (f *federation) push(s *snapshot.Snapshot, id string) {
	f.t.Helper()
	set := generate(f.t, seal(s), id)
	held, _ := f.envoys[id].current()
	set[SecretType] = append(set[SecretType], find(held[SecretType], DefaultSecret))
	f.envoys[id].Set(set)
}

func (f *federation) url() string { return "http://" + loopback(f.http) + "/" }

// reach sends the HTTP calls of alpha to these endpoints, a priority each.
func (f *federation) reach(to ...route.Endpoint) {
	f.t.Helper()
	var priorities []route.Priority
	for i, e := range to {
		priorities = append(priorities, one(group(fmt.Sprint("c", i), "us", e)))
	}
	service(f.site, payments, 8080).Assignments[0].Assignment.Priorities = priorities
	f.push(f.site, "web")
}

// TestEnvoys shows that real Envoys accept every resource and do what the resources are for. Its parts build on each other, because
// each Envoy costs a process.
func TestEnvoys(t *testing.T) {
	f := startFederation(t)
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	sni, dbSNI := model.PassthroughSNI(payments, 8080), model.PassthroughSNI(payments, 5432)

	eventually(t, "call through the gateway", expect(client, "GET", f.url(), 200, "first"))
	t.Run("the application learns who calls and cannot use the mesh's header", func(t *testing.T) {
		a, err := call(client, "GET", f.url(), "payments")
		if err != nil || !strings.Contains(a.body, "URI="+webID) || !strings.Contains(a.body, "host=payments ") {
			t.Errorf("%+v, %v", a, err)
		}
		if a.header.Get(notReachedHeader) != "" || a.header.Get("Server") != "app" {
			t.Errorf("headers: %v", a.header)
		}
	})
	t.Run("websocket", func(t *testing.T) { testUpgrade(t, loopback(f.http)) })
	t.Run("tcp", func(t *testing.T) {
		eventually(t, "tcp call through the gateway", func() error { return echo(loopback(f.tcp)) })
	})
	t.Run("open mode", func(t *testing.T) { testOpen(t, f, client) })
	t.Run("gateway", func(t *testing.T) { testGateway(t, f) })
	t.Run("a caller that is not permitted", func(t *testing.T) { testRefused(t, f, sni, dbSNI) })
	t.Run("a change of callers is obeyed on the open connection", func(t *testing.T) {
		server := workload(f.far, "server-0")
		server.Callers = []string{"beta.acme"}
		f.push(f.far, "server-0")
		eventually(t, "refused", expect(client, "GET", f.url(), 403, "RBAC"))
		server.Callers = []string{"alpha.acme", "beta.acme"}
		f.push(f.far, "server-0")
		eventually(t, "allowed", expect(client, "GET", f.url(), 200, "first"))
	})
	t.Run("a withdrawn SNI ends its own sessions only", func(t *testing.T) { testWithdrawn(t, f) })
	t.Run("a frozen gateway", func(t *testing.T) { testFrozen(t, f, client) })
	t.Run("a workload that is not ready", func(t *testing.T) { testUnready(t, f, client) })
	t.Run("a frozen workload", func(t *testing.T) { testFrozenWorkload(t, f) })
	t.Run("an impostor", func(t *testing.T) { testImpostor(t, f, client) })
	t.Run("a dead application is left at once for another", func(t *testing.T) { testNotReached(t, f, client) })
}

func echo(address string) error {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		return err
	}
	r := bufio.NewReader(conn)
	banner, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	line, err := r.ReadString('\n')
	if err != nil || banner != "banner\n" || line != "hello\n" {
		return fmt.Errorf("%q, %q, %w", banner, line, err)
	}
	return nil
}

func testUpgrade(t *testing.T, address string) {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%+v, %v", res, err)
	}
	_, _ = io.WriteString(conn, "ping\n")
	if line, err := r.ReadString('\n'); line != "echo ping\n" {
		t.Errorf("%q, %v", line, err)
	}
}

func testOpen(t *testing.T, f *federation, client *http.Client) {
	for host, want := range map[string]int{
		"payments.shop": 200, "payments.shop.svc.clusterset.local": 200, "payments.shop:8080": 200, "payments.shop:1": 200,
		"ledger.bank": 404, "other": 404,
	} {
		eventually(t, "host "+host, func() error {
			a, err := call(client, "GET", "http://"+loopback(f.open)+"/", host)
			if err == nil && a.status != want {
				err = fmt.Errorf("%d, want %d", a.status, want)
			}
			return err
		})
	}
	eventually(t, "virtual address", expect(client, "GET", "http://"+f.vip.String()+"/", 200, "first"))
}

func testGateway(t *testing.T, f *federation) {
	probe := &http.Client{Transport: &http.Transport{TLSClientConfig: f.alpha.dialer(t, model.GatewaySNI("beta", "acme"), "spiffe://alpha.acme/agent")}}
	defer probe.CloseIdleConnections()
	eventually(t, "probe", expect(probe, "GET", "https://"+loopback(f.gate)+"/", 200, "ok"))
	for _, sni := range []string{"p.9999.payments.shop.svc.clusterset.local", "gateway.alpha.acme", ""} {
		conn, err := tls.Dial("tcp", loopback(f.gate), f.alpha.dialer(t, sni, webID))
		if err == nil {
			_ = conn.Close()
			t.Errorf("SNI %q is accepted", sni)
		}
	}
	stranger := newAuthority(t, "alpha.acme")
	config := stranger.dialer(t, model.GatewaySNI("beta", "acme"), "spiffe://alpha.acme/agent")
	unknown := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	if a, err := call(unknown, "GET", "https://"+loopback(f.gate)+"/", ""); err == nil {
		t.Errorf("a probe under a foreign root is answered: %+v", a)
	}
}

// testRefused calls a server directly, as callers who may not: gamma under its own name, and gamma that adds a name of alpha.
func testRefused(t *testing.T, f *federation, sni, dbSNI string) {
	const gammaID = "spiffe://gamma.acme/ns/shop/sa/web"
	at := loopback(f.inbound[0])
	for name, uris := range map[string][]string{
		"of another domain": {gammaID}, "two names": {gammaID, webID}, "two names, the other first": {webID, gammaID},
	} {
		web := &http.Client{Transport: &http.Transport{TLSClientConfig: f.gamma.dialer(t, sni, uris...)}}
		a, err := call(web, "GET", "https://"+at+"/", "")
		web.CloseIdleConnections()
		if err == nil && a.status != http.StatusForbidden {
			t.Errorf("http, %s: %d %q", name, a.status, a.body)
		}
		if err != nil && len(uris) == 1 {
			t.Errorf("http, %s: no answer that says why: %v", name, err)
		}
		dialer := tls.Dialer{Config: f.gamma.dialer(t, dbSNI, uris...)}
		line, err := firstLine(func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", at) })
		if err == nil {
			t.Errorf("tcp, %s: heard %q", name, line)
		}
	}
	dialer := tls.Dialer{Config: f.alpha.dialer(t, dbSNI, webID)}
	if line, err := firstLine(func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", at) }); err != nil {
		t.Errorf("tcp, permitted: %q, %v", line, err)
	}
	anonymous := tls.Dialer{Config: &tls.Config{ServerName: dbSNI, InsecureSkipVerify: true}}
	if line, err := firstLine(func(ctx context.Context) (net.Conn, error) { return anonymous.DialContext(ctx, "tcp", at) }); err == nil {
		t.Errorf("tcp, without a certificate: heard %q", line)
	}
}

// testImpostor lets servers that are not payments answer for it.
func testImpostor(t *testing.T, f *federation, client *http.Client) {
	forger := newAuthority(t, "beta.acme")
	for name, c := range map[string]struct {
		by   *authority
		uris []string
		want int
	}{
		"payments itself":                 {f.beta, []string{paymentsID}, 200},
		"another service":                 {f.beta, []string{"spiffe://beta.acme/ns/shop/sa/other"}, 503},
		"another domain's payments":       {f.gamma, []string{"spiffe://gamma.acme/ns/shop/sa/payments"}, 503},
		"another root of the domain":      {forger, []string{paymentsID}, 503},
		"a name signed by another domain": {f.gamma, []string{paymentsID}, 503},
		"a second name":                   {f.gamma, []string{"spiffe://gamma.acme/x", paymentsID}, 503},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
			s.EnableHTTP2 = true
			var said safeBuffer
			s.Config.ErrorLog = log.New(&said, "", 0)
			s.TLS = c.by.dialer(t, "", c.uris...)
			s.StartTLS()
			defer s.Close()
			at := s.Listener.Addr().(*net.TCPAddr)
			f.reach(endpoint("127.0.0.1", uint16(at.Port)))
			if c.want == 200 {
				eventually(t, "call", expect(client, "GET", f.url(), 200, name))
				return
			}
			eventually(t, "refusal of its certificate", func() error {
				err := expect(client, "GET", f.url(), c.want, "connection failure")()
				if !strings.Contains(said.String(), "remote error: tls") {
					err = errors.Join(err, errors.New("the impostor saw no refusal"))
				}
				return err
			})
		})
	}
}

func testNotReached(t *testing.T, f *federation, client *http.Client) {
	f.reach(endpoint("127.0.0.1", f.inbound[0]), endpoint("127.0.0.1", f.inbound[1]))
	eventually(t, "call to the first", expect(client, "GET", f.url(), 200, "first"))
	t.Run("crash", func(t *testing.T) {
		if err := expect(client, "GET", f.url()+"crash", 200, "second")(); err != nil {
			t.Errorf("GET: %v", err)
		}
		if a, err := call(client, "POST", f.url()+"crash", ""); err != nil || a.status != 503 {
			t.Errorf("a POST that may have been acted upon is repeated: %+v, %v", a, err)
		}
	})
	f.apps[0].Close()
	// A request that meets the close itself is not repeated.
	eventually(t, "call to the second", expect(client, "POST", f.url(), 200, "second"))
	for range 20 {
		a, err := call(client, "POST", f.url(), "")
		if err != nil || a.status != 200 || !strings.Contains(a.body, "second") {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	f.apps[1].Close()
	eventually(t, "nobody left", expect(client, "POST", f.url(), 503, "connection"))
	if a, err := call(client, "POST", f.url(), ""); err != nil || a.header.Get(notReachedHeader) != "" {
		t.Errorf("the mesh's header leaves the mesh: %+v, %v", a, err)
	}
}
