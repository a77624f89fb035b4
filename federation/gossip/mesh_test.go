package gossip

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/memberlist"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
)

// publish offers batches to a node and to the store that says what all should come to hold.
func publish(t *testing.T, want *Store, n *node, batches ...model.Batch) {
	t.Helper()
	for _, b := range batches {
		if out := n.cfg.Store.Offer(b); !out.Changed {
			t.Fatalf("batch %v of %s at node %s: %+v", b.To, b.Origin, n.cfg.Node.Name, out)
		}
		want.Offer(b)
	}
}

func TestNodesConverge(t *testing.T) {
	w := newWorld(t)
	want := NewStore(catalog.Limits{}, w.logger())
	a, b := w.start("a"), w.start("b")
	// What was published before a node came, after, at other nodes, and what was removed.
	publish(t, want, a, full("north", at(1, 1), record("k", "1"), record("l", "1")))
	c := w.start("c")
	w.joined(a, b, c)
	publish(t, want, b, full("south", at(1, 1), record("k", "1")))
	w.agree(want, a, b, c)
	gone := delta("north", at(1, 2))
	gone.Removals = []string{"l"}
	publish(t, want, c, gone)
	publish(t, want, b, full("south", at(2, 1), record("m", "2")))
	for seq := uint64(3); seq < 30; seq++ {
		publish(t, want, c, delta("north", at(1, seq), record("k", fmt.Sprint(seq))))
	}
	w.agree(want, a, b, c)
	// A confirmation spreads, too.
	alive := delta("north", at(1, 29))
	alive.From, alive.ProducedAt = alive.To, alive.ProducedAt.Add(1e9)
	a.cfg.Store.Offer(alive)
	want.Offer(alive)
	w.agree(want, a, b, c)
}

func TestOneChangeIsOneDelta(t *testing.T) {
	w := newWorld(t)
	want := NewStore(catalog.Limits{}, w.logger())
	nodes := []*node{w.start("a"), w.start("b"), w.start("c")}
	w.joined(nodes...)
	publish(t, want, nodes[0], full("north", at(1, 1), record("k", "1"), record("l", "1")))
	w.agree(want, nodes...)
	fulls := func() (n uint64) {
		for _, node := range nodes {
			n += node.Stats().FullsOut
		}
		return n
	}
	// Who has told a state may still be telling it back.
	w.await("the full state has gone over each stream", func() bool { return fulls() == 6 })
	for seq := uint64(2); seq < 20; seq++ {
		publish(t, want, nodes[seq%3], delta("north", at(1, seq), record("k", fmt.Sprint(seq))))
		w.agree(want, nodes...)
	}
	if n := fulls(); n != 6 {
		t.Errorf("%d full states were sent, want 6", n)
	}
}

func TestANodeThatComesBackEmptyIsToldEverything(t *testing.T) {
	w := newWorld(t)
	want := NewStore(catalog.Limits{}, w.logger())
	a, b, c := w.start("a"), w.start("b"), w.start("c")
	w.joined(a, b, c)
	publish(t, want, c, full("north", at(1, 1), record("k", "1")))
	w.agree(want, a, b, c)
	c.stop()
	w.await("a has heard that c left", func() bool { return !a.sees("c").Alive && !b.sees("c").Alive })
	publish(t, want, a, delta("north", at(1, 2), record("k", "2")), full("south", at(1, 1), record("k", "1")))
	w.agree(want, a, b)
	c = w.start("c")
	w.joined(a, b, c)
	w.agree(want, a, b, c)
}

func TestADeadPeerWithdrawsNothingAndIsFollowedAgain(t *testing.T) {
	w := newWorld(t)
	want := NewStore(catalog.Limits{}, w.logger())
	a, b, c := w.start("a"), w.start("b"), w.start("c")
	w.joined(a, b, c)
	publish(t, want, c, full("north", at(1, 1), record("k", "1")))
	w.agree(want, a, b, c)
	c.crash()
	w.await("the crash is noticed", func() bool {
		return !a.sees("c").Alive && !b.sees("c").Alive && !a.sees("c").Connected && !b.sees("c").Connected
	})
	w.await("it is given up", func() bool { return !a.follows("c") && !b.follows("c") })
	if !same(want, a.cfg.Store) || !same(want, b.cfg.Store) {
		t.Fatal("what the dead node had told is gone")
	}
	// It comes back under its name, elsewhere, with what it held.
	c = w.start("c", func(cfg *Config) { cfg.Store = c.cfg.Store })
	w.joined(a, b, c)
	publish(t, want, c, delta("north", at(1, 2), record("k", "2")))
	w.agree(want, a, b, c)
}

func TestAnotherGossipKeyKeepsANodeOut(t *testing.T) {
	w := newWorld(t)
	a := w.start("a")
	stranger := w.start("stranger", func(c *Config) { c.Keys = [][]byte{[]byte("fedcba9876543210")} })
	w.await("the stranger is told", func() bool { return w.hasLogged("does not let this node in", "gossip key") })
	if peers := append(a.Peers(), stranger.Peers()...); len(peers) != 0 {
		t.Errorf("they see each other: %v", peers)
	}
}

func TestNodesThatShareNoProtocolSaySo(t *testing.T) {
	w := newWorld(t)
	a := w.start("a")
	w.start("b", func(c *Config) { c.Node.ProtocolMin, c.Node.ProtocolMax = 7, 9 })
	w.await("b is refused by a and a by b", func() bool {
		return w.hasLogged("node a speaks sync protocols 1 to 2, node b 7 to 9", "upgrade the older one") &&
			w.hasLogged("node b speaks sync protocols 7 to 9, node a 1 to 2", "upgrade the older one")
	})
	if a.sees("b").Connected {
		t.Error("they follow each other")
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	w := newWorld(t)
	valid := w.mesh("a").cfg
	for name, spoil := range map[string]func(*Config){
		"no encryption key":  func(c *Config) { c.Keys = nil },
		"encryption keys":    func(c *Config) { c.Keys = [][]byte{[]byte("short")} },
		"bind address":       func(c *Config) { c.Bind = "127.0.0.1" },
		"advertised address": func(c *Config) { c.Advertise = "127.0.0.1:gossip" },
	} {
		cfg := valid
		spoil(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAMemberThatDoesNotSayWhereItIs(t *testing.T) {
	w := newWorld(t)
	m := w.mesh("a")
	d := delegate{m}
	d.NotifyJoin(&memberlist.Node{Name: "b", Meta: []byte("junk")})
	d.NotifyJoin(&memberlist.Node{Name: "a", Meta: []byte(`{"g":"self:1"}`)})
	if p := m.Peers(); len(p) != 0 {
		t.Fatalf("peers %v", p)
	}
	d.NotifyJoin(&memberlist.Node{Name: "b", Meta: []byte(`{"g":"b:1"}`)})
	d.NotifyUpdate(&memberlist.Node{Name: "b", Meta: []byte("junk")})
	if p := m.Peers(); len(p) != 1 || p[0] != (Peer{Name: "b", Address: "b:1"}) {
		t.Fatalf("peers %v", p)
	}
	d.NotifyUpdate(&memberlist.Node{Name: "b", Meta: []byte(`{"g":"b:1"}`)})
	if !m.Peers()[0].Alive {
		t.Fatal("a peer that says again where it is stays dead")
	}
	d.NotifyLeave(&memberlist.Node{Name: "b"})
	if p := m.Peers(); len(p) != 1 || p[0] != (Peer{Name: "b", Address: "b:1"}) {
		t.Fatalf("peers %v", p)
	}
}

func TestWhatANodeSaysOfItselfMustFit(t *testing.T) {
	w := newWorld(t)
	m := w.mesh("a", func(c *Config) { c.Node.GRPCAddress = strings.Repeat("a", memberlist.MetaMaxSize) })
	if data := (delegate{m}).NodeMeta(memberlist.MetaMaxSize); len(data) != 0 || !w.hasLogged("too long") {
		t.Errorf("it says %q and logs %v", data, w.logged())
	}
}

func TestMembershipAllowsForRegionsAndCrashes(t *testing.T) {
	list := newWorld(t).mesh("a").list
	if left := list.ProbeInterval - list.ProbeTimeout; left < list.ProbeTimeout {
		t.Errorf("%v of an interval are left for probes by way of others, which take up to %v", left, list.ProbeTimeout)
	}
	if list.DeadNodeReclaimTime <= 0 {
		t.Error("a crashed node cannot come back at another address")
	}
}
