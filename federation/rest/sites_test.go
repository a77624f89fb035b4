package rest_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/rest"
)

func verdict(of model.ClusterName, bad bool) model.Record {
	return model.Record{Verdicts: &model.VerdictSet{Cluster: of, Verdicts: []model.Verdict{{
		Gateway: "gw", Address: "10.0.0.1", Port: 7722, Bad: bad, Since: start.Add(-time.Minute),
	}}}}
}

// sitesOf publishes three sites: us finds eu's gateway bad, and so did ap, which has been silent since.
func sitesOf(t *testing.T) *group {
	g := newGroup(t)
	eu, us, ap := joined(g, "eu", 1), joined(g, "us", 2), joined(g, "ap", 3)
	status := model.Record{Status: &model.SiteStatus{AgentVersion: "v1", Proxies: []model.ProxyStatus{
		{Workload: "cart-2", Connected: true, Ready: true}, {Workload: "cart-1", Nacks: []model.Nack{{TypeURL: "lds", Reason: "bad", At: start}}},
	}}}
	publish(g, eu, start.Add(-time.Second), gateways("eu"), serviceRecord("shop", "cart", "eu", 1, 2), status)
	publish(g, us, start.Add(-2*time.Second), gateways("us"), verdict("eu", true), verdict("ap", false))
	publish(g, ap, start.Add(-time.Minute), verdict("eu", true), model.Record{Status: &model.SiteStatus{AgentVersion: "v1"}})
	// A member of an earlier time counts for nothing.
	publish(g, model.Cluster{Name: "gone", Incarnation: 1}, start, gateways("gone"))
	return g
}

func TestGatewaysWithWhoFindsThemBad(t *testing.T) {
	g := sitesOf(t)
	var list rest.List[rest.GatewayView]
	g.do("lead", http.MethodGet, "/v1/gateways", "").ok(http.StatusOK, &list)
	if got := names(list.Items, func(v rest.GatewayView) string { return string(v.Cluster) }); !slices.Equal(got, []string{"eu", "us"}) {
		t.Fatalf("gateways of %v", got)
	}
	eu, us := list.Items[0], list.Items[1]
	if !slices.Equal(eu.BadTo, []model.ClusterName{"us"}) || len(us.BadTo) != 0 || eu.AgeSeconds != 1 || eu.Port != 7722 {
		t.Errorf("gateways are %+v", list.Items)
	}
	list = rest.List[rest.GatewayView]{}
	g.do("lead", http.MethodGet, "/v1/gateways?cluster=us", "").ok(http.StatusOK, &list)
	if len(list.Items) != 1 || list.Items[0].Cluster != "us" {
		t.Errorf("of us: %+v", list.Items)
	}
}

func TestVerdictsByProber(t *testing.T) {
	g := sitesOf(t)
	say := func(v rest.VerdictView) string {
		if v.Bad {
			return string(v.Prober + " finds " + v.Cluster + " bad")
		}
		return string(v.Prober + " finds " + v.Cluster + " good")
	}
	for query, want := range map[string][]string{
		"":                             {"ap finds eu bad", "us finds ap good", "us finds eu bad"},
		"?prober=us":                   {"us finds ap good", "us finds eu bad"},
		"?cluster=eu":                  {"ap finds eu bad", "us finds eu bad"},
		"?prober=us&cluster=eu":        {"us finds eu bad"},
		"?prober=eu":                   nil,
		"?limit=1":                     {"ap finds eu bad"},
		"?cluster=eu&consistent=false": {"ap finds eu bad", "us finds eu bad"},
	} {
		var list rest.List[rest.VerdictView]
		g.do("lead", http.MethodGet, "/v1/verdicts"+query, "").ok(http.StatusOK, &list)
		if got := names(list.Items, say); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}

func TestWorkloadsOfSites(t *testing.T) {
	g := sitesOf(t)
	var list rest.List[rest.WorkloadView]
	g.do("follow", http.MethodGet, "/v1/workloads", "").ok(http.StatusOK, &list)
	if got := names(list.Items, func(w rest.WorkloadView) string { return w.Workload }); !slices.Equal(got, []string{"cart-1", "cart-2"}) {
		t.Fatalf("workloads are %v", got)
	}
	if w := list.Items[0]; w.Cluster != "eu" || len(w.Nacks) != 1 || w.AgeSeconds != 1 {
		t.Errorf("cart-1 is %+v", w)
	}
	list = rest.List[rest.WorkloadView]{}
	g.do("follow", http.MethodGet, "/v1/workloads?cluster=us", "").ok(http.StatusOK, &list)
	if len(list.Items) != 0 {
		t.Errorf("of us: %+v", list.Items)
	}
}

func TestOneServiceWithItsEndpoints(t *testing.T) {
	g := sitesOf(t)
	var one rest.ServiceDetail
	g.do("lead", http.MethodGet, "/v1/services/shop/cart", "").ok(http.StatusOK, &one)
	if one.Host != "cart.shop.svc.clusterset.local" || len(one.Offers) != 1 || len(one.Endpoints) != 1 {
		t.Fatalf("cart is %+v", one)
	}
	e := one.Endpoints[0]
	if e.Cluster != "eu" || e.Ready != 1 || e.Total != 2 || e.AgeSeconds != 1 || len(e.Gateways) != 1 || len(e.Gateways[0].BadTo) != 1 {
		t.Errorf("its endpoint is %+v", e)
	}
	g.do("lead", http.MethodGet, "/v1/services/shop/nothing", "").problem(http.StatusNotFound, "shop/nothing")
	g.do("lead", http.MethodGet, "/v1/services/Shop/cart", "").problem(http.StatusUnprocessableEntity, "path.namespace")
	for query, want := range map[string]int{"?cluster=eu": 1, "?cluster=us": 0, "?namespace=bank": 0} {
		var list rest.List[rest.ServiceView]
		g.do("lead", http.MethodGet, "/v1/services"+query, "").ok(http.StatusOK, &list)
		if len(list.Items) != want {
			t.Errorf("%s: %+v", query, list.Items)
		}
	}
}
