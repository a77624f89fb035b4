package main

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/cluster-agent/export"
	"github.com/hanse-mesh/hanse/cluster-agent/probe"
	"github.com/hanse-mesh/hanse/cluster-agent/verdict"
	"github.com/hanse-mesh/hanse/federation/diagnose"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
	"github.com/hanse-mesh/hanse/trust/authz"
)

var (
	checkedEU = model.Cluster{Name: "eu", TrustDomain: "eu.test", ExportNamespaces: []string{"shop"}, Region: "eu-west"}
	checkedUS = model.Cluster{Name: "us", TrustDomain: "us.test", ExportNamespaces: []string{"shop"}, Region: "us-east"}
	cartKey   = model.ServiceKey{Namespace: "shop", Name: "cart"}
)

// codesOf are the codes and subjects that a check makes of what the agent of eu says, and of what nodes say of its records.
func codesOf(dropped, refused []string) []string {
	c := diagnose.Cluster{Cluster: checkedEU, Published: true, Status: &model.SiteStatus{Dropped: dropped}, Refused: refused}
	var out []string
	for _, f := range diagnose.Diagnose(diagnose.Report{Clusters: diagnose.Have([]diagnose.Cluster{c}), Services: diagnose.Have([]diagnose.Service{})}) {
		if f.Group != diagnose.Unseen {
			out = append(out, string(f.Code)+" "+f.Subject)
		}
	}
	return out
}

// A check reads what agents say in words. These are the words of those who say them.
func TestCheckUnderstandsTheAgentsWords(t *testing.T) {
	point := probe.Point{
		Cluster: "us", Gateway: "gw-1", Port: 7722, Address: netip.MustParseAddr("10.0.0.1"), Own: verdict.Own{State: verdict.Bad, Since: time.Unix(0, 0)},
	}
	unheard := point
	unheard.State = verdict.Unknown
	for name, c := range map[string]struct {
		dropped, refused []string
		want             string
	}{
		"no rule":        {exportReasons(nil, model.Workload{}), nil, "export-rule-missing service/shop/cart/eu"},
		"a closed door":  {exportReasons(nil, model.Workload{Namespace: "hr", Service: model.ServiceKey{Namespace: "hr", Name: "pay"}}), nil, "namespace-closed service/hr/pay/eu"},
		"unfit":          {exportReasons(nil, model.Workload{Namespace: "other"}), nil, "workload-not-exported proxy/eu/cart-1"},
		"bad gateway":    {exportReasons(nil, model.Workload{Gateway: &model.WorkloadGateway{}}), nil, "gateway-not-published gateway/eu/cart-1"},
		"upstream":       {snapshotProblems(model.Upstream{Service: model.ServiceKey{Namespace: "shop", Name: "moon"}, Bind: "127.0.0.1:1"}), nil, "upstream-unknown proxy/eu/cart-1"},
		"wrong port":     {snapshotProblems(model.Upstream{Service: cartKey, Port: "x", Bind: "127.0.0.1:1"}), nil, "upstream-wrong proxy/eu/cart-1"},
		"protocols":      {snapshotProblems(model.Upstream{Service: cartKey, Bind: "127.0.0.1:1"}), nil, "port-conflict service/shop/cart"},
		"unreachable":    {[]string{unreachableText(point, verdict.Voices{})}, nil, "gateway-unreachable gateway/us/gw-1"},
		"by others":      {[]string{unreachableText(unheard, verdict.Voices{Bad: []model.ClusterName{"ap"}})}, nil, "gateway-unreachable gateway/us/gw-1"},
		"degraded":       {[]string{degradedText(point)}, nil, "path-degraded path/eu/us"},
		"identity":       {nil, []string{"service/shop/cart: " + foreignIdentity()}, "identity-denied record/eu/service/shop/cart"},
		"other problems": {[]string{"the harbour is frozen"}, nil, "site-problem cluster/eu"},
	} {
		if got := codesOf(c.dropped, c.refused); !slices.Contains(got, c.want) {
			t.Errorf("%s: of %q it makes %q, want %q", name, slices.Concat(c.dropped, c.refused), got, c.want)
		} else if name != "other problems" && slices.Contains(got, "site-problem cluster/eu") {
			t.Errorf("%s: of %q it does not understand all: %q", name, c.dropped, got)
		}
	}
}

// exportReasons are an agent's words on a workload with some fields of its own.
func exportReasons(rules []policy.ExportRule, own model.Workload) []string {
	w := servingWorkload()
	if own.Namespace != "" {
		w.Namespace = own.Namespace
	}
	if !own.Service.IsZero() {
		w.Service = own.Service
	}
	if w.Gateway = own.Gateway; w.Gateway != nil {
		w.Service, w.Export = model.ServiceKey{}, false
	}
	_, reasons := export.Records(export.Input{Terms: export.Terms{Cluster: checkedEU, Rules: rules}, Workloads: []model.Workload{w}})
	return reasons
}

func servingWorkload() model.Workload {
	return model.Workload{
		ID: "cart-1", Service: cartKey, Namespace: "shop", ServiceAccount: "cart", Locality: model.Locality{Region: "eu-west"}, Export: true, Address: "127.0.0.1",
		Ports: []model.WorkloadPort{{Port: model.Port{Name: "http", Number: 80, Protocol: model.ProtocolHTTP}, Target: "127.0.0.1:8080"}}, InboundPort: 7721,
	}
}

// snapshotProblems are an agent's words on a workload that calls, and on another cluster that offers the same service's port as TCP.
func snapshotProblems(u model.Upstream) []string {
	w := servingWorkload()
	w.Upstreams = []model.Upstream{u}
	record := model.ServiceRecord{
		Service: cartKey, Ports: []model.Port{{Name: "http", Number: 80, Protocol: model.ProtocolTCP}}, Identities: []string{"spiffe://us.test/ns/shop/sa/cart"},
		Capacity: []model.Capacity{{Locality: model.Locality{Region: "us-east"}, Ready: 1, Total: 1}},
	}
	return siteProblems(snapshot.Build(snapshot.Inputs{
		Federation: "test", Cluster: "eu", TrustDomain: "eu.test", Workloads: []model.Workload{w},
		Imports: []snapshot.Import{{Cluster: "us", Record: record}}, Members: map[model.ClusterName]model.Cluster{"eu": checkedEU, "us": checkedUS},
		Exports: []policy.ExportRule{{Name: "all", Spec: policy.ExportRuleSpec{From: []string{"*"}, Namespaces: []string{"*"}, To: []string{"*"}}}},
	}))
}

func foreignIdentity() string {
	rules := []policy.ExportRule{{Name: "all", Spec: policy.ExportRuleSpec{From: []string{"*"}, Namespaces: []string{"*"}, To: []string{"*"}}}}
	return authz.CheckRecord(checkedEU, rules, model.Record{Cluster: "eu", Service: &model.ServiceRecord{
		Service: cartKey, Identities: []string{"spiffe://us.test/ns/shop/sa/cart"},
	}}).Error()
}
