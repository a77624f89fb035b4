package explain

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/gateway/route"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

var update = flag.Bool("update", false, "write the golden files anew")

func explained(t *testing.T, in Input, q Question) Explanation {
	t.Helper()
	e, err := Explain(in, q)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// scenarios are worlds in which one thing is not as it should be, with what the explanation must say of it first.
var scenarios = map[string]struct {
	plant func(*Input, *Question)
	// first must be part of the first problem, summary of the summary; empty is not looked at.
	first, summary string
}{
	"well": {func(*Input, *Question) {}, "", "calls go to eu (eu/a) 100 %"},
	"cluster": {func(in *Input, q *Question) {
		q.Proxy, in.InForce = "", nil
		in.Facts.Workloads[0].Locality = at("eu", "c")
	}, "", ""},
	"wrong region name": {func(in *Input, _ *Question) { in.Facts.Failover[0].Spec.Failover[0].To = []string{"su"} },
		`FailoverPolicy near: `, ""},
	"export rule missing": {func(in *Input, _ *Question) {
		in.Facts.Exports, in.Facts.Imports, in.Facts.Workloads = nil, nil, in.Facts.Workloads[:1]
	}, "no ExportRule opens service payments.shop of cluster asia to cluster eu: add one", "calls go nowhere: no ExportRule"},
	"export rule for others": {func(in *Input, _ *Question) {
		in.Facts.Exports[0].Spec.To, in.Facts.Imports, in.Facts.Workloads = []string{"asia"}, nil, in.Facts.Workloads[:1]
	}, "ExportRule shop opens service payments.shop of cluster asia, but not to cluster eu: add it to the rule's 'to'", "calls go nowhere"},
	"import rule missing": {func(in *Input, _ *Question) {
		in.Facts.Takes = []policy.ImportRule{{Name: "hr-only", Spec: policy.ImportRuleSpec{To: []string{"eu"}, From: []string{"*"}, Namespaces: []string{"hr"}}}}
		in.Facts.Imports, in.Facts.Workloads = nil, in.Facts.Workloads[:1]
	}, "ImportRule hr-only limits what cluster eu takes, and none admits service payments.shop of cluster asia: add it to one of them", "calls go nowhere: ImportRule"},
	"denied namespace": {func(in *Input, _ *Question) {
		us := in.Facts.Members["us"]
		us.ExportNamespaces = []string{"hr"}
		in.Facts.Members = map[model.ClusterName]model.Cluster{"eu": in.Facts.Members["eu"], "us": us}
		in.Facts.Imports, in.Facts.Workloads = nil, in.Facts.Workloads[:1]
	}, "the join token of cluster us does not let it export namespace shop", "calls go nowhere"},
	"denied identity": {func(in *Input, _ *Question) {
		in.Facts.Imports[0].Record.Identities = []string{"spiffe://asia.acme/ns/shop/sa/payments"}
	}, "not the cluster's to claim", ""},
	"expired certificate": {func(in *Input, _ *Question) {
		ended := noon.Add(-time.Minute)
		in.InForce.CertificateExpiresAt = &ended
	}, "the certificate of proxy web-1 ended at 2026-03-01T11:59:00Z", "calls go to eu"},
	"nack": {func(in *Input, _ *Question) {
		in.InForce.Acknowledged, in.InForce.Newest = 40, false
		in.InForce.Nacks = []model.Nack{{TypeURL: "type/Cluster", Reason: "no such field", At: noon}}
	}, "refuses a part of its configuration and keeps the last good one: no such field", ""},
	"behind": {func(in *Input, _ *Question) {
		in.InForce.Acknowledged, in.InForce.Newest, in.InForce.Reason = 40, false, "its Envoy is slow"
	},
		"proxy web-1 does not follow yet what is said here: its Envoy is slow", ""},
	"gateway unreachable": {func(in *Input, _ *Question) {
		in.Facts.Gateways["us"][0].Reach = route.ReachBad
		g := in.find("gw-1")
		g.Own, g.Reachable, g.LastError, g.BadFor = "bad", "bad", "connection refused", []model.ClusterName{"asia"}
	}, "gateway gw-1 of us at 192.0.2.1:15443 is unreachable (own probes: bad since 2026-03-01T11:00:00Z (connection refused))", ""},
	"degraded path": {func(in *Input, _ *Question) {
		in.Facts.Gateways["asia"][0].Degraded, in.find("gw").Degraded = true, true
	}, "the path to gateway gw of asia at 198.51.100.1:15443 has become much longer", ""},
	"draining": {func(in *Input, _ *Question) {
		in.Facts.Gateways["us"][1].Draining, in.find("gw-2").Draining = true, true
	}, "gateway gw-2 of us at 192.0.2.2:15443 is out of rotation", ""},
	"draining workloads": {func(in *Input, _ *Question) {
		for i := range in.Facts.Workloads[1:] {
			in.Facts.Workloads[i+1].Health.Draining = true
		}
	}, "workload pay-1 of this cluster drains", "calls go to us (us/a) 100 %"},
	"no gateway": {func(in *Input, _ *Question) { delete(in.Facts.Gateways, "us"); in.Gateways = in.Gateways[:1] },
		"cluster us offers the service, but no gateway of it is known here", ""},
	"stale feed": {func(in *Input, _ *Question) {
		in.Facts.Imports[0].Stale, in.Origins[1].Stale, in.Origins[1].AgeSeconds = true, true, 400
	}, "what cluster us offers is stale: its agent has not confirmed it for 6m40s", ""},
	"conflict": {func(in *Input, _ *Question) { in.Facts.Imports[0].Record.Ports[0].Protocol = model.ProtocolTCP },
		"port 80 of service payments.shop is http in workload pay-1 of cluster eu but tcp in cluster us", ""},
	"no bundle":  {func(in *Input, _ *Question) { in.Facts.Bundles = in.Facts.Bundles[:2] }, "no bundle of trust domain us.acme (cluster us) is believed here", ""},
	"not called": {func(in *Input, _ *Question) { in.Facts.Workloads[0].Upstreams = nil }, "proxy web-1 does not offer the service to its workload", ""},
	"pods": {func(in *Input, q *Question) {
		asPods(in, q)
		in.Facts.Workloads[1].Health.Ready = false
	}, "workload pay-1 of this cluster is not ready", "calls go to eu"},
	"no egress port": {func(in *Input, q *Question) {
		asPods(in, q)
		in.Facts.EgressPorts = nil
	}, "egress gateway egress does not offer the port", ""},
	"pods beside Envoys": {func(in *Input, q *Question) {
		asPods(in, q)
		r := &in.Facts.Imports[0].Record
		r.Identities, r.Capacity = []string{"spiffe://us.acme/ns/shop/sa/payments"}, []model.Capacity{{Locality: at("us", "b"), Ready: 1, Total: 1}}
		in.Facts.Workloads = in.Facts.Workloads[:1]
	}, "", "calls go to us (us/b)"},
	"wrong port": {func(_ *Input, q *Question) { q.Port = "grpc" }, `service has no port "grpc": give one of http (80)`, "calls go nowhere"},
	"left out by policy": {func(in *Input, _ *Question) { in.Facts.Failover[0].Spec.Failover[0].Only = true },
		"", ""},
	"fails back": {func(in *Input, _ *Question) {
		in.Facts.Ramps = map[route.RampKey]uint32{
			{Service: pay, Cluster: "eu", Locality: at("eu", "a")}: 25,
			{Service: pay, Cluster: "us", Locality: at("us", "a")}: route.HeldDown,
		}
	}, "", ""},
}

// asPods takes the Envoys away from beside the workloads, and has an egress gateway ask.
func asPods(in *Input, q *Question) {
	f := &in.Facts
	f.Workloads[0] = model.Workload{
		ID: "egress", Namespace: model.SystemNamespace, ServiceAccount: model.EgressServiceAccount, Locality: at("eu", "a"),
		Health: model.WorkloadHealth{Ready: true}, Egress: &model.WorkloadEgress{Bind: "::"},
	}
	q.Proxy = "egress"
	for i := range f.Workloads[1:] {
		w := &f.Workloads[i+1]
		w.Plain, w.InboundPort, w.Ports = true, 0, []model.WorkloadPort{{Port: http, Target: w.Address + ":8080"}}
	}
	f.EgressPorts = map[snapshot.EgressPort]uint16{{Service: pay, Number: 80}: 20000}
	r := &f.Imports[0].Record
	r.Terminated, r.Capacity, r.Identities = r.Capacity, nil, nil
}

func TestScenarios(t *testing.T) {
	for name, s := range scenarios {
		t.Run(name, func(t *testing.T) {
			in, q := world()
			s.plant(&in, &q)
			e := explained(t, in, q)
			if s.first != "" && (len(e.Problems) == 0 || !strings.Contains(e.Problems[0], s.first)) {
				t.Errorf("the problems are %q, first must be %q", e.Problems, s.first)
			}
			if !strings.Contains(e.Summary, s.summary) {
				t.Errorf("the summary is %q, not %q", e.Summary, s.summary)
			}
			golden(t, name, e)
		})
	}
}

func golden(t *testing.T, name string, e Explanation) {
	t.Helper()
	got, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	path := filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".json")
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("the explanation differs from %s: if that is meant, run the test with -update and read the difference\n%s", path, got)
	}
}

func TestNothingIsWrongWhereAllIsWell(t *testing.T) {
	in, q := world()
	if e := explained(t, in, q); len(e.Problems) != 0 {
		t.Errorf("problems %q", e.Problems)
	}
}

func TestAStrangerIsNotExplained(t *testing.T) {
	in, q := world()
	q.Proxy = "nobody"
	if _, err := Explain(in, q); err == nil || !strings.Contains(err.Error(), `cluster eu has no proxy "nobody"`) {
		t.Errorf("got %v", err)
	}
}

func TestWhichPolicyCounts(t *testing.T) {
	in, q := world()
	all, some := policy.RegionOrder{From: "*", To: []string{"asia"}}, policy.RegionOrder{From: "eu", To: []string{"us"}}
	in.Facts.Failover = []policy.FailoverPolicy{
		{Name: "all", Spec: policy.FailoverPolicySpec{Failover: []policy.RegionOrder{all}}},
		{Name: "shop", Spec: policy.FailoverPolicySpec{Namespace: "shop", Failover: []policy.RegionOrder{some}}},
		{Name: "us-only", Spec: policy.FailoverPolicySpec{Namespace: "shop", Services: []string{"payments"}, Failover: []policy.RegionOrder{{From: "us", To: []string{"eu"}}}}},
	}
	p := explained(t, in, q).Policy
	if p.Name != "shop" || len(p.Others) != 1 || p.Others[0] != "all" || p.Order.From != "eu" {
		t.Errorf("got %+v", p)
	}
}

func TestPercentText(t *testing.T) {
	for percent, want := range map[float64]string{0: "0 %", 0.001: "<1 %", 0.999: "<1 %", 1: "1 %", 99.4: "99 %", 100: "100 %"} {
		if got := PercentText(percent); got != want {
			t.Errorf("%v is %q, want %q", percent, got, want)
		}
	}
}
