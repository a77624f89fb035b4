package export

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

// pod is a workload without an Envoy.
func pod(id string, change ...func(*model.Workload)) model.Workload {
	return workload(id, append([]func(*model.Workload){func(w *model.Workload) {
		w.Plain, w.ServiceAccount, w.Ports[0].Target = true, "", "10.0.0.1:80"
	}}, change...)...)
}

func exported(change ...func(*model.ServiceExport)) model.ServiceExport {
	e := model.ServiceExport{
		Service: model.ServiceKey{Namespace: "shop", Name: "pay"}, CreatedAt: start, IPFamilies: []model.IPFamily{model.IPv4},
		Ports: []model.Port{{Name: "http", Number: 8080, Protocol: model.ProtocolHTTP}},
	}
	for _, c := range change {
		c(&e)
	}
	return e
}

func kubernetes() Terms {
	t := openTerms
	t.ByExport = true
	return t
}

func TestAnExportIsPublishedWithoutPods(t *testing.T) {
	var l Ledger
	l.SetExport(exported())
	out := l.Records(kubernetes())
	if len(out.Records) != 1 || len(out.Refusals)+len(out.Reasons) != 0 {
		t.Fatalf("got %+v", out)
	}
	s := out.Records[0].Service
	if s.Export == nil || !slices.Equal(s.Ports, exported().Ports) || len(s.Capacity)+len(s.Terminated)+len(s.Identities) != 0 {
		t.Errorf("got %+v", s)
	}
	l.RemoveExport(s.Service)
	if out := l.Records(kubernetes()); len(out.Records) != 0 {
		t.Errorf("what is exported no more is published: %+v", out.Records)
	}
}

func TestPodsAndEnvoysCountApart(t *testing.T) {
	var l Ledger
	l.SetExport(exported())
	l.Set(pod("pod-1"))
	l.Set(pod("pod-2", func(w *model.Workload) { w.Health.Ready = false; w.Locality.Zone = "b" }))
	// The third pod has a proxy, which registers it at the same address, and does not ask for export.
	l.Set(pod("pod-3", func(w *model.Workload) { w.Ports[0].Target = "10.0.0.3:80" }))
	l.Set(workload("proxy", func(w *model.Workload) { w.Address, w.Export = "10.0.0.3", false }))
	s := l.Records(kubernetes()).Records[0].Service
	zone := func(z string) model.Locality { return model.Locality{Region: "eu", Zone: z} }
	if want := []model.Capacity{{Locality: zone("a"), Ready: 1, Total: 1}}; !slices.Equal(s.Capacity, want) {
		t.Errorf("capacity %+v, want %+v", s.Capacity, want)
	}
	if want := []model.Capacity{{Locality: zone("a"), Ready: 1, Total: 1}, {Locality: zone("b"), Total: 1}}; !slices.Equal(s.Terminated, want) {
		t.Errorf("terminated %+v, want %+v", s.Terminated, want)
	}
	if want := []string{"spiffe://bern.fed/ns/shop/sa/pay"}; !slices.Equal(s.Identities, want) {
		t.Errorf("identities %q, want those of the Envoys alone", s.Identities)
	}
}

func TestWithoutAServiceExportNothingLeavesAKubernetesCluster(t *testing.T) {
	var l Ledger
	l.Set(pod("pod-1"))
	l.Set(workload("proxy"))
	out := l.Records(kubernetes())
	if len(out.Records) != 0 || !strings.Contains(strings.Join(out.Reasons, "\n"), "workload proxy is not exported: service pay.shop has no ServiceExport") {
		t.Errorf("got %+v", out)
	}
}

func TestRefusalsSayWhy(t *testing.T) {
	many := func(e *model.ServiceExport) {
		e.Ports = nil
		for i := range codec.MaxServicePorts + 1 {
			e.Ports = append(e.Ports, model.Port{Name: fmt.Sprint("p", i), Number: uint16(i + 1)})
		}
	}
	for says, c := range map[string]struct {
		change func(*model.ServiceExport)
		rules  []policy.ExportRule
	}{
		"no export rule opens it":        {func(*model.ServiceExport) {}, nil},
		"does not let it export":         {func(e *model.ServiceExport) { e.Service.Namespace = "bank" }, openTerms.Rules},
		"exported label":                 {func(e *model.ServiceExport) { e.Labels = map[string]string{"a": "b c"} }, openTerms.Rules},
		"65 ports: at most 64 can be":    {many, openTerms.Rules},
		"createdAt is not a time since ": {func(e *model.ServiceExport) { e.CreatedAt = time.Time{} }, openTerms.Rules},
	} {
		var l Ledger
		e := exported(c.change)
		l.SetExport(e)
		terms := kubernetes()
		terms.Rules = c.rules
		out := l.Records(terms)
		if why := out.Refusals[e.Service]; len(out.Records) != 0 || len(out.Refusals) != 1 || !strings.Contains(why, says) {
			t.Errorf("%s: got %+v", says, out)
		}
	}
}

func TestAProxysOtherPortsAreNamed(t *testing.T) {
	var l Ledger
	l.SetExport(exported())
	l.Set(workload("proxy", func(w *model.Workload) { w.Ports[0].Number = 9 }))
	out := l.Records(kubernetes())
	if !slices.Equal(out.Records[0].Service.Ports, exported().Ports) || !strings.Contains(strings.Join(out.Reasons, "\n"), "port 9, which the Service does not have") {
		t.Errorf("got %+v", out)
	}
}

// A record with all the endpoints there may be, their names as long as they may be, is one that receivers take.
func TestEndpointsStayWithinTheRecord(t *testing.T) {
	var l Ledger
	l.SetExport(exported(func(e *model.ServiceExport) {
		e.Headless, e.Annotations = true, map[string]string{"a": strings.Repeat("x", model.MaxExportText-1)}
		for i := range model.MaxExportEndpoints {
			host := fmt.Sprintf("%s-%04d", strings.Repeat("x", 58), i)
			e.Endpoints = append(e.Endpoints, model.ExportEndpoint{Hostname: host, Address: "2001:db8::1"})
		}
	}))
	out := l.Records(kubernetes())
	if len(out.Records) != 1 || len(out.Reasons) != 1 || !strings.Contains(out.Reasons[0], "1000 endpoints; only the first ") {
		t.Fatalf("reasons %q", out.Reasons)
	}
	data, err := codec.MarshalRecord(out.Records[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := codec.UnmarshalRecord(data); err != nil {
		t.Error(err)
	}
}

func TestPublishedGatewaysReplaceTheAdvertised(t *testing.T) {
	lb := []model.Gateway{
		{Name: "b", Address: "lb.example.com", Port: 443, Locality: model.Locality{Region: "eu"}},
		{Name: "a", Address: "192.0.2.9", Port: 443, Locality: model.Locality{Region: "eu"}},
	}
	terms := kubernetes()
	terms.Gateways = lb
	var l Ledger
	published := func() []model.Gateway {
		out := l.Records(terms)
		if len(out.Records) != 1 {
			t.Fatalf("got %+v", out)
		}
		return out.Records[0].Gateways
	}
	if got := published(); len(got) != 2 || got[0].Name != "a" || got[0].Draining {
		t.Errorf("before any gateway is known: %+v", got)
	}
	l.Set(gateway("g1", "10.0.0.1", false))
	if got := published(); len(got) != 2 || !got[0].Draining || !got[1].Draining {
		t.Errorf("no gateway is ready behind the addresses, but they do not drain: %+v", got)
	}
	l.Set(gateway("g2", "10.0.0.2", true))
	if got := published(); got[0].Draining || got[0].Address != "192.0.2.9" || lb[0].Name != "b" {
		t.Errorf("got %+v", got)
	}
	terms.Gateways = []model.Gateway{}
	if out := l.Records(terms); len(out.Records) != 0 {
		t.Errorf("gateways without an address are published: %+v", out.Records)
	}
}

// However it came to know what it knows, a ledger says what one says that is told it afresh; what it has handed out stays as it was.
func TestLawLedgerForgetsHow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l Ledger
		workloads, exports := map[string]model.Workload{}, map[model.ServiceKey]model.ServiceExport{}
		closedTerms, other := kubernetes(), openTerms
		closedTerms.Rules, other.Cluster.TrustDomain = nil, "other.fed"
		all := []Terms{kubernetes(), openTerms, closedTerms, other}
		service := rapid.Custom(func(t *rapid.T) model.ServiceKey {
			return model.ServiceKey{Namespace: rapid.SampledFrom([]string{"shop", "shop-b"}).Draw(t, "namespace"), Name: rapid.SampledFrom([]string{"pay", "cart"}).Draw(t, "name")}
		})
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch id := fmt.Sprint("w", rapid.IntRange(0, 6).Draw(t, "id")); rapid.IntRange(0, 5).Draw(t, "step") {
			case 0, 1:
				w := workload(id, func(w *model.Workload) {
					w.Service, w.Plain, w.Export = service.Draw(t, "service"), rapid.Bool().Draw(t, "plain"), rapid.Bool().Draw(t, "export")
					w.Namespace, w.Health.Ready = w.Service.Namespace, rapid.Bool().Draw(t, "ready")
					w.Address, w.Ports[0].Target = "10.0.0.1", rapid.SampledFrom([]string{"10.0.0.1:80", "10.0.0.2:80"}).Draw(t, "target")
				})
				workloads[id] = w
				l.Set(w)
			case 2:
				w := gateway(id, "192.0.2.1", rapid.Bool().Draw(t, "ready"))
				workloads[id] = w
				l.Set(w)
			case 3:
				delete(workloads, id)
				l.Remove(id)
			case 4:
				e := exported(func(e *model.ServiceExport) {
					e.Service, e.Headless = service.Draw(t, "exported"), rapid.Bool().Draw(t, "headless")
				})
				exports[e.Service] = e
				l.SetExport(e)
			case 5:
				k := service.Draw(t, "unexported")
				delete(exports, k)
				l.RemoveExport(k)
			}
			if rapid.Bool().Draw(t, "look") {
				terms := rapid.SampledFrom(all).Draw(t, "terms")
				var fresh Ledger
				for _, w := range workloads {
					fresh.Set(w)
				}
				for _, e := range exports {
					fresh.SetExport(e)
				}
				if got, want := l.Records(terms), fresh.Records(terms); !reflect.DeepEqual(got, want) {
					t.Fatalf("got\n%+v\nwant\n%+v", got, want)
				}
			}
		}
	})
}
