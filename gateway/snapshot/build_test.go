package snapshot

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/gateway/route"
)

var (
	pay = model.ServiceKey{Namespace: "shop", Name: "pay"}
	euA = model.Locality{Region: "eu", Zone: "a"}
	euB = model.Locality{Region: "eu", Zone: "b"}
	usA = model.Locality{Region: "us", Zone: "a"}
)

func member(name string, incarnation uint64) model.Cluster {
	return model.Cluster{Name: model.ClusterName(name), Incarnation: incarnation, TrustDomain: name + ".acme", ExportNamespaces: []string{"*"}}
}

func members(cs ...model.Cluster) map[model.ClusterName]model.Cluster {
	out := map[model.ClusterName]model.Cluster{}
	for _, c := range cs {
		out[c.Name] = c
	}
	return out
}

func openAll() []policy.ExportRule {
	return []policy.ExportRule{{Name: "all", Spec: policy.ExportRuleSpec{From: []string{"*"}, Namespaces: []string{"*"}, To: []string{"*"}}}}
}

func port(number uint16, name string, p model.Protocol) model.Port {
	return model.Port{Number: number, Name: name, Protocol: p}
}

func workload(id string, k model.ServiceKey, l model.Locality, ports ...model.Port) model.Workload {
	w := model.Workload{ID: id, Service: k, Namespace: k.Namespace, ServiceAccount: k.Name, Locality: l, Address: "10.0.0." + id[1:], InboundPort: 15008,
		Export: true, Health: model.WorkloadHealth{Ready: true}}
	for _, p := range ports {
		w.Ports = append(w.Ports, model.WorkloadPort{Port: p, Target: "127.0.0.1:8080"})
	}
	return w
}

func imported1(cluster string, k model.ServiceKey, l model.Locality, ready uint32, ports ...model.Port) Import {
	return Import{Cluster: model.ClusterName(cluster), Record: model.ServiceRecord{Service: k, Ports: ports,
		Identities: []string{model.WorkloadID(cluster+".acme", k.Namespace, k.Name)}, Capacity: []model.Capacity{{Locality: l, Ready: ready, Total: ready}}}}
}

// base is cluster a with one workload of pay, which clusters b and c export too, b being the older.
func base() Inputs {
	http := port(80, "http", model.ProtocolHTTP)
	return Inputs{
		Federation: "acme", Cluster: "a", TrustDomain: "a.acme",
		Workloads: []model.Workload{workload("w1", pay, euA, http)},
		Imports:   []Import{imported1("b", pay, euB, 2, http), imported1("c", pay, usA, 3, http)},
		Gateways: map[model.ClusterName][]route.GatewayPoint{
			"b": {{Address: "192.0.2.2", Port: 15443}}, "c": {{Address: "192.0.2.3", Port: 15443}}},
		Members: members(member("a", 30), member("b", 10), member("c", 20)),
		Exports: openAll(),
		Bundles: []model.Bundle{{TrustDomain: "a.acme", Sequence: 1, Roots: [][]byte{{1}}}},
		VIPs:    map[model.ServiceKey]netip.Addr{pay: netip.MustParseAddr("127.64.0.1")},
	}
}

func find(t *testing.T, s *Snapshot, sni string) *ServicePort {
	t.Helper()
	for _, p := range s.Services {
		if p.SNI == sni {
			return p
		}
	}
	t.Fatalf("no service port %s in %d", sni, len(s.Services))
	return nil
}

// addresses of an assignment in order, "!" before bad ones.
func addresses(a route.Assignment) []string {
	var out []string
	for _, p := range a.Priorities {
		for _, g := range p.Groups {
			for _, e := range g.Endpoints {
				mark := ""
				if !e.Healthy {
					mark = "!"
				}
				out = append(out, mark+e.Address)
			}
		}
	}
	return out
}

func wantProblem(t *testing.T, problems []string, parts ...string) {
	t.Helper()
	for _, p := range problems {
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(p, part) }) {
			return
		}
	}
	t.Errorf("no problem with %q in %q", parts, problems)
}

func TestBuild(t *testing.T) {
	in := base()
	in.Workloads = append(in.Workloads, workload("w2", model.ServiceKey{}, usA))
	s := Build(in)
	if len(s.Problems) > 0 || len(s.Services) != 1 || len(s.Workloads) != 2 || len(s.Passthrough) != 1 {
		t.Fatalf("got %+v", s)
	}
	p := s.Services[0]
	if p.SNI != "p.80.pay.shop.svc.clusterset.local" || p.VIP != in.VIPs[pay] || p.Port.Protocol != model.ProtocolHTTP {
		t.Errorf("port %+v", p)
	}
	if want := []string{"spiffe://a.acme/ns/shop/sa/pay", "spiffe://b.acme/ns/shop/sa/pay", "spiffe://c.acme/ns/shop/sa/pay"}; !slices.Equal(p.Identities, want) {
		t.Errorf("identities %v", p.Identities)
	}
	for l, want := range map[model.Locality][]string{
		euA: {"10.0.0.1", "192.0.2.2", "192.0.2.3"},
		usA: {"192.0.2.3", "10.0.0.1", "192.0.2.2"},
	} {
		a, ok := p.For(l)
		if !ok {
			t.Fatalf("no assignment for %v", l)
		}
		if got := addresses(a.Assignment); !slices.Equal(got, want) {
			t.Errorf("from %v: %v, want %v", l, got, want)
		}
	}
	if _, ok := p.For(euB); ok {
		t.Error("an assignment for a locality without a proxy")
	}
}

func TestPoliciesAndRampsReachTheAssignments(t *testing.T) {
	in := base()
	in.Failover = []policy.FailoverPolicy{{Name: "x", Spec: policy.FailoverPolicySpec{Failover: []policy.RegionOrder{{From: "eu", Only: true}}}}}
	in.Ramps = map[route.RampKey]uint32{{Service: pay, Cluster: "a", Locality: euA}: 10}
	a, _ := Build(in).Services[0].For(euA)
	if got, want := addresses(a.Assignment), []string{"10.0.0.1", "192.0.2.2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if n := len(a.Assignment.Priorities); n != 1 {
		t.Errorf("the climbing zone spills over within priority 0, got %d priorities", n)
	}
}

func TestStaleImportsServeBehindTheFresh(t *testing.T) {
	in := base()
	fresh := Build(in)
	for i := range in.Imports {
		in.Imports[i].Stale = in.Imports[i].Cluster == "b"
	}
	stale := Build(in)
	last := func(s *Snapshot) model.ClusterName {
		a, _ := s.Services[0].For(euA)
		p := a.Assignment.Priorities
		return p[len(p)-1].Groups[0].Cluster
	}
	if last(fresh) == "b" || last(stale) != "b" {
		t.Errorf("cluster b is not behind when it is stale: %s, %s when fresh", last(stale), last(fresh))
	}
	if fresh.Services[0].Digest == stale.Services[0].Digest || fresh.Services[0].ConfigDigest != stale.Services[0].ConfigDigest {
		t.Error("age does not change the assignments alone")
	}
	for i := range in.Imports {
		in.Imports[i].Stale = true
	}
	if all := Build(in); all.Digest != fresh.Digest {
		t.Error("age alone changes the snapshot")
	}
}

func TestRefusedImports(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Inputs)
		want   string
	}{
		{"not a member", func(in *Inputs) { delete(in.Members, "b") }, "not a member"},
		{"token scope", func(in *Inputs) {
			m := in.Members["b"]
			m.ExportNamespaces = []string{"hr"}
			in.Members["b"] = m
		}, "join token does not allow"},
		{"no rule", func(in *Inputs) { in.Exports[0].Spec.From = []string{"a", "c"} }, "add an ExportRule"},
		{"not for us", func(in *Inputs) { in.Exports[0].Spec.To = []string{"b", "c"} }, `no export rule opens it to cluster "a"`},
		{"not taken", func(in *Inputs) {
			in.Takes = []policy.ImportRule{{Name: "i", Spec: policy.ImportRuleSpec{To: []string{"a"}, From: []string{"c"}, Namespaces: []string{"*"}}}}
		}, `import rules limit what cluster "a" takes`},
		{"foreign identity", func(in *Inputs) { in.Imports[0].Record.Identities = []string{"spiffe://c.acme/ns/shop/sa/pay"} }, "not the cluster's to claim"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := base()
			tt.change(&in)
			s := Build(in)
			wantProblem(t, s.Problems, "service pay.shop", `cluster "b"`, tt.want)
			a, _ := s.Services[0].For(euA)
			if slices.Contains(addresses(a.Assignment), "192.0.2.2") || slices.Contains(s.Services[0].Identities, "spiffe://b.acme/ns/shop/sa/pay") {
				t.Error("the refused record counts")
			}
		})
	}
}

func TestPortConflicts(t *testing.T) {
	http, tcp := port(80, "http", model.ProtocolHTTP), port(80, "raw", model.ProtocolTCP)
	in := base()
	in.Imports[0].Record.Ports = []model.Port{tcp}
	s := Build(in)
	p := find(t, s, "p.80.pay.shop.svc.clusterset.local")
	if a, _ := p.For(euA); p.Port.Protocol != model.ProtocolHTTP || slices.Contains(addresses(a.Assignment), "192.0.2.2") {
		t.Errorf("the own declaration must win: %+v", p)
	}
	wantProblem(t, s.Problems, "port 80", "http in workload w1 of cluster a", "tcp in cluster b")

	in.Workloads = []model.Workload{workload("w9", model.ServiceKey{Namespace: "shop"}, euA)}
	in.Workloads[0].Service = model.ServiceKey{}
	s = Build(in)
	p = find(t, s, "p.80.pay.shop.svc.clusterset.local")
	if a, _ := p.For(euA); p.Port != tcp || !slices.Equal(addresses(a.Assignment), []string{"192.0.2.2"}) {
		t.Errorf("the older member must win: %+v", p)
	}
	wantProblem(t, s.Problems, "tcp in cluster b", "http in cluster c")

	in.Members["b"] = member("b", 99)
	if p := find(t, Build(in), "p.80.pay.shop.svc.clusterset.local"); p.Port != http {
		t.Errorf("c is the older member now: %+v", p)
	}

	in = base()
	in.Imports[0].Record.Ports = []model.Port{port(90, "grpc", model.ProtocolGRPC)}
	in.Imports[1].Record.Ports = []model.Port{http}
	s = Build(in)
	if a, _ := find(t, s, "p.90.pay.shop.svc.clusterset.local").For(euA); !slices.Equal(addresses(a.Assignment), []string{"192.0.2.2"}) {
		t.Errorf("only b has port 90: %v", addresses(a.Assignment))
	}
	if a, _ := find(t, s, "p.80.pay.shop.svc.clusterset.local").For(euA); slices.Contains(addresses(a.Assignment), "192.0.2.2") {
		t.Error("b does not have port 80")
	}
}

func TestTheOwnRecordIsNoImport(t *testing.T) {
	in := base()
	want := Build(in).Digest
	in.Imports = append(in.Imports, imported1("a", pay, usA, 9, port(99, "old", model.ProtocolTCP)))
	if got := Build(in); got.Digest != want {
		t.Errorf("got %+v", got)
	}
}

func TestCalls(t *testing.T) {
	cart := model.ServiceKey{Namespace: "shop", Name: "cart"}
	in := base()
	in.Imports = append(in.Imports, imported1("b", cart, euB, 1, port(80, "http", model.ProtocolHTTP), port(90, "grpc", model.ProtocolGRPC)))
	up := func(k model.ServiceKey, p string) model.Upstream {
		return model.Upstream{Service: k, Port: p, Bind: "127.0.0.1:9000"}
	}
	tests := []struct {
		name string
		ups  []model.Upstream
		sni  string
		want string // a problem
	}{
		{"only port", []model.Upstream{up(pay, "")}, "p.80.pay.shop", ""},
		{"name", []model.Upstream{up(cart, "grpc")}, "p.90.cart.shop", ""},
		{"number", []model.Upstream{up(cart, "80")}, "p.80.cart.shop", ""},
		{"own namespace", []model.Upstream{up(model.ServiceKey{Name: "cart"}, "80")}, "p.80.cart.shop", ""},
		{"ambiguous", []model.Upstream{up(cart, "")}, "", "give one of http (80), grpc (90)"},
		{"no such port", []model.Upstream{up(cart, "admin")}, "", `no port "admin": give one of http (80), grpc (90)`},
		{"unknown service", []model.Upstream{up(model.ServiceKey{Namespace: "hr", Name: "x"}, "")}, "", `x.hr: service is not known here: is it registered, or exported to cluster "a"?`},
		{"same bind", []model.Upstream{up(pay, ""), up(cart, "80")}, "p.80.pay.shop", "127.0.0.1:9000 is bound by another upstream"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := in
			in.Workloads = slices.Clone(in.Workloads)
			in.Workloads[0].Upstreams = tt.ups
			w := Build(in).Workloads[0]
			if tt.want != "" {
				wantProblem(t, w.Problems, tt.want)
			} else if len(w.Problems) > 0 {
				t.Errorf("problems %q", w.Problems)
			}
			if tt.sni == "" {
				if len(w.Calls) > 0 {
					t.Errorf("calls %+v", w.Calls)
				}
				return
			}
			if len(w.Calls) != 1 || w.Calls[0].SNI != tt.sni+".svc.clusterset.local" || w.Calls[0].Bind != "127.0.0.1:9000" {
				t.Errorf("calls %+v", w.Calls)
			}
		})
	}
}

func TestPassthroughHoldsExportedWorkloadsOnly(t *testing.T) {
	in := base()
	hidden, drained := workload("w2", pay, euA, port(80, "http", model.ProtocolHTTP), port(81, "admin", model.ProtocolHTTP)), workload("w3", pay, euA, port(80, "http", model.ProtocolHTTP))
	hidden.Export = false
	drained.Health.Draining = true
	in.Workloads = append(in.Workloads, hidden, drained)
	s := Build(in)
	want := []route.Endpoint{{Address: "10.0.0.1", Port: 15008, Weight: 1, Healthy: true}, {Address: "10.0.0.3", Port: 15008, Weight: 1}}
	if len(s.Passthrough) != 1 || s.Passthrough[0].SNI != "p.80.pay.shop.svc.clusterset.local" || !slices.Equal(s.Passthrough[0].Endpoints, want) {
		t.Errorf("got %+v", s.Passthrough[0])
	}
	in.Exports = nil
	if s := Build(in); len(s.Passthrough) > 0 {
		t.Error("passes on a service that no rule opens")
	}
	in.Exports = openAll()
	delete(in.Members, "a")
	if s := Build(in); len(s.Passthrough) > 0 {
		t.Error("passes on although the cluster is no member")
	}
}

func TestCallers(t *testing.T) {
	in := base()
	in.Exports = []policy.ExportRule{{Name: "x", Spec: policy.ExportRuleSpec{From: []string{"a"}, Namespaces: []string{"shop"}, To: []string{"c"}}}}
	hidden := workload("w2", pay, euA)
	hidden.Export = false
	in.Workloads = append(in.Workloads, hidden)
	s := Build(in)
	if got, want := s.Workloads[0].Callers, []string{"a.acme", "c.acme"}; !slices.Equal(got, want) {
		t.Errorf("exported: %v, want %v", got, want)
	}
	if got, want := s.Workloads[1].Callers, []string{"a.acme"}; !slices.Equal(got, want) {
		t.Errorf("not exported: %v, want %v", got, want)
	}
	// A cluster that is not (or no longer) a member still serves itself.
	in.Members = nil
	if got, want := Build(in).Workloads[0].Callers, []string{"a.acme"}; !slices.Equal(got, want) {
		t.Errorf("without members: %v, want %v", got, want)
	}
}

func TestTrust(t *testing.T) {
	in := base()
	in.Bundles = []model.Bundle{
		{TrustDomain: "z", Sequence: 1, Roots: [][]byte{{1}}}, {TrustDomain: "b", Sequence: 1, Roots: [][]byte{{2}}},
		{TrustDomain: "b", Sequence: 2, Roots: [][]byte{{3}}}, {TrustDomain: "empty", Sequence: 9}}
	s := Build(in)
	if len(s.Trust.Bundles) != 2 || s.Trust.Bundles[0].TrustDomain != "b" || s.Trust.Bundles[0].Sequence != 2 || s.Trust.Bundles[1].TrustDomain != "z" {
		t.Errorf("got %+v", s.Trust.Bundles)
	}
	wantProblem(t, s.Problems, `"empty" has no roots`)
}

func TestProblemsAreBounded(t *testing.T) {
	in := base()
	for i := range 500 {
		in.Imports = append(in.Imports, imported1(fmt.Sprintf("x%d", i), pay, euA, 1))
	}
	s := Build(in)
	if len(s.Problems) != maxProblems+1 || s.Problems[maxProblems] != "… and 300 more problems" {
		t.Errorf("%d problems, the last %q", len(s.Problems), s.Problems[len(s.Problems)-1])
	}
}

func TestObserve(t *testing.T) {
	in := base()
	in.Gateways["c"][0].Reach = route.ReachBad
	in.Imports = append(in.Imports, imported1("stranger", pay, euA, 1))
	got := Observe(in)
	if len(got) != 3 || !got[route.RampKey{Service: pay, Cluster: "a", Locality: euA}] ||
		!got[route.RampKey{Service: pay, Cluster: "b", Locality: euB}] || got[route.RampKey{Service: pay, Cluster: "c", Locality: usA}] {
		t.Errorf("got %v", got)
	}
}
