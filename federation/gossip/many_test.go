package gossip

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/overlay"
)

// many starts nodes in four regions, each with a seed before it.
func (w *world) many(count int) []*node {
	w.Helper()
	// What they tell each other of membership grows with the square of their number.
	w.pace, w.probe = time.Duration(count)*2*time.Millisecond, time.Duration(count)*20*time.Millisecond
	var nodes []*node
	for i := range count {
		nodes = append(nodes, w.startIn(i))
	}
	w.settled(nodes)
	return nodes
}

func (w *world) startIn(i int) *node {
	return w.start(fmt.Sprintf("n%02d", i), func(c *Config) { c.Node.Region = fmt.Sprint("region-", i%4) })
}

// settled waits until every node knows all others and follows as many as it should.
func (w *world) settled(nodes []*node) {
	w.Helper()
	want := min(overlay.DefaultDegree, len(nodes)-1)
	for _, n := range nodes {
		w.await(fmt.Sprintf("%s of %d follows %d others", n.cfg.Node.Name, len(nodes), want), func() bool {
			alive, connected := 0, 0
			for _, p := range n.Peers() {
				if p.Alive {
					alive++
				}
				if p.Connected {
					connected++
				}
			}
			return alive == len(nodes)-1 && connected == want
		})
	}
}

// sum adds up a counter over nodes.
func sum(nodes []*node, value func(Stats) uint64) (total uint64) {
	for _, n := range nodes {
		total += value(n.Stats())
	}
	return total
}

// TestManyNodes has 50 nodes hold what is published anywhere: each follows a few others, and a change costs about one batch per node. A
// third of them is killed at once, then others come back empty.
func TestManyNodes(t *testing.T) {
	const count, changes = 50, 20
	w := newWorld(t)
	want := NewStore(catalog.Limits{}, w.logger())
	nodes := w.many(count)
	publish(t, want, nodes[7], full("north", at(1, 1), record("k", "1"), record("l", "1")))
	publish(t, want, nodes[31], full("south", at(1, 1), record("k", "1")))
	w.agree(want, nodes...)
	seq := uint64(1)
	change := func(by *node) {
		seq++
		publish(t, want, by, delta("north", at(1, seq), record("k", fmt.Sprint(seq))))
		w.agree(want, nodes...)
	}
	for range 5 {
		change(nodes[7])
	}
	batches, haves := sum(nodes, func(s Stats) uint64 { return s.BatchesIn }), sum(nodes, func(s Stats) uint64 { return s.HavesIn })
	for range changes {
		change(nodes[7])
	}
	batches, haves = sum(nodes, func(s Stats) uint64 { return s.BatchesIn })-batches, sum(nodes, func(s Stats) uint64 { return s.HavesIn })-haves
	if batches < changes*(count-1) || batches > changes*count*3/2 || haves > changes*count*overlay.DefaultDegree {
		t.Errorf("%d nodes took %d batches and %d haves of %d changes", count, batches, haves, changes)
	}
	t.Logf("%d nodes took %.2f batches and %.2f haves each per change", count, float64(batches)/count/changes, float64(haves)/count/changes)

	all(nodes[count*2/3:], (*node).crash)
	nodes = nodes[:count*2/3]
	publish(t, want, nodes[3], full("east", at(1, 1), record("k", "1")))
	change(nodes[7])
	w.settled(nodes)
	change(nodes[7])

	all(nodes[:3], (*node).stop)
	nodes = nodes[3:]
	change(nodes[7])
	for i := range 3 {
		nodes = append(nodes, w.startIn(i))
	}
	w.settled(nodes)
	change(nodes[7])
}

func TestACutOffNodeConvergesByItself(t *testing.T) {
	w := newWorld(t)
	want := NewStore(catalog.Limits{}, w.logger())
	nodes := w.many(9)
	publish(t, want, nodes[0], full("north", at(1, 1), record("k", "1")), full("south", at(1, 1), record("k", "1")))
	w.agree(want, nodes...)
	// Two are cut off together with what is published at one of them, and one alone.
	away := []string{nodes[4].cfg.Node.Name, nodes[8].cfg.Node.Name}
	w.cables.sever(away...)
	for _, n := range nodes {
		cut := slices.Contains(away, n.cfg.Node.Name)
		w.await(n.cfg.Node.Name+" takes those that it cannot reach for dead", func() bool {
			for _, p := range n.Peers() {
				if (cut || slices.Contains(away, p.Name)) == p.Alive {
					return false
				}
			}
			return true
		})
	}
	publish(t, want, nodes[4], delta("north", at(1, 2), record("k", "2")), full("west", at(1, 1), record("k", "1")))
	for epoch := uint64(2); epoch < 20; epoch++ {
		publish(t, want, nodes[1], full("south", at(epoch, 1), record("k", fmt.Sprint(epoch))))
	}
	w.cables.mend(away...)
	w.agree(want, nodes...)
	w.settled(nodes)
}

// TestNodesOfAnOlderVersionConvergeWithNewerOnes has nodes among the others that know of no pruned links.
func TestNodesOfAnOlderVersionConvergeWithNewerOnes(t *testing.T) {
	w := newWorld(t)
	want := NewStore(catalog.Limits{}, w.logger())
	var nodes []*node
	for i := range 4 {
		nodes = append(nodes, w.start(fmt.Sprint("n", i), func(c *Config) { c.Node.ProtocolMax = uint32(1 + i%2) }))
	}
	w.joined(nodes...)
	for epoch := uint64(1); epoch < 5; epoch++ {
		n := nodes[epoch%4]
		publish(t, want, n, full("north", at(epoch, 1), record("k", "1"), record("l", "1")))
		w.agree(want, nodes...)
		publish(t, want, n, delta("north", model.Version{Incarnation: 3, Epoch: epoch, Seq: 2}, record("k", "2")))
		w.agree(want, nodes...)
	}
	for _, n := range nodes {
		if s := n.Stats(); n.cfg.Node.ProtocolMax == 1 && (s.HavesIn+s.HavesOut+s.PrunesIn+s.Asked.Prunes) != 0 {
			t.Errorf("a node of protocol 1 was told of pruned links: %+v", s)
		}
	}
}
