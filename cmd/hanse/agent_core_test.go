package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/cluster-agent/source"
	"github.com/hanse-mesh/hanse/cluster-agent/uplink"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/trust/records"
)

// opened adds a rule by which everybody may export everything to everybody.
func opened(v *state.View) *state.View {
	v.Exports = map[string]policy.ExportRule{"open": {
		Name: "open", Spec: policy.ExportRuleSpec{From: []string{"*"}, Namespaces: []string{"*"}, To: []string{"*"}},
	}}
	return v
}

func TestNothingIsPublishedBeforeSourceAndStateAreKnown(t *testing.T) {
	own := newPeer(t, "eu", 1)
	for name, steps := range map[string][2]func(*site){
		"source first": {
			func(s *site) { s.source(fromProxies, all(workload("cart-1", "cart"))) },
			func(s *site) { s.State(opened(view(t, own)).Proto(false)) },
		},
		"state first": {
			func(s *site) { s.State(opened(view(t, own)).Proto(false)) },
			func(s *site) { s.source(fromProxies, all(workload("cart-1", "cart"))) },
		},
		"a part of the source is not the source": {
			func(s *site) {
				s.State(opened(view(t, own)).Proto(false))
				s.source(fromProxies, source.Update{Upserts: []model.Workload{workload("cart-1", "cart")}})
			},
			func(s *site) { s.source(fromProxies, all(workload("cart-1", "cart"))) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, t.TempDir(), own)
			s.t = t
			s.run()
			steps[0](s)
			s.rest()
			if _, ok := s.out.record("status"); ok || s.known() {
				t.Fatal("published before everything is known")
			}
			steps[1](s)
			s.await("publish")
			s.await("complete")
			if _, ok := s.out.record("service/shop/cart"); !ok || !s.known() {
				t.Errorf("not published: %v", s.out.published)
			}
		})
	}
}

func TestWhatDoesNotCountIsInTheStatus(t *testing.T) {
	own, us := newPeer(t, "eu", 1), newPeer(t, "us", 2)
	s := newSite(t, t.TempDir(), own)
	s.run()
	s.source(fromProxies, all(workload("cart-1", "cart")))
	if err := s.introduce(us.bundle(t), true, true); err != nil {
		t.Fatal(err)
	}
	// Without a rule that opens it, the export is dropped.
	s.State(view(t, own, us).Proto(false))
	forged := us.offers(t, 1, "pay")
	forged.Upserts[1].Signature = slices.Clone(forged.Upserts[1].Signature)
	forged.Upserts[1].Signature[10] ^= 1
	s.Import(forged)
	s.Refused([]uplink.Refusal{{Key: "service/shop/old", Reason: "not in the token"}})
	s.rest()
	r, ok := s.out.record("status")
	if !ok {
		t.Fatal("no status record")
	}
	text := strings.Join(r.Status.Dropped, "\n")
	for _, want := range []string{"shop/cart", "the federation refuses service/shop/old: not in the token", "service/shop/pay of us"} {
		if !strings.Contains(strings.ReplaceAll(text, "cart.shop", "shop/cart"), want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	if !slices.IsSorted(r.Status.Dropped) {
		t.Error("the reasons are not sorted: the record would change without news")
	}
	if want := []string{"us.example.org (by one node: no second one could be asked)"}; !slices.Equal(r.Status.Introduced, want) {
		t.Errorf("introduced: %q", r.Status.Introduced)
	}
	s.Refused(nil)
	s.rest()
	if r, _ := s.out.record("status"); strings.Contains(strings.Join(r.Status.Dropped, ""), "refuses") {
		t.Errorf("a refusal that was taken back stays: %q", r.Status.Dropped)
	}
}

func TestOnlyTheMembersOwnIncarnationCounts(t *testing.T) {
	own, us := newPeer(t, "eu", 1), newPeer(t, "us", 2)
	again := us
	again.Incarnation = 9
	s := newSite(t, t.TempDir(), own)
	s.source(fromProxies, all())
	s.Import(us.offers(t, 1, "pay"))
	if in, _ := s.inputs(); len(in.Imports) != 0 {
		t.Error("a cluster that is no member offers something")
	}
	s.State(open(view(t, own, us)).Proto(false))
	if in, _ := s.inputs(); len(in.Imports) != 1 {
		t.Fatalf("imports of a member: %+v", in.Imports)
	}
	s.State(open(view(t, own, again)).Proto(false))
	if in, _ := s.inputs(); len(in.Imports) != 0 {
		t.Error("what an earlier incarnation offered still counts")
	}
	s.Import(again.offers(t, 1, "pay"))
	if in, _ := s.inputs(); len(in.Imports) != 1 {
		t.Error("what the new incarnation offers does not count")
	}
	if s.Import(model.Batch{Origin: "us", From: model.Version{Incarnation: 9, Epoch: 5}, To: model.Version{Incarnation: 9, Epoch: 5, Seq: 1}}) != true {
		t.Error("a gap is not reported")
	}
	s.OriginDropped("us")
	if in, _ := s.inputs(); len(in.Imports) != 0 {
		t.Error("an origin that may not be seen any more still counts")
	}
}

func TestAReplacedAgentKeyJudgesRecordsAnew(t *testing.T) {
	own, us, stranger := newPeer(t, "eu", 1), newPeer(t, "us", 2), newPeer(t, "us", 2)
	s := newSite(t, t.TempDir(), own)
	s.source(fromProxies, all())
	s.State(open(view(t, own, us)).Proto(false))
	s.Import(us.offers(t, 1, "pay"))
	s.State(view(t, own, stranger).Proto(false))
	if in, _ := s.inputs(); len(in.Imports) != 0 {
		t.Error("records that the key in force has not signed still count")
	}
}

func TestARemovedMemberIsNotTrusted(t *testing.T) {
	own, us := newPeer(t, "eu", 1), newPeer(t, "us", 2)
	s := newSite(t, t.TempDir(), own)
	s.source(fromProxies, all())
	for _, p := range []peer{own, us} {
		if err := s.introduce(p.bundle(t), p.Name == us.Name, false); err != nil {
			t.Fatal(err)
		}
	}
	domains := func() (out []string) {
		in, _ := s.inputs()
		for _, b := range in.Bundles {
			out = append(out, b.TrustDomain)
		}
		return out
	}
	if got := domains(); !slices.Equal(got, []string{own.TrustDomain}) {
		t.Errorf("before the members are known: %v", got)
	}
	s.State(open(view(t, own, us)).Proto(false))
	if got := domains(); !slices.Equal(got, []string{own.TrustDomain, us.TrustDomain}) {
		t.Errorf("with the member: %v", got)
	}
	s.State(view(t, own).Proto(false))
	if got := domains(); !slices.Equal(got, []string{own.TrustDomain}) {
		t.Errorf("after its removal: %v", got)
	}
}

func TestNewTrustDomainsAreAskedAboutWithWhoShowedThem(t *testing.T) {
	own, us := newPeer(t, "eu", 1), newPeer(t, "us", 2)
	s := newSite(t, t.TempDir(), own)
	if err := s.introduce(own.bundle(t), false, false); err != nil {
		t.Fatal(err)
	}
	s.State(open(view(t, own, us)).Proto(false))
	if want := []string{"us.example.org by n1:7700"}; !slices.Equal(s.out.sights, want) {
		t.Fatalf("asked about %v", s.out.sights)
	}
	if err := s.introduce(us.bundle(t), true, false); err != nil {
		t.Fatal(err)
	}
	s.out.sights = nil
	s.State(open(view(t, own, us)).Proto(false))
	if len(s.out.sights) != 0 {
		t.Errorf("asked again about what is believed: %v", s.out.sights)
	}
	replaced := newPeer(t, "us", 2)
	s.out.node = "n2:7700"
	s.State(view(t, own, replaced).Proto(false))
	if len(s.out.sights) != 0 || s.log.count("hanse trust forget") != 1 {
		t.Errorf("a replaced CA is not refused: %v", s.out.sights)
	}
	// The session has moved on: the operator's word does not make its node the one that has shown the bundle.
	s.out.node = "n3:7700"
	if err := s.forgetBundle("us.example.org"); err != nil {
		t.Fatal(err)
	}
	if want := []string{"us.example.org by n2:7700"}; !slices.Equal(s.out.sights, want) {
		t.Errorf("asked about %v", s.out.sights)
	}
	for domain, want := range map[string]string{"us.example.org": "no bundle", "eu.example.org": "own trust domain"} {
		if err := s.forgetBundle(domain); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("forget %s: %v", domain, err)
		}
	}
	if got := s.believed(); len(got) != 1 || got[0].TrustDomain != own.TrustDomain || got[0].Belief != "pinned" {
		t.Errorf("believed: %+v", got)
	}
}

func TestServersPreferTheOwnRegion(t *testing.T) {
	own := newPeer(t, "eu", 1)
	s := newSite(t, t.TempDir(), own)
	if got := s.servers(nil); !slices.Equal(got, []string{"told:7700"}) {
		t.Errorf("before the state is known: %v", got)
	}
	s.State(view(t, own).Proto(false))
	if got := s.servers(nil); !slices.Equal(got, []string{"told:7700"}) {
		t.Errorf("a state without nodes: %v", got)
	}
	v := view(t, own)
	v.Nodes = map[string]model.Node{}
	for _, n := range []model.Node{{Name: "a", Region: "us"}, {Name: "b", Region: "eu"}, {Name: "c", Region: "asia"}, {Name: "d", Region: "eu"}} {
		n.GRPCAddress, n.RESTAddress, n.RaftAddress, n.GossipAddress = n.Name+":1", n.Name+":2", n.Name+":3", n.Name+":4"
		v.Nodes[n.Name] = n
	}
	s.State(v.Proto(false))
	if got, want := s.servers(nil), []string{"b:1", "d:1", "a:1", "c:1"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := s.servers([]string{"named:1"}); !slices.Equal(got, []string{"named:1"}) {
		t.Errorf("the operator's word does not count: %v", got)
	}
}

func TestAnUnreadableStateLeavesTheLastInForce(t *testing.T) {
	own := newPeer(t, "eu", 1)
	s := newSite(t, t.TempDir(), own)
	s.State(view(t, own).Proto(false))
	bad := view(t, own).Proto(false)
	bad.Clusters[0].Name = "NOT A LABEL"
	s.State(bad)
	if s.memberOf("eu").Incarnation != 1 || s.log.count("cannot be read") != 1 {
		t.Error("the last state is lost, or nobody is told")
	}
}

func TestTheLoopComesToRest(t *testing.T) {
	own, us := newPeer(t, "eu", 1), newPeer(t, "us", 2)
	s := newSite(t, t.TempDir(), own)
	s.run()
	s.State(opened(view(t, own, us)).Proto(false))
	s.source(fromProxies, all(workload("cart-1", "cart"), workload("cart-2", "cart")))
	s.Import(us.offers(t, 1, "cart", "pay"))
	s.await("complete")
	s.rest()
	const periods = 20
	for range periods {
		s.tick()
	}
	passes := 0
	for len(s.out.said) > 0 {
		if said := <-s.out.said; said == "pass" {
			passes++
		} else {
			t.Errorf("nothing has happened, and the core says %q", said)
		}
	}
	if passes > periods {
		t.Errorf("%d passes in %d idle periods", passes, periods)
	}
	// It still hears.
	s.touch()
	s.await("targets")
	s.await("kick")
}

func TestTheLoopFollowsTheWorkloads(t *testing.T) {
	own := newPeer(t, "eu", 1)
	s := newSite(t, t.TempDir(), own)
	s.run()
	s.State(opened(view(t, own)).Proto(false))
	s.source(fromProxies, all(workload("cart-1", "cart")))
	s.await("complete")
	down := workload("cart-1", "cart")
	down.Health = model.WorkloadHealth{Reason: "refused"}
	s.source(fromProxies, source.Update{Upserts: []model.Workload{down}})
	s.await("publish")
	if r, _ := s.out.record("service/shop/cart"); len(r.Service.Capacity) != 1 || r.Service.Capacity[0].Ready != 0 {
		t.Errorf("published %+v", r.Service.Capacity)
	}
	s.source(fromProxies, source.Update{Removals: []string{"cart-1"}})
	s.await("publish")
	s.rest()
	if !slices.Equal(s.out.removed, []string{"service/shop/cart"}) {
		t.Errorf("removed %v", s.out.removed)
	}
}

func TestWhatTheDiskKnewIsServedAtOnce(t *testing.T) {
	dir, own, _, _ := saved(t)
	s := newSite(t, dir, own)
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	s.run()
	s.await("targets")
	s.await("kick")
	if len(s.out.targets) != 1 {
		t.Errorf("gateways to probe: %+v", s.out.targets)
	}
}

// TestGatewaysThatCannotBeDialledDoNotCount has a record pass by a node that did not judge it: only the one that a cluster publishes at does.
func TestGatewaysThatCannotBeDialledDoNotCount(t *testing.T) {
	own, us := newPeer(t, "eu", 1), newPeer(t, "us", 2)
	s := newSite(t, t.TempDir(), own)
	s.State(opened(view(t, own, us)).Proto(false))
	b := us.offers(t, 1, "pay")
	zoned, err := records.Sign(us.agent, model.Record{Cluster: us.Name, Version: b.To, Gateways: []model.Gateway{
		{Name: "gw", Address: "fe80::1%eth0", Port: 7722, Locality: model.Locality{Region: "us"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	b.Upserts[0] = zoned
	s.Import(b)
	if got := s.targets(); len(got) != 0 || len(s.imports.All()[0].Refused) != 1 {
		t.Errorf("probed: %+v, refused: %q", got, s.imports.All()[0].Refused)
	}
}

// TestNewNamesDoNotUseUpTheVirtualAddresses is about a cluster whose services have ever new names.
func TestNewNamesDoNotUseUpTheVirtualAddresses(t *testing.T) {
	own, us := newPeer(t, "eu", 1), newPeer(t, "us", 2)
	s := newSite(t, t.TempDir(), own)
	s.source(fromProxies, all(workload("cart-1", "cart")))
	s.State(opened(view(t, own, us)).Proto(false))
	s.allot()
	cart := model.ServiceKey{Namespace: "shop", Name: "cart"}
	address := s.vips[cart]
	gone := map[model.ServiceKey]netip.Addr{cart: address}
	for a := model.VIPRange.Addr().Next(); len(gone) < maxVIPs; a = a.Next() {
		if a != address {
			gone[model.ServiceKey{Namespace: "shop", Name: fmt.Sprint("s", len(gone))}] = a
		}
	}
	s.vips = gone
	if s.allot(); len(s.vips) != maxVIPs {
		t.Errorf("%d addresses although nothing is new", len(s.vips))
	}
	s.Import(us.offers(t, 1, "pay"))
	if s.allot(); len(s.vips) != 2 || s.vips[cart] != address {
		t.Errorf("%d addresses, cart has %v and had %v", len(s.vips), s.vips[cart], address)
	}
}
