package xds

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
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
