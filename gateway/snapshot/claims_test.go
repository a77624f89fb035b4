package snapshot

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
)

func export(age int64, affinity string, ports ...model.Port) *model.ServiceExport {
	return &model.ServiceExport{Service: pay, CreatedAt: time.Unix(age, 0), Ports: ports, IPFamilies: []model.IPFamily{model.IPv4}, SessionAffinity: affinity}
}

// exported1 is another cluster's export, with two pods.
func exported1(cluster string, e *model.ServiceExport) Import {
	return Import{Cluster: model.ClusterName(cluster), Record: model.ServiceRecord{Service: pay, Ports: e.Ports, Export: e,
		Terminated: []model.Capacity{{Locality: usA, Ready: 2, Total: 2}}}}
}

func pod(id string, ports ...model.Port) model.Workload {
	w := workload(id, pay, euA, ports...)
	w.Plain, w.InboundPort = true, 0
	for i := range w.Ports {
		w.Ports[i].Target = fmt.Sprintf("%s:%d", w.Address, 8000+int(w.Ports[i].Number))
	}
	return w
}

// podsOf is cluster a with pods and an export, beside the exports of others.
func podsOf(own *model.ServiceExport, imports ...Import) Inputs {
	in := base()
	in.Workloads = []model.Workload{{ID: "egress", Locality: euA, Egress: &model.WorkloadEgress{Bind: "::"}}}
	in.Imports, in.OwnExports = imports, nil
	if own != nil {
		in.OwnExports = []model.ServiceExport{*own}
		in.Workloads = append(in.Workloads, pod("w1", own.Ports...))
	}
	return in
}

// reached lists where each port leads, by its SNI without what all have in common.
func reached(s *Snapshot) map[string][]string {
	out := map[string][]string{}
	for _, p := range s.Services {
		a, _ := p.For(euA)
		var to []string
		for _, e := range endpointsOf(a.Assignment) {
			to = append(to, fmt.Sprintf("%s:%d %s", e.Address, e.Port, e.Via))
		}
		out[p.SNI[:len(p.SNI)-len(".pay.shop.svc.clusterset.local")]+" "+p.Port.Name] = to
	}
	return out
}

func TestTheOldestExportDeclaresThePorts(t *testing.T) {
	web80, web81, api80 := port(80, "web", model.ProtocolHTTP), port(81, "web", model.ProtocolHTTP), port(80, "api", model.ProtocolHTTP)
	dns, dnsTCP := port(53, "dns", model.ProtocolUDP), port(53, "dns-tcp", model.ProtocolTCP)
	b, c := "192.0.2.2:15443 terminated", "192.0.2.3:15443 terminated"
	own80, own81 := "10.0.0.1:8080 plain", "10.0.0.1:8081 plain"
	for name, tt := range map[string]struct {
		in      Inputs
		want    map[string][]string
		problem []string
	}{
		"alike": {podsOf(export(5, "", web80), exported1("b", export(1, "", web80))), map[string][]string{"p.80 web": {own80, b}}, nil},
		"one name, two numbers, the other is older": {podsOf(export(5, "", web81), exported1("b", export(1, "", web80))),
			map[string][]string{"p.80 web": {b}}, []string{"port web (81)", "in cluster a", "is not port web (80) in cluster b"}},
		"one name, two numbers, the own is older": {podsOf(export(1, "", web81), exported1("b", export(5, "", web80))),
			map[string][]string{"p.81 web": {own81}}, []string{"port web (80)", "in cluster b", "is not port web (81) in cluster a"}},
		"of one age the name of the cluster decides": {podsOf(nil, exported1("c", export(5, "", web81)), exported1("b", export(5, "", web80))),
			map[string][]string{"p.80 web": {b}}, []string{"in cluster c"}},
		"age decides, not membership": {podsOf(nil, exported1("b", export(5, "", web80)), exported1("c", export(1, "", web81))),
			map[string][]string{"p.81 web": {c}}, []string{"in cluster b"}},
		"two names, one number": {podsOf(export(5, "", api80), exported1("b", export(1, "", web80))),
			map[string][]string{"p.80 web": {b}}, []string{"port api (80)", "is not port web (80)"}},
		"the union": {podsOf(export(5, "", web80, dnsTCP), exported1("b", export(1, "", web80, dns))),
			map[string][]string{"p.80 web": {own80, b}, "p.53 dns-tcp": {"10.0.0.1:8053 plain"}, "t.53-udp dns": {b}}, nil},
		"another protocol": {podsOf(export(5, "", port(80, "web", model.ProtocolTCP)), exported1("b", export(1, "", web80))),
			map[string][]string{"p.80 web": {b}}, []string{"http in cluster b but tcp in cluster a"}},
		"no own export": {podsOf(nil, exported1("b", export(1, "", web80))), map[string][]string{"p.80 web": {b}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := Build(tt.in)
			if got := reached(s); !maps.EqualFunc(got, tt.want, slices.Equal) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if len(tt.problem) > 0 {
				wantProblem(t, s.Problems, tt.problem...)
			} else if len(s.Problems) > 0 {
				t.Errorf("problems %q", s.Problems)
			}
		})
	}
}

func TestUnexportedPodsServeNothing(t *testing.T) {
	web := port(80, "web", model.ProtocolHTTP)
	in := podsOf(nil, exported1("b", export(1, "", web)))
	hidden := pod("w1", web)
	hidden.Export = false
	in.Workloads = append(in.Workloads, hidden)
	s := Build(in)
	if got := reached(s)["p.80 web"]; !slices.Equal(got, []string{"192.0.2.2:15443 terminated"}) || s.Services[0].Plain || len(s.Terminated) > 0 {
		t.Errorf("got %v, %+v, %v", got, s.Services[0], s.Terminated)
	}
}

// What a cluster's gateways answer is what that cluster exports: whoever imports from it alone knows of no other.
func TestGatewaysAnswerAsTheirClusterDeclares(t *testing.T) {
	web80, web81, dns := port(80, "web", model.ProtocolHTTP), port(81, "web", model.ProtocolHTTP), port(53, "dns", model.ProtocolUDP)
	in := podsOf(export(5, "", web81, dns), exported1("b", export(1, "", web80)))
	in.Exports[0].Spec.To = []string{"a", "b"}
	s := Build(in)
	if len(s.Terminated) != 2 || len(s.Passthrough) > 0 {
		t.Fatalf("got %v, %v", s.Terminated, s.Passthrough)
	}
	for i, want := range []struct{ sni, at string }{{"t.53-udp.", "10.0.0.1:8053"}, {"t.81.", "10.0.0.1:8081"}} {
		got := s.Terminated[i]
		e := got.Endpoints[0]
		if got.SNI != want.sni+pay.Host() || fmt.Sprintf("%s:%d", e.Address, e.Port) != want.at || e.Via != route.ViaPlain || !slices.Equal(got.Callers, []string{"a.acme", "b.acme"}) {
			t.Errorf("got %+v", got)
		}
	}
	// Nobody's pod keeps the names, so that no listener changes when the last goes.
	in.Workloads = in.Workloads[:1]
	if none := Build(in); len(none.Terminated) != 2 || len(none.Terminated[0].Endpoints) > 0 || none.Services[0].ConfigDigest != s.Services[0].ConfigDigest {
		t.Errorf("without pods: %+v", none.Terminated)
	}
	in.Exports = nil
	if closed := Build(in); len(closed.Terminated) > 0 {
		t.Errorf("answers what no rule opens: %+v", closed.Terminated)
	}
}

func TestAffinityIsTheOldestExports(t *testing.T) {
	web := port(80, "web", model.ProtocolHTTP)
	for name, tt := range map[string]struct {
		own, other *model.ServiceExport
		want       bool
	}{
		"the own is older":   {export(1, "ClientIP", web), export(5, "None", web), true},
		"the other is older": {export(5, "ClientIP", web), export(1, "None", web), false},
		"no own":             {nil, export(1, "ClientIP", web), true},
	} {
		if got := Build(podsOf(tt.own, exported1("b", tt.other))).Services[0].Affinity; got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestEgressPortsAndTerminators(t *testing.T) {
	web := port(80, "web", model.ProtocolHTTP)
	in := podsOf(export(1, "", web), exported1("b", export(2, "", web)))
	_, m := Memory{}.Build(in)
	in.EgressPorts = map[EgressPort]uint16{{Service: pay, Number: 80}: 20000, {Service: pay, Number: 80, UDP: true}: 20001}
	s, _ := m.Build(in)
	if p := s.Services[0]; p.EgressPort != 20000 || !p.Plain || len(p.Identities) > 0 || !slices.Equal(p.Terminators, []string{"spiffe://b.acme/ns/hanse-system/sa/gateway"}) {
		t.Errorf("got %+v", p)
	}
	if len(s.Workloads) != 1 || s.Workloads[0].ID != "egress" {
		t.Errorf("pods have no proxy to configure: %+v", s.Workloads)
	}
}

func TestWhatCannotBeServed(t *testing.T) {
	dns := port(53, "dns", model.ProtocolUDP)
	in := base()
	in.Workloads = []model.Workload{workload("w1", pay, euA, dns), pod("w2", port(80, "web", model.ProtocolHTTP))}
	in.Workloads[1].Ports[0].Target = "pod:8080"
	in.Imports = nil
	s := Build(in)
	wantProblem(t, s.Problems, "workload w1", "only workloads without an Envoy serve UDP")
	wantProblem(t, s.Problems, "workload w2", `target "pod:8080" is not IP:port`)
	if len(s.Services) > 0 {
		t.Errorf("got %+v", s.Services)
	}
}
