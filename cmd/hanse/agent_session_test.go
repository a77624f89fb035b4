package main

import (
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

// TestANodeThatLagsBehindIsWaitedFor has an agent come to a node that was just started from an old snapshot, in which no rule opens
// anything: what the agent knows stays in force until the node has caught up, and what the node said before counts for nothing.
func TestANodeThatLagsBehindIsWaitedFor(t *testing.T) {
	own, us := newPeer(t, "eu", 1), newPeer(t, "us", 2)
	s := newSite(t, t.TempDir(), own)
	s.source(fromProxies, all())
	now := opened(view(t, own, us))
	s.State(now.Proto(false))
	s.Import(us.offers(t, 3, "pay", "stock"))
	old := view(t, own)
	old.Index--
	s.Connected("n2", true)
	s.State(old.Proto(false))
	s.Import(us.offers(t, 3, "pay"))
	s.OriginDropped("us")
	if n, _ := s.imported(); n != 2 {
		t.Fatalf("%d services in force by the word of a node that lags behind", n)
	}
	s.State(now.Proto(false))
	s.Import(us.offers(t, 3, "pay"))
	if n, _ := s.imported(); n != 1 {
		t.Errorf("%d services in force after the node has caught up", n)
	}
	// The end of such a session forgets what its node said.
	s.State(old.Proto(false))
	s.Connected("n2", false)
	s.clock.Advance(2 * settleTime)
	if s.settle(s.clock.Now()); s.view.Index != now.Index {
		t.Error("the state of a node that is gone is followed")
	}
}

func TestAFederationThatWentBackIsFollowed(t *testing.T) {
	own, us := newPeer(t, "eu", 1), newPeer(t, "us", 2)
	s := newSite(t, t.TempDir(), own)
	s.source(fromProxies, all())
	s.State(opened(view(t, own, us)).Proto(false))
	s.Import(us.offers(t, 3, "pay"))
	s.Connected("n1", true)
	old := view(t, own)
	old.Index--
	s.State(old.Proto(false))
	s.clock.Advance(settleTime - 1)
	if next := s.settle(s.clock.Now()); s.view.Index == old.Index || next.Sub(s.clock.Now()) != 1 {
		t.Errorf("followed too early, or looked at again in %v", next.Sub(s.clock.Now()))
	}
	s.clock.Advance(1)
	if s.settle(s.clock.Now()); s.view.Index != old.Index || s.log.count("backup") != 1 {
		t.Error("a federation that was restored is not followed")
	}
	if n, _ := s.imported(); n != 0 {
		t.Errorf("%d services of who is no member", n)
	}
}

// TestANodeIsAskedForWhomItDoesNotMention has a cluster withdraw everything while the agent is away: no node tells of it by itself.
func TestANodeIsAskedForWhomItDoesNotMention(t *testing.T) {
	own, us, ap := newPeer(t, "eu", 1), newPeer(t, "us", 2), newPeer(t, "ap", 3)
	s := newSite(t, t.TempDir(), own)
	s.source(fromProxies, all())
	s.State(opened(view(t, own, us, ap)).Proto(false))
	s.Import(us.offers(t, 1, "pay"))
	s.Import(ap.offers(t, 1, "pay"))
	s.Connected("n1", true)
	s.Import(ap.offers(t, 1, "pay"))
	asked := func() (list []string) {
		s.settle(s.clock.Now())
		for len(s.out.said) > 0 {
			list = append(list, <-s.out.said)
		}
		return list
	}
	s.clock.Advance(settleTime - time.Second)
	if got := asked(); len(got) != 0 {
		t.Errorf("asked at once: %q", got)
	}
	s.clock.Advance(time.Second)
	if got := asked(); len(got) != 1 || got[0] != "resync us" {
		t.Errorf("asked: %q", got)
	}
	if got := asked(); len(got) != 0 {
		t.Errorf("asked again: %q", got)
	}
}

func TestTheAgentsOwnClusterIsNotImported(t *testing.T) {
	own := newPeer(t, "eu", 1)
	s := newSite(t, t.TempDir(), own)
	s.source(fromProxies, all())
	s.State(opened(view(t, own)).Proto(false))
	s.Import(own.offers(t, 1, "pay"))
	if in, _ := s.inputs(); len(in.Imports) != 0 || len(s.imports.All()) != 0 {
		t.Errorf("a node sells the agent its own services: %+v", in.Imports)
	}
	if s.Import(model.Batch{Origin: "eu", From: model.Version{Incarnation: 1, Epoch: 1, Seq: 7}, To: model.Version{Incarnation: 1, Epoch: 1, Seq: 8}}) {
		t.Error("the agent asks for its own cluster")
	}
}
