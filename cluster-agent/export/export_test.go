package export

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"pgregory.net/rapid"
)

var (
	bern = model.Cluster{Name: "bern", TrustDomain: "bern.fed", ExportNamespaces: []string{"shop"}}
	open = policy.ExportRule{Name: "all", Spec: policy.ExportRuleSpec{From: []string{"*"}, Namespaces: []string{"*"}, To: []string{"*"}}}

	openTerms = Terms{Cluster: bern, Rules: []policy.ExportRule{open}}
)

func workload(id string, change ...func(*model.Workload)) model.Workload {
	w := model.Workload{
		ID: id, Service: model.ServiceKey{Namespace: "shop", Name: "pay"}, Namespace: "shop", ServiceAccount: "pay",
		Locality: model.Locality{Region: "eu", Zone: "a"}, Export: true, Health: model.WorkloadHealth{Ready: true},
		Ports: []model.WorkloadPort{{Port: model.Port{Name: "http", Number: 8080, Protocol: model.ProtocolHTTP}, Target: "127.0.0.1:80"}},
	}
	for _, c := range change {
		c(&w)
	}
	return w
}

func gateway(id, address string, ready bool) model.Workload {
	return workload(id, func(w *model.Workload) {
		w.Service, w.Export, w.Health.Ready = model.ServiceKey{}, false, ready
		w.Gateway = &model.WorkloadGateway{AdvertiseAddress: address, AdvertisePort: 15443}
	})
}

func TestRecordsLeavesOutWithAReason(t *testing.T) {
	cases := map[string]struct {
		change func(*model.Workload)
		rules  []policy.ExportRule
		reason string
	}{
		"not asked for":       {func(w *model.Workload) { w.Export = false }, []policy.ExportRule{open}, ""},
		"only a caller":       {func(w *model.Workload) { w.Service = model.ServiceKey{} }, []policy.ExportRule{open}, ""},
		"namespace not owned": {func(w *model.Workload) { w.Service.Namespace, w.Namespace = "bank", "bank" }, []policy.ExportRule{open}, "does not let it export namespace bank"},
		"no rule":             {func(*model.Workload) {}, nil, "no export rule"},
		"foreign identity":    {func(w *model.Workload) { w.Namespace = "bank" }, []policy.ExportRule{open}, `its namespace "bank"`},
		"no port":             {func(w *model.Workload) { w.Ports = nil }, []policy.ExportRule{open}, "declares no port"},
		"bad port":            {func(w *model.Workload) { w.Ports[0].Number = 0 }, []policy.ExportRule{open}, "has no number"},
		"no region":           {func(w *model.Workload) { w.Locality = model.Locality{} }, []policy.ExportRule{open}, "region is empty"},
		"bad zone":            {func(w *model.Workload) { w.Locality.Zone = "a/b" }, []policy.ExportRule{open}, `zone "a/b"`},
		"bad service name":    {func(w *model.Workload) { w.Service.Name = "Pay/x" }, []policy.ExportRule{open}, "not a valid name"},
		"no service account":  {func(w *model.Workload) { w.ServiceAccount = "" }, []policy.ExportRule{open}, "service account is empty"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			records, reasons := Records(Input{Terms: Terms{Cluster: bern, Rules: c.rules}, Workloads: []model.Workload{workload("w1", c.change)}})
			if len(records) != 0 {
				t.Fatalf("published %+v", records)
			}
			if c.reason == "" && len(reasons) > 0 || !strings.Contains(strings.Join(reasons, "\n"), c.reason) {
				t.Fatalf("reasons %q, want %q", reasons, c.reason)
			}
		})
	}
}

func TestUnfitWorkloadSparesItsService(t *testing.T) {
	bad := workload("a", func(w *model.Workload) { w.Locality.Region = "" })
	records, reasons := Records(Input{Terms: openTerms, Workloads: []model.Workload{bad, workload("b")}})
	if len(records) != 1 || records[0].Service.Capacity[0].Total != 1 || len(reasons) != 1 {
		t.Fatalf("got %+v, %q; want one workload's record and one reason", records, reasons)
	}
}

func TestConflictingPorts(t *testing.T) {
	other := workload("b", func(w *model.Workload) {
		w.Ports = []model.WorkloadPort{
			{Port: model.Port{Name: "web", Number: 8080, Protocol: model.ProtocolTCP}},
			{Port: model.Port{Name: "http", Number: 9090}},
		}
		w.ServiceAccount, w.Health.Ready = "pay-b", false
	})
	got, reasons := Summarise("bern.fed", []model.Workload{workload("a"), other}, nil)
	want := []model.Port{{Name: "http", Number: 8080, Protocol: model.ProtocolHTTP}, {Number: 9090, Protocol: model.ProtocolTCP}}
	if !slices.Equal(got.Ports, want) {
		t.Errorf("ports %+v, want %+v", got.Ports, want)
	}
	for _, part := range []string{"workload b declares port 8080", "only 1 of 2 workloads offer port 9090", `9090 loses its name "http"`} {
		if !strings.Contains(strings.Join(reasons, "\n"), part) {
			t.Errorf("no reason says %q: %q", part, reasons)
		}
	}
	if ids := []string{"spiffe://bern.fed/ns/shop/sa/pay", "spiffe://bern.fed/ns/shop/sa/pay-b"}; !slices.Equal(got.Identities, ids) {
		t.Errorf("identities %q, want also the unready workload's: %q", got.Identities, ids)
	}
	if c := got.Capacity; len(c) != 1 || c[0].Ready != 1 || c[0].Total != 2 {
		t.Errorf("capacity %+v, want 1 of 2", c)
	}
}

func TestGateways(t *testing.T) {
	draining := gateway("g2", "192.0.2.2", true)
	draining.Health.Draining = true
	records, reasons := Records(Input{Terms: Terms{Cluster: bern}, Workloads: []model.Workload{
		gateway("g5", "0.0.0.0", true), gateway("g4", "192.0.2.1", true), gateway("g3", "", true),
		draining, gateway("g1", "192.0.2.1", false), gateway("g0", "192.0.2.9", false),
	}})
	if len(records) != 1 || records[0].Key() != model.GatewaysKey {
		t.Fatalf("records %+v, want the gateways alone", records)
	}
	var got []string
	for _, g := range records[0].Gateways {
		got = append(got, fmt.Sprintf("%s %s:%d %t", g.Name, g.Address, g.Port, g.Draining))
	}
	want := []string{"g0 192.0.2.9:15443 true", "g1 192.0.2.1:15443 false", "g2 192.0.2.2:15443 true"}
	if !slices.Equal(got, want) {
		t.Errorf("gateways %q, want %q", got, want)
	}
	if len(reasons) != 2 {
		t.Errorf("reasons %q, want one for each of g3 and g5", reasons)
	}
}

func TestReasonsAreBounded(t *testing.T) {
	var workloads []model.Workload
	for i := range 3 * MaxReasons {
		workloads = append(workloads, workload(fmt.Sprint("w", i), func(w *model.Workload) { w.Ports = nil }))
	}
	_, reasons := Records(Input{Terms: Terms{Cluster: bern}, Workloads: workloads})
	if len(reasons) != MaxReasons || !strings.Contains(reasons[MaxReasons-1], fmt.Sprintf("and %d more", 2*MaxReasons+1)) {
		t.Fatalf("%d reasons, the last %q", len(reasons), reasons[len(reasons)-1])
	}
}

func TestRecordsStayWithinTheBounds(t *testing.T) {
	var workloads []model.Workload
	for i := range 2 * codec.MaxLocalities {
		workloads = append(workloads, workload(fmt.Sprint("w", i), func(w *model.Workload) {
			w.ServiceAccount, w.Locality.Zone = fmt.Sprint("sa", i), fmt.Sprint("z", i)
			w.Ports[0].Name, w.Ports[0].Number = "", uint16(i+1)
		}), gateway(fmt.Sprint("g", i), fmt.Sprintf("192.0.%d.%d", i/200, i%200+1), true))
	}
	workloads = append(workloads, gateway("NoLabel", "192.0.2.250", true), gateway("a", strings.Repeat("a", 5000), true))
	records, _ := Records(Input{Terms: openTerms, Workloads: workloads})
	for _, r := range records {
		data, err := codec.MarshalRecord(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := codec.UnmarshalRecord(data); err != nil {
			t.Errorf("a receiver refuses the record %s: %v", r.Key(), err)
		}
	}
	workloads = slices.DeleteFunc(workloads, func(w model.Workload) bool { return !w.Serves() })
	if _, reasons := Summarise("bern.fed", workloads, nil); !slices.ContainsFunc(reasons, func(s string) bool { return strings.Contains(s, "512 identities") }) {
		t.Errorf("nothing says that identities are missing")
	}
}

func genWorkloads(t *rapid.T) []model.Workload {
	n := rapid.IntRange(0, 20).Draw(t, "n")
	workloads := make([]model.Workload, n)
	for i := range workloads {
		workloads[i] = workload(fmt.Sprintf("w%02d", i), func(w *model.Workload) {
			w.Service.Name = rapid.SampledFrom([]string{"pay", "cart", "ship"}).Draw(t, "service")
			w.Locality.Zone = rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "zone")
			w.ServiceAccount = rapid.SampledFrom([]string{"x", "y"}).Draw(t, "account")
			w.Ports[0].Number = rapid.SampledFrom([]uint16{80, 81}).Draw(t, "port")
			w.Ports[0].Protocol = rapid.SampledFrom([]model.Protocol{"", "tcp", "http"}).Draw(t, "protocol")
			w.Export = rapid.Bool().Draw(t, "export")
			w.Health = model.WorkloadHealth{Ready: rapid.Bool().Draw(t, "ready"), Draining: rapid.Bool().Draw(t, "draining")}
		})
	}
	return workloads
}

func TestLawCapacityCountsWorkloads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		workloads := genWorkloads(t)
		type count struct{ ready, total uint32 }
		want := map[model.ServiceKey]count{}
		for _, w := range workloads {
			if w.Export {
				c := want[w.Service]
				c.total++
				if w.Available() {
					c.ready++
				}
				want[w.Service] = c
			}
		}
		records, _ := Records(Input{Terms: openTerms, Workloads: workloads})
		if len(records) != len(want) {
			t.Fatalf("%d records for %d services", len(records), len(want))
		}
		for _, r := range records {
			var got count
			for _, c := range r.Service.Capacity {
				got.ready, got.total = got.ready+c.Ready, got.total+c.Total
			}
			if got != want[r.Service.Service] {
				t.Fatalf("%s: capacity %+v, want %+v", r.Key(), got, want[r.Service.Service])
			}
		}
	})
}

func TestLawOrderOfWorkloadsDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		workloads := append(genWorkloads(t), gateway("g1", "192.0.2.1", true), gateway("g2", "192.0.2.1", false))
		in := Input{Terms: openTerms, Workloads: workloads}
		a, why := Records(in)
		in.Workloads = rapid.Permutation(workloads).Draw(t, "permuted")
		b, whyToo := Records(in)
		if upserts, removals := Diff(a, b); len(upserts)+len(removals) > 0 || !slices.Equal(why, whyToo) {
			t.Fatalf("another order gives other records: %+v %q; reasons %q, %q", upserts, removals, why, whyToo)
		}
		if !slices.IsSortedFunc(a, func(x, y model.Record) int { return strings.Compare(x.Key(), y.Key()) }) {
			t.Fatal("records are not sorted by key")
		}
	})
}

func TestLawDiffLeadsFromPrevToNext(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prev, _ := Records(Input{Terms: openTerms, Workloads: genWorkloads(t)})
		next, _ := Records(Input{Terms: openTerms, Workloads: genWorkloads(t)})
		held := mirror{}
		held.apply(prev, nil)
		upserts, removals := Diff(prev, next)
		held.apply(upserts, removals)
		if !held.is(next) {
			t.Fatalf("the diff %+v %q does not lead to %+v", upserts, removals, next)
		}
		if u, r := Diff(next, next); len(u)+len(r) > 0 {
			t.Fatalf("equal sets differ by %+v %q", u, r)
		}
	})
}

// mirror is what a receiver of upserts and removals holds.
type mirror map[string]model.Record

func (m mirror) apply(upserts []model.Record, removals []string) {
	for _, r := range upserts {
		m[r.Key()] = r
	}
	for _, k := range removals {
		delete(m, k)
	}
}

func (m mirror) is(records []model.Record) bool {
	if len(m) != len(records) {
		return false
	}
	for _, r := range records {
		if held, ok := m[r.Key()]; !ok || !Equal(held, r) {
			return false
		}
	}
	return true
}

func TestEqualSeesEveryKind(t *testing.T) {
	status := func(v string) model.Record { return model.Record{Status: &model.SiteStatus{AgentVersion: v}} }
	gateways := func(a string) model.Record { return model.Record{Gateways: []model.Gateway{{Address: a}}} }
	verdicts := func(bad bool) model.Record {
		return model.Record{Verdicts: &model.VerdictSet{Cluster: "zug", Verdicts: []model.Verdict{{Bad: bad}}}}
	}
	if Equal(verdicts(true), verdicts(false)) || !Equal(verdicts(true), verdicts(true)) {
		t.Error("verdicts are not compared")
	}
	if Equal(status("1"), status("2")) || Equal(gateways("a"), gateways("b")) || Equal(status("1"), gateways("a")) {
		t.Error("different records are equal")
	}
	if !Equal(status("1"), status("1")) || !Equal(gateways("a"), gateways("a")) {
		t.Error("equal records differ")
	}
}
