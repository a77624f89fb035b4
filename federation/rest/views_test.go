package rest_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/federation/state"
)

func serviceRecord(namespace, name, region string, ready, total uint32) model.Record {
	return model.Record{Service: &model.ServiceRecord{
		Service:    model.ServiceKey{Namespace: namespace, Name: name},
		Ports:      []model.Port{{Name: "http", Number: 8080, Protocol: model.ProtocolHTTP}},
		Identities: []string{"spiffe://" + region + ".acme/ns/" + namespace + "/sa/" + name},
		Capacity:   []model.Capacity{{Locality: model.Locality{Region: region, Zone: region + "-a"}, Ready: ready, Total: total}},
	}}
}

func gateways(region string) model.Record {
	return model.Record{Gateways: []model.Gateway{{Name: "gw", Address: "10.0.0.1", Port: 7722, Locality: model.Locality{Region: region}}}}
}

func openRule(t *testing.T, g *group, name, spec string) {
	t.Helper()
	g.apply(state.PutPolicy{Kind: string(policy.KindExportRule), Name: name, JSON: []byte(`{"name":"` + name + `","spec":` + spec + `}`)})
}

func TestServicesWithTheirOffersAndFreshness(t *testing.T) {
	g := newGroup(t)
	eu, us, _ := joined(g, "eu", 1), joined(g, "us", 2), joined(g, "ap", 3)
	openRule(t, g, "cart", `{"from":["eu"],"namespaces":["shop"],"services":["cart"],"to":["*"]}`)
	openRule(t, g, "bank", `{"from":["*"],"namespaces":["bank"],"to":["*"]}`)
	publish(g, us, start.Add(-6*time.Minute), serviceRecord("shop", "cart", "us", 1, 2), serviceRecord("shop", "ant", "us", 1, 1))
	publish(g, eu, start.Add(-2*time.Second), serviceRecord("shop", "cart", "eu", 3, 4), serviceRecord("bank", "ledger", "eu", 1, 1), gateways("eu"))
	// Neither an origin that is no member nor one of an earlier membership counts.
	publish(g, model.Cluster{Name: "stranger", Incarnation: 1}, start, serviceRecord("shop", "cart", "moon", 9, 9))
	g.apply(state.RemoveCluster{Name: "ap"})
	publish(g, model.Cluster{Name: joined(g, "ap", 4).Name, Incarnation: 1}, start, serviceRecord("shop", "cart", "ap", 9, 9))

	var list rest.List[rest.ServiceView]
	g.do("lead", http.MethodGet, "/v1/services", "").ok(http.StatusOK, &list)
	var hosts []string
	for _, s := range list.Items {
		hosts = append(hosts, s.Host)
	}
	want := []string{"ledger.bank.svc.clusterset.local", "ant.shop.svc.clusterset.local", "cart.shop.svc.clusterset.local"}
	if !slices.Equal(hosts, want) {
		t.Fatalf("services are %v, want %v", hosts, want)
	}
	cart := list.Items[2]
	if len(cart.Offers) != 2 || cart.Offers[0].Cluster != "eu" || cart.Offers[1].Cluster != "us" {
		t.Fatalf("cart is offered by %+v", cart.Offers)
	}
	fresh, old := cart.Offers[0], cart.Offers[1]
	if ready, total := fresh.Ready(); ready != 3 || total != 4 {
		t.Errorf("eu has %d of %d ready", ready, total)
	}
	if fresh.Stale || fresh.AgeSeconds != 2 || !old.Stale || old.AgeSeconds != 360 {
		t.Errorf("ages are %g s (stale %t) and %g s (stale %t)", fresh.AgeSeconds, fresh.Stale, old.AgeSeconds, old.Stale)
	}
	if !slices.Equal(fresh.ImportedBy, []string{"ap", "us"}) || len(old.ImportedBy) != 0 {
		t.Errorf("imported by %v and %v", fresh.ImportedBy, old.ImportedBy)
	}
	// The rule opens bank, the cluster's join token does not.
	if offers := list.Items[0].Offers; len(offers[0].ImportedBy) != 0 {
		t.Errorf("ledger is imported by %v", offers[0].ImportedBy)
	}

	g.do("lead", http.MethodGet, "/v1/services?namespace=bank", "").ok(http.StatusOK, &list)
	if len(list.Items) != 1 || list.Items[0].Name != "ledger" {
		t.Errorf("namespace bank has %+v", list.Items)
	}
}

// A record that this version cannot read, or that stands under another's name, hides nothing else.
func TestRecordsThatMeanNothingAreLeftOut(t *testing.T) {
	g := newGroup(t)
	eu := joined(g, "eu", 1)
	publish(g, eu, start, serviceRecord("shop", "cart", "eu", 1, 1))
	good, _ := g.catalog.Records("eu")
	version := model.Version{Incarnation: eu.Incarnation, Epoch: 3, Seq: 15}
	record := good["service/shop/cart"]
	out := g.catalog.Merge(model.Batch{Origin: "eu", To: version, Full: true, ProducedAt: start, Upserts: []model.SignedRecord{
		record, {Key: "service/shop/other", Record: record.Record}, {Key: "service/shop/x", Record: []byte{0xff}}, {Key: "status", Record: []byte{0xff}},
	}})
	if !out.Changed {
		t.Fatalf("%+v", out)
	}
	var list rest.List[rest.ServiceView]
	g.do("lead", http.MethodGet, "/v1/services", "").ok(http.StatusOK, &list)
	if len(list.Items) != 1 || len(list.Items[0].Offers) != 1 {
		t.Errorf("services are %+v", list.Items)
	}
}

func TestAClusterThatNobodyCanCallIsAProblem(t *testing.T) {
	g := newGroup(t)
	eu, us := joined(g, "eu", 1), joined(g, "us", 2)
	publish(g, eu, start, serviceRecord("shop", "cart", "eu", 1, 1), serviceRecord("shop", "ant", "eu", 1, 1))
	publish(g, us, start, serviceRecord("shop", "cart", "us", 1, 1), gateways("us"))
	problems := func() []string {
		var st rest.Status
		g.do("lead", http.MethodGet, "/v1/status", "").ok(http.StatusOK, &st)
		return slices.DeleteFunc(st.Problems, func(p string) bool { return !strings.Contains(p, "gateway") })
	}
	if got := problems(); len(got) != 0 {
		t.Errorf("nothing is open to others, yet: %q", got)
	}
	openRule(t, g, "cart", `{"from":["*"],"namespaces":["shop"],"services":["cart"],"to":["*"]}`)
	if got := problems(); len(got) != 1 || !strings.Contains(got[0], "cluster eu offers services to other clusters (1)") || !strings.Contains(got[0], "hanse proxy --gateway") {
		t.Errorf("without a gateway: %q", got)
	}
	publish(g, eu, start, serviceRecord("shop", "cart", "eu", 1, 1), gateways("eu"))
	if got := problems(); len(got) != 0 {
		t.Errorf("with a gateway: %q", got)
	}
}

func TestClustersWithWhatTheirFeedSays(t *testing.T) {
	g := newGroup(t)
	us := joined(g, "us", 2)
	joined(g, "eu", 1)
	g.live.connected["us"] = true
	g.live.refused["us"] = []string{"service/bank/ledger: not open"}
	g.live.feeds["us"] = rest.LiveFeed{Rivals: []string{"i2"}, SlowedDown: true}
	expiry := start.Add(3 * time.Hour)
	publish(g, us, start.Add(-11*time.Second), gateways("us"), serviceRecord("shop", "cart", "us", 1, 1), model.Record{Status: &model.SiteStatus{
		AgentVersion: "v1", EarliestExpiry: expiry, Dropped: []string{"shop/x: no port"}, Held: []string{"12 of 20 services of cluster eu vanished"},
		Proxies: []model.ProxyStatus{{Workload: "cart-1", Connected: true, Nacks: []model.Nack{{TypeURL: "lds", Reason: "bad listener", At: start}}}},
	}})

	var list rest.List[rest.ClusterView]
	g.do("follow", http.MethodGet, "/v1/clusters", "").ok(http.StatusOK, &list)
	if len(list.Items) != 2 || list.Items[0].Name != "eu" || list.Items[0].Feed != nil || list.Items[0].Connected {
		t.Fatalf("clusters are %+v", list.Items)
	}
	c := list.Items[1]
	if c.Feed == nil || c.Feed.Epoch != 3 || c.Feed.Seq != 14 || c.Feed.Records != 3 || c.Feed.AgeSeconds != 11 || c.Feed.Stale ||
		!c.Feed.Complete || c.Feed.Bytes == 0 || c.Feed.Instance != "i1" || !slices.Equal(c.Feed.Rivals, []string{"i2"}) || !c.Feed.SlowedDown {
		t.Errorf("feed is %+v", c.Feed)
	}
	if !c.Connected || len(c.Gateways) != 1 || c.Status == nil || c.Status.AgentVersion != "v1" || len(c.Refused) != 1 {
		t.Errorf("us is %+v", c)
	}
	var one rest.ClusterView
	g.do("lead", http.MethodGet, "/v1/clusters/us", "").ok(http.StatusOK, &one)
	if one.Name != "us" || one.TrustDomain != "us.acme" || one.Feed == nil {
		t.Errorf("one is %+v", one)
	}
	g.do("lead", http.MethodGet, "/v1/clusters/nobody", "").problem(http.StatusNotFound, "nobody")

	g.live.alive["follow"] = true
	var st rest.Status
	g.do("lead", http.MethodGet, "/v1/status", "").ok(http.StatusOK, &st)
	if st.Federation != "acme" || st.Node != "lead" || st.Leader != "lead" || st.Index != g.state.View().Index || st.Services != 1 || st.Version != "v0" {
		t.Errorf("status is %+v", st)
	}
	if st.OutageBudgetSeconds == nil || *st.OutageBudgetSeconds != (3*time.Hour).Seconds() {
		t.Errorf("outage budget is %v", st.OutageBudgetSeconds)
	}
	for i, says := range []string{
		"eu has not published", "two agents publish as cluster us: instances i1 and i2", "us is silent for 11 s", "us sends more", "not open", "12 of 20", "no port", "bad listener",
	} {
		if i >= len(st.Problems) || !strings.Contains(st.Problems[i], says) {
			t.Errorf("problem %d does not say %q: %q", i, says, st.Problems)
		}
	}

	g.do("follow", http.MethodDelete, "/v1/clusters/us", "").ok(http.StatusOK, nil)
	g.do("follow", http.MethodDelete, "/v1/clusters/us", "").problem(http.StatusNotFound, "us")
	list = rest.List[rest.ClusterView]{}
	g.do("lead", http.MethodGet, "/v1/clusters", "").ok(http.StatusOK, &list)
	if len(list.Items) != 1 {
		t.Errorf("after the removal: %+v", list.Items)
	}
}

func TestNodesAndWhoLeads(t *testing.T) {
	g := newGroup(t)
	var list rest.List[rest.NodeView]
	g.do("follow", http.MethodGet, "/v1/nodes", "").ok(http.StatusOK, &list)
	if n := list.Items; len(n) != 2 || n[0].Name != "follow" || !n[0].Alive || n[0].Leader || n[1].Alive || !n[1].Leader || n[1].Region != "eu" {
		t.Errorf("nodes are %+v", list.Items)
	}
	g.leader = ""
	var st rest.Status
	g.do("follow", http.MethodGet, "/v1/status", "").ok(http.StatusOK, &st)
	if len(st.Problems) != 2 || !strings.Contains(st.Problems[0], "no leader") || !strings.Contains(st.Problems[1], "lead does not answer") {
		t.Errorf("problems are %q", st.Problems)
	}
	if st.OutageBudgetSeconds != nil {
		t.Errorf("an outage budget of %g s from nowhere", *st.OutageBudgetSeconds)
	}
}

// The budget is that of the cluster whose certificate ends first, and never less than nothing.
func TestTheOutageBudgetIsTheShortest(t *testing.T) {
	g := newGroup(t)
	for i, expiry := range []time.Time{start.Add(time.Hour), start.Add(time.Minute), {}} {
		c := joined(g, "c"+string(rune('1'+i)), byte(i))
		publish(g, c, start, model.Record{Status: &model.SiteStatus{EarliestExpiry: expiry}})
	}
	for _, want := range []float64{60, 0} {
		var st rest.Status
		g.do("lead", http.MethodGet, "/v1/status", "").ok(http.StatusOK, &st)
		if st.OutageBudgetSeconds == nil || *st.OutageBudgetSeconds != want {
			t.Errorf("the budget is %v, want %g s", st.OutageBudgetSeconds, want)
		}
		g.clock.Advance(2 * time.Minute)
	}
}

func TestANodeThatHasStoppedIsForgotten(t *testing.T) {
	g := newGroup(t)
	g.live.alive["follow"] = true
	var one rest.NodeView
	g.do("lead", http.MethodGet, "/v1/nodes/follow", "").ok(http.StatusOK, &one)
	if one.Name != "follow" || !one.Alive || one.Leader {
		t.Errorf("follow is %+v", one)
	}
	g.do("lead", http.MethodDelete, "/v1/nodes/follow", "").problem(http.StatusConflict, "stop its process first")
	g.do("lead", http.MethodDelete, "/v1/nodes/lead", "").problem(http.StatusConflict, "lead still answers")
	g.live.alive["follow"] = false
	g.do("lead", http.MethodDelete, "/v1/nodes/follow?dryRun=true", "").ok(http.StatusOK, nil)
	g.do("lead", http.MethodGet, "/v1/nodes/follow", "").ok(http.StatusOK, nil)
	g.do("lead", http.MethodDelete, "/v1/nodes/follow", "").ok(http.StatusOK, nil)
	g.do("lead", http.MethodGet, "/v1/nodes/follow", "").problem(http.StatusNotFound, "follow")
	g.do("lead", http.MethodDelete, "/v1/nodes/follow", "").problem(http.StatusNotFound, "follow")
}
