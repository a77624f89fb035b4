package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/server"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/gateway/route"
)

func shops(first, last int) []string {
	var out []string
	for n := first; n < last; n++ {
		out = append(out, fmt.Sprint("s", n))
	}
	return out
}

// imported counts the services of others that the site could call, and those of them that are stale.
func (s *site) imported() (services, stale int) {
	s.t.Helper()
	in, _ := s.inputs()
	for _, i := range in.Imports {
		services++
		if i.Stale {
			stale++
		}
	}
	return services, stale
}

func TestAMassRemovalIsHeldAndReported(t *testing.T) {
	own, us := newPeer(t, "eu", 1), newPeer(t, "us", 2)
	s := newSite(t, t.TempDir(), own)
	s.source(fromProxies, all())
	s.State(opened(view(t, own, us)).Proto(false))
	s.Import(us.offers(t, 1, shops(0, 20)...))
	s.run()
	s.await("complete")
	s.Import(us.offers(t, 2, shops(15, 20)...))
	s.rest()
	if n, _ := s.imported(); n != 20 {
		t.Errorf("%d of 20 services in force", n)
	}
	r, _ := s.out.record(model.StatusKey)
	if held := r.Status.Held; len(held) != 1 || !strings.Contains(held[0], "15 of 20 services of cluster us vanished at once") || !strings.Contains(held[0], "hanse agent confirm-removals") {
		t.Errorf("the status says %q", held)
	}
	if i := s.importing(s.clock.Now()); len(i) != 1 || i[0].HeldRecords != 15 || i[0].Services != 20 || len(i[0].Held) != 1 {
		t.Errorf("imports are %+v", i)
	}
	for range 16 {
		s.rest()
	}
	if n, _ := s.imported(); n != 5 {
		t.Errorf("%d services in force after the hold", n)
	}
	if r, _ := s.out.record(model.StatusKey); len(r.Status.Held) != 0 {
		t.Errorf("the status still says %q", r.Status.Held)
	}
}

func TestWhatPolicyClosesIsGoneAtOnce(t *testing.T) {
	own, us := newPeer(t, "eu", 1), newPeer(t, "us", 2)
	s := newSite(t, t.TempDir(), own)
	s.source(fromProxies, all())
	s.State(opened(view(t, own, us)).Proto(false))
	s.Import(us.offers(t, 1, shops(0, 20)...))
	s.State(view(t, own, us).Proto(false))
	if n, _ := s.imported(); n != 0 {
		t.Errorf("%d services in force that no rule opens", n)
	}
	// What the node says next, of whichever version, holds nothing.
	s.OriginDropped("us")
	if i := s.importing(s.clock.Now()); i[0].Complete || i[0].HeldRecords != 0 {
		t.Errorf("imports are %+v", i)
	}
}

// says is a sign of life by a clock of the cluster's own.
func says(of model.Batch, at time.Duration) model.Batch {
	of.Full, of.Upserts, of.From, of.ProducedAt = false, nil, of.To, start.Add(at)
	return of
}

func TestStalenessBeginsAndEndsByItself(t *testing.T) {
	own, us, ap := newPeer(t, "eu", 1), newPeer(t, "us", 2), newPeer(t, "ap", 3)
	s := newSite(t, t.TempDir(), own)
	s.source(fromProxies, all(workload("cart-1", "cart")))
	s.State(opened(view(t, own, us, ap)).Proto(false))
	ofUs, ofAp := us.offers(t, 1, "pay"), ap.offers(t, 1, "pay")
	s.Import(ofUs)
	s.Import(ofAp)
	s.run()
	s.await("complete")
	s.clock.Advance(route.StaleAfter - time.Minute)
	s.Import(says(ofAp, time.Second))
	s.rest()
	s.clock.Advance(time.Minute)
	s.await("kick")
	if n, stale := s.imported(); n != 2 || stale != 1 {
		t.Errorf("%d of %d services are stale after %v", stale, n, route.StaleAfter)
	}
	s.rest()
	// The cluster's clock is far behind: what counts is that it has spoken.
	s.Import(says(ofUs, time.Second))
	s.await("kick")
	if n, stale := s.imported(); n != 2 || stale != 0 {
		t.Errorf("%d of %d services are stale after a sign of life", stale, n)
	}
}

func TestARestartTakesNothingForFresherThanTheDiskSays(t *testing.T) {
	dir, own, us := t.TempDir(), newPeer(t, "eu", 1), newPeer(t, "us", 2)
	before := newSite(t, dir, own)
	before.source(fromProxies, all())
	before.State(opened(view(t, own, us)).Proto(false))
	full := us.offers(t, 1, "pay")
	before.Import(full)
	before.run()
	before.await("complete")
	before.rest()
	for n := range 90 {
		before.rest()
		before.Import(says(full, time.Duration(n+1)*time.Second))
	}
	// Signs of life reach the disk once a minute, a while after the loop has said so.
	onDisk := func() bool {
		after := newSite(t, dir, own)
		after.clock.Advance(time.Hour)
		if err := after.load(); err != nil {
			t.Fatal(err)
		}
		all := after.imports.All()
		return len(all) == 1 && all[0].ConfirmedAt.Sub(start) >= confirmedEvery
	}
	for deadline := patience(t); !onDisk(); before.rest() {
		if deadline.Err() != nil {
			t.Fatal("the signs of life of 90 s are not on disk")
		}
	}
	after := newSite(t, dir, own)
	after.clock.Advance(route.StaleAfter + 10*time.Minute)
	if err := after.load(); err != nil {
		t.Fatal(err)
	}
	after.source(fromProxies, all())
	if n, stale := after.imported(); n != 1 || stale != 1 {
		t.Errorf("%d of %d services are stale after ten minutes without the federation", stale, n)
	}
}

// metricsOf gathers what a collector says, by name and label.
func metricsOf(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return got
}

func wantMetrics(t *testing.T, got, want map[string]float64) {
	t.Helper()
	for name, v := range want {
		if g, ok := got[name]; !ok || g != v {
			t.Errorf("%s is %v, want %v", name, g, v)
		}
	}
}

func TestFeedsAreMeasuredAtNodes(t *testing.T) {
	v := state.New(nil).View()
	v.Clusters = map[model.ClusterName]model.Cluster{"us": {Name: "us", Incarnation: 2}, "eu": {Name: "eu", Incarnation: 3}}
	got := metricsOf(t, feedMetrics{
		view: func() *state.View { return v },
		origins: func() []catalog.Origin {
			return []catalog.Origin{
				{Name: "us", Version: model.Version{Incarnation: 2, Epoch: 1}, Records: 3, Bytes: 40}, {Name: "eu", Version: model.Version{Incarnation: 1, Epoch: 1}}, {Name: "stranger"},
			}
		},
		feed: func(catalog.Origin) server.Feed {
			return server.Feed{Age: 2 * time.Second, Rivals: []string{"i2"}, Slowed: 7}
		},
	})
	wantMetrics(t, got, map[string]float64{
		"hanse_feed_complete us": 1, "hanse_feed_age_seconds us": 2, "hanse_feed_records us": 3, "hanse_feed_bytes us": 40,
		"hanse_feed_slowed_total us": 7, "hanse_feed_rival_publishers us": 1, "hanse_feed_complete eu": 0,
	})
	if len(got) != 7 {
		t.Errorf("metrics of what is no member's feed: %v", got)
	}
}

func TestImportsAreMeasuredAtAgents(t *testing.T) {
	got := metricsOf(t, importMetrics{func() []importStatus {
		return []importStatus{{Cluster: "us", Complete: true, AgeSeconds: 3, HeldRecords: 12}, {Cluster: "ap", Complete: true, HeldRecords: 1}, {Cluster: "sa"}}
	}})
	wantMetrics(t, got, map[string]float64{"hanse_import_age_seconds us": 3, "hanse_import_age_seconds ap": 0, "hanse_imports_held": 13})
	if len(got) != 3 {
		t.Errorf("the age of nothing: %v", got)
	}
}

func TestAnAgentsStatusIsReadable(t *testing.T) {
	var out bytes.Buffer
	printAgentStatus(&out, agentStatus{
		Cluster: "eu", Federation: "example.org", Instance: "0123456789abcdef", Connected: true, Node: "n1", Epoch: 4, Seq: 2, SupersededBy: "fedcba9876543210",
		Imports: []importStatus{
			{Cluster: "ap"},
			{Cluster: "us", Complete: true, Epoch: 7, Seq: 1, Instance: "aaaabbbbcccc", AgeSeconds: 400, Stale: true, Services: 20, HeldRecords: 12, Held: []string{"12 of 20 services …"}},
		},
	})
	for _, says := range []string{"instance 01234567", "connected to node n1", "another agent publishes as cluster eu (instance fedcba98, this one is 01234567)", "nothing yet", "(stale)", "7.1", "aaaabbbb", "12 of 20"} {
		if !strings.Contains(out.String(), says) {
			t.Errorf("%q is missing in:\n%s", says, out.String())
		}
	}
}
