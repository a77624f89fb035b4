package rest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/federation/state"
)

// started runs a node's API until stop is called.
func (g *group) started(node string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.nodes[node].(*rest.API).Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			g.t.Error(err)
		}
	}
}

// observed runs a node's observation. Each call of look has it look once, as much later as it does by itself.
func observed(g *group, node string) (look func()) {
	g.t.Helper()
	g.t.Cleanup(g.started(node))
	sleeps := func() {
		g.t.Helper()
		patience, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := g.clock.BlockUntil(patience, 1); err != nil {
			g.t.Fatal(err)
		}
	}
	return func() {
		g.t.Helper()
		sleeps()
		g.clock.Advance(2 * time.Second)
		sleeps()
	}
}

func eventsOf(g *group, query string) rest.List[rest.Event] {
	g.t.Helper()
	var list rest.List[rest.Event]
	g.do("lead", http.MethodGet, "/v1/events"+query, "").ok(http.StatusOK, &list)
	return list
}

// site is a cluster that publishes again and again.
type site struct {
	g    *group
	as   model.Cluster
	seqs uint64
}

func (s *site) publish(records ...model.Record) {
	s.g.t.Helper()
	s.seqs++
	version := model.Version{Incarnation: s.as.Incarnation, Epoch: 1, Seq: s.seqs}
	b := model.Batch{Origin: s.as.Name, To: version, Full: true, ProducedAt: s.g.clock.Now(), Instance: "i1"}
	for _, r := range records {
		r.Cluster, r.Version = s.as.Name, version
		data, err := codec.MarshalRecord(r)
		if err != nil {
			s.g.t.Fatal(err)
		}
		b.Upserts = append(b.Upserts, model.SignedRecord{Key: r.Key(), Record: data, Signature: []byte("signature")})
	}
	if out := s.g.catalog.Merge(b); !out.Changed {
		s.g.t.Fatalf("%+v", out)
	}
}

func TestEventsOfAFederation(t *testing.T) {
	g := newGroup(t)
	look := observed(g, "lead")
	eu, us := &site{g: g, as: joined(g, "eu", 1)}, &site{g: g, as: joined(g, "us", 2)}
	eu.publish()
	us.publish()
	g.live.alive["follow"], g.live.connected["eu"] = true, true
	seen := uint64(0)
	// expect looks, and compares what is new.
	expect := func(what string, want ...string) {
		t.Helper()
		look()
		var got []string
		for _, e := range eventsOf(g, fmt.Sprint("?after=", seen)).Items {
			if e.Sequence <= seen || e.At.After(g.clock.Now()) || e.At.Before(g.clock.Now().Add(-2*time.Second)) {
				t.Errorf("%s: %+v at %s", what, e, g.clock.Now())
			}
			seen = e.Sequence
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Subject, e.Type, e.Phase))+": "+e.Message)
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	expect("at first, the members are no news", "Cluster/eu AgentConnected began: the agent of cluster eu has connected to this node")
	expect("nothing")

	g.leader, g.live.alive["follow"] = "follow", false
	g.live.refused["us"] = []string{"service/bank/ledger: not open"}
	g.live.feeds["us"] = rest.LiveFeed{Rivals: []string{"i2"}, SlowedDown: true}
	expect("a bad moment",
		"Node/follow LeaderChanged: node follow leads, and no longer lead",
		"Cluster/us Conflict began: two agents would publish as cluster us: instance i2 does not get to",
		"Node/follow NodeDead began: node follow does not answer",
		"Cluster/us RecordRefused began: cluster us: record refused: service/bank/ledger: not open",
		"Cluster/us SlowedDown began: cluster us sends more than a node takes: it is slowed down",
	)
	g.leader, g.live.alive["follow"] = "", true
	delete(g.live.refused, "us")
	delete(g.live.feeds, "us")
	delete(g.live.connected, "eu")
	expect("a better one",
		"Cluster/eu AgentConnected ended: the agent of cluster eu has no session with this node any more",
		"Cluster/us Conflict ended: instance i2 would not publish as cluster us any more",
		"Node/follow NodeDead ended: node follow answers again",
		"Cluster/us RecordRefused ended: cluster us: no longer: record refused: service/bank/ledger: not open",
		"Cluster/us SlowedDown ended: cluster us is not slowed down any more",
		"Federation/acme NoLeader began: the federation has no leader as far as this node knows: policy and membership cannot change",
	)
	g.leader = "follow"
	expect("the same leader again", "Federation/acme NoLeader ended: the federation has a leader again")

	eu.publish(model.Record{Status: &model.SiteStatus{
		Held:    []string{"15 of 20 services of cluster us vanished at once; held until 2026"},
		Dropped: []string{"web: no port"},
		Proxies: []model.ProxyStatus{{Workload: "web-1", Nacks: []model.Nack{{Reason: "bad port"}, {Reason: "worse"}}}},
	}}, model.Record{Verdicts: &model.VerdictSet{Cluster: "us", Verdicts: []model.Verdict{
		{Gateway: "gw", Address: "10.0.0.1", Port: 7722, Bad: true}, {Gateway: "gw", Address: "10.0.0.2", Port: 7722},
	}}})
	us.publish()
	expect("what a cluster says",
		"Cluster/eu Dropped began: cluster eu: left out: web: no port",
		"Cluster/us GatewayUnreachable began: cluster eu does not reach gateway gw of cluster us (10.0.0.1 port 7722)",
		"Cluster/eu Nack began: cluster eu, proxy web-1: its Envoy refused a configuration: bad port",
		"Cluster/eu RemovalsHeld began: cluster eu: mass removal held: 15 of 20 services of cluster us vanished at once; held until 2026",
	)
	eu.publish(model.Record{Status: &model.SiteStatus{Held: []string{"16 of 20 services of cluster us vanished at once; held until 2027"}}})
	expect("what has become better, and a number that moves",
		"Cluster/eu Dropped ended: cluster eu: no longer: left out: web: no port",
		"Cluster/us GatewayUnreachable ended: cluster eu reaches gateway gw of cluster us (10.0.0.1 port 7722) again",
		"Cluster/eu Nack ended: cluster eu, proxy web-1: its Envoy refuses nothing any more",
	)
	g.apply(state.RemoveCluster{Name: "us"})
	joined(g, "ap", 3)
	expect("members come and go",
		"Cluster/us ClusterLeft: cluster us is no member any more",
		"Cluster/ap ClusterJoined: cluster ap has joined the federation",
	)
	g.clock.Advance(6 * time.Minute)
	expect("silence",
		"Cluster/eu FeedSilent began: cluster eu is silent: its last known state stays in force",
		"Cluster/eu FeedStale began: cluster eu is stale: what is fresh goes before it",
	)
	g.apply(state.RemoveNode{Name: "follow"})
	eu.publish()
	expect("it is back",
		"Cluster/eu FeedSilent ended: cluster eu is back",
		"Cluster/eu FeedStale ended: cluster eu is not stale any more",
		"Cluster/eu RemovalsHeld ended: cluster eu: no longer: mass removal held: 16 of 20 services of cluster us vanished at once; held until 2027",
		"Node/follow NodeLeft: node follow was removed from the federation",
	)
}

func TestEventsInPages(t *testing.T) {
	g := newGroup(t)
	look := observed(g, "lead")
	look()
	for range 600 {
		g.live.alive["follow"] = !g.live.alive["follow"]
		look()
	}
	all := eventsOf(g, "?limit=1000")
	if len(all.Items) != 601 || all.Continue != "" {
		t.Fatalf("%d events, continue %q", len(all.Items), all.Continue)
	}
	var paged []rest.Event
	for query := "?limit=100"; query != ""; {
		page := eventsOf(g, query)
		paged = append(paged, page.Items...)
		if query = ""; page.Continue != "" {
			query = "?limit=100&continue=" + page.Continue
		}
	}
	if !slices.Equal(paged, all.Items) {
		t.Errorf("pages have %d events", len(paged))
	}
	for query, want := range map[string]int{
		"?type=NodeDead": 500, "?type=Nack": 0, "?kind=Node&name=follow": 500, "?name=lead": 0, "?kind=Cluster": 0, "": 500,
		fmt.Sprint("?after=", paged[600].Sequence): 0, fmt.Sprint("?after=", paged[598].Sequence): 2,
	} {
		if got := len(eventsOf(g, query).Items); got != want {
			t.Errorf("%s: %d events, want %d", query, got, want)
		}
	}
	for range 600 {
		g.live.alive["follow"] = !g.live.alive["follow"]
		look()
	}
	if kept := eventsOf(g, "?limit=1000"); len(kept.Items) != 1000 || kept.Items[999].Sequence != paged[0].Sequence+1200 {
		t.Errorf("%d events are kept", len(kept.Items))
	}
	// A client that followed the node before a restart follows it after.
	if first := paged[0].Sequence; first != uint64(start.UnixMilli())+1 {
		t.Errorf("the first sequence is %d", first)
	}
	for query, says := range map[string]string{"?type=Sunrise": "type", "?limit=0": "limit", "?after=-1": "after"} {
		g.do("lead", http.MethodGet, "/v1/events"+query, "").problem(http.StatusUnprocessableEntity, says)
	}
}
