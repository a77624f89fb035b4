package main

import (
	"maps"
	"net/netip"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/cluster-agent/export"
	"github.com/hanse-mesh/hanse/cluster-agent/probe"
	"github.com/hanse-mesh/hanse/cluster-agent/verdict"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/feed"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/gateway/route"
	"github.com/hanse-mesh/hanse/trust/records"
)

// fleet is several sites around one node's catalog and feeds, without streams between them.
type fleet struct {
	t    *testing.T
	view *state.View
	// revision counts the changes of the view's rules.
	revision int
	catalog  *catalog.Catalog
	sites    []*fleetSite
}

// fleetSite is a site with what the node and its uplink know of it.
type fleetSite struct {
	*site
	loop    loop
	feed    *feed.Feed
	version model.Version
	last    map[string]model.Record
	// silent sites are cut off from the node.
	silent bool
}

// newFleet makes sites that import from zug and from nobody else. Their clocks are hours apart.
func newFleet(t *testing.T, names ...string) *fleet {
	t.Helper()
	zug := newPeer(t, "zug", 1)
	members := []peer{zug}
	for i, name := range names {
		members = append(members, newPeer(t, name, uint64(i+2)))
	}
	f := &fleet{t: t, catalog: catalog.New(catalog.Limits{}), view: view(t, members...)}
	f.view.Exports = map[string]policy.ExportRule{"zug": {
		Name: "zug", Spec: policy.ExportRuleSpec{From: []string{"zug"}, Namespaces: []string{"*"}, To: names},
	}}
	f.catalog.Merge(zug.offers(t, 1, "pay"))
	for i, m := range members[1:] {
		s := &fleetSite{site: newSite(t, t.TempDir(), m), feed: feed.New(f.catalog), version: model.Version{Incarnation: m.Incarnation, Epoch: 1}}
		s.clock.Advance(time.Duration(i) * 5 * time.Hour)
		s.source(fromProxies, all())
		s.State(f.view.Proto(false))
		f.sites = append(f.sites, s)
	}
	f.round()
	return f
}

// finds sets what a site's own probes of zug's gateway show.
func (s *fleetSite) finds(found verdict.State) {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	s.out.points = map[model.ClusterName][]probe.Point{"zug": {{
		Cluster: "zug", Gateway: "gw", Address: netip.MustParseAddr("192.0.2.9"), Port: 7722, Own: verdict.Own{State: found, Since: start},
	}}}
}

// publish tells the node what the site publishes: a change, or that it is alive.
func (s *fleetSite) publish(f *fleet) {
	b := model.Batch{Origin: s.own.Name, From: s.version, To: s.version, ProducedAt: s.clock.Now(), Instance: "i"}
	s.out.mu.Lock()
	published := maps.Clone(s.out.published)
	for _, key := range s.out.removed {
		delete(published, key)
		delete(s.out.published, key)
	}
	s.out.removed = nil
	s.out.mu.Unlock()
	if b.Full = !maps.EqualFunc(published, s.last, export.Equal); b.Full {
		s.version.Seq++
		b.To, s.last = s.version, published
	}
	for _, r := range published {
		r.Version = s.version
		signed, err := records.Sign(s.own.agent, r)
		if err != nil {
			f.t.Fatal(err)
		}
		if b.Full {
			b.Upserts = append(b.Upserts, signed)
		}
	}
	if out := f.catalog.Merge(b); out.Err != nil || out.Gap {
		f.t.Fatalf("the node does not take %+v: %+v", b, out)
	}
}

// follow takes what the node tells the site of the others.
func (s *fleetSite) follow(f *fleet) {
	for _, o := range f.catalog.Origins() {
		if o.Name == s.own.Name {
			continue
		}
		u := s.feed.Follow(feed.Filter{
			Origin: f.view.Clusters[o.Name], Importer: s.own.Name, Rules: f.view.ExportList(), Sees: feed.Sees(f.view.ExportList(), nil, f.view.Clusters, s.own.Name), Revision: f.revision,
		})
		if u == (feed.Update{}) {
			u = s.feed.Refresh(o.Name, o.Version, o.ProducedAt, o.Instance)
		}
		if u.Batch != nil && s.Import(*u.Batch) {
			f.t.Fatalf("%s cannot follow %+v", s.own.Name, u.Batch)
		}
		if u.Dropped {
			s.OriginDropped(o.Name)
		}
	}
}

// round lets everything that the sites know arrive where it may.
func (f *fleet) round() {
	for range 2 {
		for _, s := range f.sites {
			s.pass(&s.loop, true, s.clock.Now())
			if !s.silent {
				s.publish(f)
			}
		}
		for _, s := range f.sites {
			if !s.silent {
				s.follow(f)
			}
		}
	}
}

// after lets time pass, with a round in every second of it.
func (f *fleet) after(seconds int) {
	for range seconds {
		for _, s := range f.sites {
			s.clock.Advance(time.Second)
		}
		f.round()
	}
}

// reach is what a site's callers go by.
func (s *fleetSite) reach() route.Reachability {
	in, _ := s.inputs()
	return in.Gateways["zug"][0].Reach
}

func (s *fleetSite) suspicious() bool {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	return s.out.suspects[verdict.Address{Cluster: "zug", Gateway: "gw", IP: netip.MustParseAddr("192.0.2.9"), Port: 7722}]
}

func (s *fleetSite) expect(what string, reach route.Reachability, suspicious bool) {
	s.t.Helper()
	if r := s.reach(); r != reach || s.suspicious() != suspicious {
		s.t.Errorf("%s: %s goes by %v, suspicious %v; want %v, %v", what, s.own.Name, r, s.suspicious(), reach, suspicious)
	}
}
