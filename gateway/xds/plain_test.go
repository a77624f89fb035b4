package xds

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/gateway/route"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

// pods is two clusters without an Envoy beside any workload: "alpha" with an egress gateway, "beta" with a gateway that answers for its pods.
// What the Envoys get follows from facts, as an agent has them; every change is made to those.
type pods struct {
	t                  *testing.T
	alpha, beta, gamma *authority
	near, far          snapshot.Inputs
	apps               map[string]*httptest.Server
	gate               uint16
	egress             map[snapshot.EgressPort]uint16
	envoys             map[string]*process
}

var (
	udpPort  = model.Port{Name: "dns", Number: 53, Protocol: model.ProtocolUDP}
	h2Port   = model.Port{Name: "h2", Number: 9090, Protocol: model.ProtocolHTTP2}
	podPorts = []model.Port{httpPort(8080), tcpPort(5432), udpPort, h2Port}
)

func startPods(t *testing.T) *pods {
	binary := findEnvoy(t)
	p := &pods{
		t: t, alpha: newAuthority(t, "alpha.acme"), beta: newAuthority(t, "beta.acme"), gamma: newAuthority(t, "gamma.acme"),
		gate: freePort(t), apps: map[string]*httptest.Server{}, egress: map[snapshot.EgressPort]uint16{}, envoys: map[string]*process{},
	}
	for _, port := range podPorts {
		p.egress[snapshot.EgressPort{Service: payments, Number: port.Number, UDP: port.Protocol == model.ProtocolUDP}] = freePort(t)
	}
	p.describe()
	p.start(binary, p.far, "gate", p.beta, model.GatewayServiceAccount)
	p.start(binary, p.near, "egress", p.alpha, model.EgressServiceAccount)
	return p
}

// describe makes up both clusters: beta has two pods, alpha none yet.
func (p *pods) describe() {
	members := map[model.ClusterName]model.Cluster{}
	var bundles []model.Bundle
	for i, a := range []*authority{p.alpha, p.beta, p.gamma} {
		name := model.ClusterName(strings.TrimSuffix(a.domain, ".acme"))
		members[name] = model.Cluster{Name: name, Incarnation: uint64(i + 1), TrustDomain: a.domain, Region: string(name), ExportNamespaces: []string{"*"}}
		bundle := a.bundle()
		bundle.Sequence = 1
		bundles = append(bundles, bundle)
	}
	// Gamma is a member that may call nothing.
	rules := []policy.ExportRule{{Name: "shop", Spec: policy.ExportRuleSpec{From: []string{"*"}, Namespaces: []string{"shop"}, To: []string{"alpha", "beta"}}}}
	site := func(name model.ClusterName) snapshot.Inputs {
		return snapshot.Inputs{Federation: "acme", Cluster: name, TrustDomain: string(name) + ".acme", Members: members, Bundles: bundles, Exports: rules}
	}
	p.near, p.far = site("alpha"), site("beta")
	p.near.EgressPorts = p.egress
	p.near.Failover = []policy.FailoverPolicy{{Name: "far", Spec: policy.FailoverPolicySpec{Failover: []policy.RegionOrder{{From: "*", To: []string{"us"}}}}}}
	p.near.Gateways = map[model.ClusterName][]route.GatewayPoint{"beta": {{Address: "127.0.0.1", Port: p.gate}}}
	p.near.Workloads = []model.Workload{{ID: "egress", Namespace: model.SystemNamespace, ServiceAccount: "egress", Locality: here, Egress: &model.WorkloadEgress{Bind: "127.0.0.1"}}}
	p.far.Workloads = []model.Workload{
		{ID: "gate", Namespace: model.SystemNamespace, ServiceAccount: "gateway", Locality: here, Gateway: &model.WorkloadGateway{Bind: loopback(p.gate)}},
		p.pod("far-1"), p.pod("far-2"),
	}
	p.far.OwnExports = []model.ServiceExport{{Service: payments, CreatedAt: time.Unix(2, 0), Ports: podPorts, IPFamilies: []model.IPFamily{model.IPv4}}}
	p.offer(model.ServiceRecord{Terminated: []model.Capacity{{Locality: model.Locality{Region: "us"}, Ready: 2, Total: 2}}})
}

// offer is what beta says of the service.
func (p *pods) offer(r model.ServiceRecord) {
	r.Service, r.Ports, r.Export = payments, podPorts, &p.far.OwnExports[0]
	p.near.Imports = []snapshot.Import{{Cluster: "beta", Record: r}}
}

// pod is a new pod that answers with its name on each port.
func (p *pods) pod(name string) model.Workload {
	p.apps[name] = httpApp(p.t, name)
	targets := []string{p.apps[name].Listener.Addr().String(), tcpApp(p.t), udpApp(p.t, name), h2App(p.t, name)}
	w := model.Workload{ID: name, Service: payments, Namespace: "shop", Locality: here, Plain: true, Export: true, Health: model.WorkloadHealth{Ready: true}}
	for i, port := range podPorts {
		w.Ports = append(w.Ports, model.WorkloadPort{Port: port, Target: targets[i]})
	}
	return w
}

func (p *pods) start(binary string, in snapshot.Inputs, id string, a *authority, account string) {
	set := generate(p.t, snapshot.Build(in), id)
	set[SecretType] = append(set[SecretType], NewDefaultSecret(a.issue(p.t, model.WorkloadID(a.domain, model.SystemNamespace, account))))
	p.envoys[id] = startEnvoy(p.t, binary, id, set)
}

func (p *pods) push(in snapshot.Inputs, id string) {
	p.t.Helper()
	set := generate(p.t, snapshot.Build(in), id)
	held, _ := p.envoys[id].current()
	set[SecretType] = append(set[SecretType], find(held[SecretType], DefaultSecret))
	p.envoys[id].Set(set)
}

func (p *pods) at(port model.Port) string {
	return loopback(p.egress[snapshot.EgressPort{Service: payments, Number: port.Number, UDP: port.Protocol == model.ProtocolUDP}])
}

func (p *pods) url() string { return "http://" + p.at(podPorts[0]) + "/" }

// h2App answers by HTTP/2 without TLS, and by nothing else.
func h2App(t *testing.T, name string) string {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s by %s", name, r.Proto)
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// udpApp answers each datagram with its name and what it got.
func udpApp(t *testing.T, name string) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 2000)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				_, _ = conn.WriteTo([]byte(name+" "+string(buffer[:n])), from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return conn.LocalAddr().String()
}

// ask sends one datagram on a socket of its own and returns the answer.
func ask(address, text string) (string, error) {
	conn, err := net.Dial("udp", address)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		return "", err
	}
	buffer := make([]byte, 2000)
	n, err := conn.Read(buffer)
	return string(buffer[:n]), err
}

func asked(address, want string) func() error {
	return func() error {
		got, err := ask(address, "ping")
		if err == nil && !strings.Contains(got, want) {
			err = fmt.Errorf("%q, want %q", got, want)
		}
		return err
	}
}

// calls makes so many and tells who answered; none may fail.
func (p *pods) calls(client *http.Client, method string, n int) map[string]int {
	p.t.Helper()
	by := map[string]int{}
	for range n {
		a, err := call(client, method, p.url(), "")
		if err != nil || a.status != 200 {
			p.t.Fatalf("%s: %+v, %v", method, a, err)
		}
		name, _, _ := strings.Cut(a.body, " ")
		by[name]++
	}
	return by
}

// TestPods shows that real Envoys call workloads that have none. Its parts build on each other, because each Envoy costs a process.
func TestPods(t *testing.T) {
	p := startPods(t)
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	eventually(t, "call through the gateway that answers for the pods", expect(client, "GET", p.url(), 200, "far-"))
	t.Run("calls of one connection are spread, and say who calls", func(t *testing.T) {
		if by := p.calls(client, "POST", 40); by["far-1"] < 5 || by["far-2"] < 5 {
			t.Errorf("spread %v", by)
		}
		a, err := call(client, "GET", p.url(), "payments")
		if err != nil || !strings.Contains(a.body, "URI=spiffe://alpha.acme/ns/hanse-system/sa/egress") || !strings.Contains(a.body, "host=payments ") || a.header.Get(notReachedHeader) != "" {
			t.Errorf("%+v, %v", a, err)
		}
	})
	t.Run("websocket", func(t *testing.T) { testUpgrade(t, p.at(podPorts[0])) })
	t.Run("tcp", func(t *testing.T) {
		eventually(t, "session", func() error { return echo(p.at(podPorts[1])) })
	})
	t.Run("udp", func(t *testing.T) {
		eventually(t, "datagram", asked(p.at(udpPort), "far-"))
		for range 10 {
			if err := asked(p.at(udpPort), "far-")(); err != nil {
				t.Errorf("the first datagram of a session is lost: %v", err)
			}
		}
	})
	t.Run("http2", func(t *testing.T) {
		eventually(t, "call", expect(client, "POST", "http://"+p.at(h2Port)+"/", 200, "by HTTP/2.0"))
	})
	t.Run("pods are rolled", func(t *testing.T) { testRolled(t, p) })
	t.Run("strangers", func(t *testing.T) { testStrangers(t, p) })
	t.Run("a pod that dies", func(t *testing.T) { testPodDies(t, p, client) })
	t.Run("pods of the own cluster", func(t *testing.T) { testOwnPods(t, p, client) })
	t.Run("own Envoys come first", func(t *testing.T) { testPassedFirst(t, p, client) })
	t.Run("a frozen gateway", func(t *testing.T) { testFrozenTerminator(t, p, client) })
	t.Run("one client address, one pod", func(t *testing.T) { testAffinity(t, p) })
}

// testStrangers calls pods as who may not: under no certificate, under another root, and as a member that no rule names.
func testStrangers(t *testing.T, p *pods) {
	at := loopback(p.gate)
	for _, port := range podPorts {
		sni := model.TerminatedSNI(payments, port)
		anonymous := tls.Dialer{Config: &tls.Config{ServerName: sni, InsecureSkipVerify: true, NextProtos: []string{"h2"}}}
		if line, err := firstLine(func(ctx context.Context) (net.Conn, error) { return anonymous.DialContext(ctx, "tcp", at) }); err == nil {
			t.Errorf("%s without a certificate: heard %q", sni, line)
		}
	}
	sni := model.TerminatedSNI(payments, podPorts[0])
	for name, c := range map[string]struct {
		by   *authority
		uris []string
		want int
	}{
		"permitted":           {p.alpha, []string{"spiffe://alpha.acme/ns/hanse-system/sa/egress"}, 200},
		"no rule":             {p.gamma, []string{"spiffe://gamma.acme/ns/hanse-system/sa/egress"}, 403},
		"another root":        {newAuthority(t, "alpha.acme"), []string{"spiffe://alpha.acme/ns/hanse-system/sa/egress"}, 0},
		"a second name":       {p.gamma, []string{"spiffe://gamma.acme/x", "spiffe://alpha.acme/x"}, 403},
		"another's name":      {p.gamma, []string{"spiffe://alpha.acme/x"}, 0},
		"names, theirs first": {p.gamma, []string{"spiffe://alpha.acme/x", "spiffe://gamma.acme/x"}, 0},
	} {
		web := &http.Client{Transport: &http.Transport{TLSClientConfig: c.by.dialer(t, sni, c.uris...)}}
		a, err := call(web, "GET", "https://"+at+"/", "")
		web.CloseIdleConnections()
		if (err == nil) != (c.want != 0) || a.status != c.want {
			t.Errorf("http, %s: %+v, %v; want %d", name, a, err, c.want)
		}
		dialer := tls.Dialer{Config: c.by.dialer(t, model.TerminatedSNI(payments, podPorts[1]), c.uris...)}
		line, err := firstLine(func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", at) })
		if (err == nil) != (c.want == 200) {
			t.Errorf("tcp, %s: heard %q, %v", name, line, err)
		}
	}
}

// testRolled replaces pods one by one, each leaving once the gateway has taken it out, while calls go on: none fails, whatever its method.
func testRolled(t *testing.T, p *pods) {
	ctx, stop := context.WithCancel(context.Background())
	failed := make(chan error, 4)
	for range cap(failed) {
		go func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				if err := expect(client, "POST", p.url(), 200, "far-")(); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for i := range 2 {
		old := p.far.Workloads[1+i]
		p.far.Workloads = slices.Clone(p.far.Workloads)
		p.far.Workloads[1+i] = p.pod(fmt.Sprint("far-", 11+i))
		p.push(p.far, "gate")
		eventually(t, old.ID+" is out", func() error {
			a, err := call(p.envoys["gate"].admin, "GET", "http://admin/clusters", "")
			if strings.Contains(a.body, old.Ports[0].Target) {
				err = errors.New("it is in still")
			}
			return err
		})
		p.apps[old.ID].Close()
	}
	stop()
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	for i := range 2 {
		p.apps[fmt.Sprint("far-", 1+i)] = p.apps[fmt.Sprint("far-", 11+i)]
	}
}

// testPodDies closes pods: no call fails, whatever its method, while another pod lives, and the gateway says which calls reached nobody.
func testPodDies(t *testing.T, p *pods, client *http.Client) {
	p.apps["far-1"].Close()
	if by := p.calls(client, "POST", 60); by["far-11"] > 0 {
		t.Errorf("answered by the dead: %v", by)
	}
	p.apps["far-2"].Close()
	eventually(t, "nobody left", expect(client, "POST", p.url(), 503, ""))
	if a, err := call(client, "POST", p.url(), ""); err != nil || a.header.Get(notReachedHeader) != "" {
		t.Errorf("the mesh's header leaves the mesh: %+v, %v", a, err)
	}
	p.near.Workloads = append(p.near.Workloads, p.pod("near-1"))
	p.near.Workloads[1].Locality = model.Locality{Region: "asia"}
	p.push(p.near, "egress")
	eventually(t, "the other cluster", expect(client, "POST", p.url(), 200, "near-1"))
	if by := p.calls(client, "POST", 20); by["near-1"] != 20 {
		t.Errorf("answered by %v", by)
	}
	p.far.Workloads = append(p.far.Workloads[:1:1], p.pod("far-3"), p.pod("far-4"))
	p.push(p.far, "gate")
}

// testOwnPods has calls stay in the cluster while a pod there is ready, directly and in the clear.
func testOwnPods(t *testing.T, p *pods, client *http.Client) {
	p.near.Workloads[1].Locality = here
	p.push(p.near, "egress")
	eventually(t, "own pod", expect(client, "GET", p.url(), 200, "near-1"))
	eventually(t, "no other", func() error {
		for range 20 {
			if err := expect(client, "POST", p.url(), 200, "near-1 host="+p.at(podPorts[0])+" xfcc=")(); err != nil {
				return err
			}
		}
		return nil
	})
	eventually(t, "session", func() error { return echo(p.at(podPorts[1])) })
	eventually(t, "datagram", asked(p.at(udpPort), "near-1"))
	eventually(t, "http2", expect(client, "POST", "http://"+p.at(h2Port)+"/", 200, "near-1 by HTTP/2.0"))
	testUpgrade(t, p.at(podPorts[0]))
	p.apps["near-1"].Close()
	if by := p.calls(client, "POST", 40); by["far-3"]+by["far-4"] != 40 {
		t.Errorf("answered by %v", by)
	}
	p.near.Workloads[1].Health.Ready = false
	p.push(p.near, "egress")
	eventually(t, "datagram to the other cluster", asked(p.at(udpPort), "far-"))
}

// testPassedFirst gives beta a workload with an Envoy of its own: it is called by its own name, though the gateway would answer for others.
func testPassedFirst(t *testing.T, p *pods, client *http.Client) {
	own := model.Workload{ID: "own", Service: payments, Namespace: "shop", ServiceAccount: "payments", Locality: here, Address: "127.0.0.1",
		InboundPort: freePort(t), Export: true, Health: model.WorkloadHealth{Ready: true}}
	for i, target := range []string{httpApp(t, "own").Listener.Addr().String(), tcpApp(t)} {
		own.Ports = append(own.Ports, model.WorkloadPort{Port: podPorts[i], Target: target})
	}
	p.far.Workloads = append(p.far.Workloads, own)
	set := generate(t, snapshot.Build(p.far), "own")
	set[SecretType] = append(set[SecretType], NewDefaultSecret(p.beta.issue(t, paymentsID)))
	p.envoys["own"] = startEnvoy(t, findEnvoy(t), "own", set)
	p.push(p.far, "gate")
	capacity := []model.Capacity{{Locality: model.Locality{Region: "us"}, Ready: 1, Total: 1}}
	p.offer(model.ServiceRecord{Identities: []string{paymentsID}, Capacity: capacity, Terminated: p.near.Imports[0].Record.Terminated})
	p.push(p.near, "egress")
	eventually(t, "the workload's own Envoy", expect(client, "POST", p.url(), 200, "own "))
	eventually(t, "nobody else", func() error {
		for range 20 {
			if err := expect(client, "POST", p.url(), 200, "own ")(); err != nil {
				return err
			}
		}
		return nil
	})
	eventually(t, "session", func() error { return echo(p.at(podPorts[1])) })
	p.offer(model.ServiceRecord{Identities: []string{paymentsID}, Capacity: []model.Capacity{{Locality: capacity[0].Locality, Total: 1}},
		Terminated: p.near.Imports[0].Record.Terminated})
	p.push(p.near, "egress")
	eventually(t, "the pods", expect(client, "POST", p.url(), 200, "far-"))
}

// testAffinity has the oldest export, the own cluster's, ask for affinity: every connection of one address leads to one pod, until that dies.
func testAffinity(t *testing.T, p *pods) {
	own := p.far.OwnExports[0]
	own.CreatedAt, own.SessionAffinity = time.Unix(1, 0), "ClientIP"
	p.near.OwnExports = []model.ServiceExport{own}
	p.near.Workloads = append(p.near.Workloads[:1:1], p.pod("near-3"), p.pod("near-4"), p.pod("near-5"))
	p.push(p.near, "egress")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	eventually(t, "own pod", expect(client, "GET", p.url(), 200, "near-"))
	var one string
	eventually(t, "all at one", func() error {
		by := p.calls(client, "POST", 20)
		for one = range by {
			if by[one] != 20 {
				return fmt.Errorf("answered by %v", by)
			}
		}
		return nil
	})
	eventually(t, "datagrams at one", func() error {
		by := map[string]int{}
		for range 10 {
			text, err := ask(p.at(udpPort), "ping")
			if err != nil {
				return err
			}
			by[text]++
		}
		if len(by) != 1 {
			return fmt.Errorf("answered by %v", by)
		}
		return nil
	})
	p.apps[one].Close()
	if by := p.calls(client, "POST", 20); by[one] > 0 {
		t.Errorf("answered by %v, and %s is dead", by, one)
	}
}

// testFrozenTerminator stops the gateway's Envoy: safe calls go on with a pod of the own cluster, and sessions end.
func testFrozenTerminator(t *testing.T, p *pods, client *http.Client) {
	p.near.Workloads[1] = p.pod("near-2")
	p.near.Workloads[1].Locality = model.Locality{Region: "asia"}
	p.push(p.near, "egress")
	eventually(t, "far", expect(client, "GET", p.url(), 200, "far-"))
	_, open := session(t, p.at(podPorts[1]))
	gate := p.envoys["gate"].run
	if err := gate.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = gate.Signal(syscall.SIGCONT) }()
	if by := p.calls(client, "GET", 20); by["near-2"] == 0 {
		t.Errorf("answered by %v", by)
	}
	if err := expect(client, "GET", "http://"+p.at(h2Port)+"/", 200, "near-2")(); err != nil {
		t.Errorf("http2: %v", err)
	}
	if err := ended(open); err != nil {
		t.Errorf("session: %v", err)
	}
}
