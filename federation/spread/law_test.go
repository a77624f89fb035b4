package spread

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
)

func names(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint("n", i)
	}
	return out
}

// TestWhateverIsLostAllConverge has writers publish at changing nodes while streams end, nodes restart empty and latencies differ; once
// everybody follows its successor again, and some others, all come to hold the same, the newest.
func TestWhateverIsLostAllConverge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := names(rapid.IntRange(2, 6).Draw(t, "nodes"))
		n := newNetwork(t, all...)
		spice := rapid.Uint64().Draw(t, "latencies")
		n.latency = func(from, to string) time.Duration {
			h := fnv.New64a()
			fmt.Fprint(h, spice, from, to)
			return time.Duration(1+h.Sum64()%200) * time.Millisecond
		}
		n.timing.Unasked = rapid.SampledFrom([]int{0, 1 << 20}).Draw(t, "unasked")
		protocol := func(from string) uint32 {
			if from == "n1" {
				return 1
			}
			return 2
		}
		follow := func(to, from string) {
			if to != from && n.nodes[from].told[to] == nil {
				n.follow(to, from, protocol(from))
			}
		}
		writers := []*writer{{name: "x"}, {name: "y"}}
		anybody := func(label string) string { return rapid.SampledFrom(all).Draw(t, label) }
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) {
				w := rapid.SampledFrom(writers).Draw(t, "writer")
				switch kind := rapid.IntRange(0, 9).Draw(t, "kind"); {
				case w.version.IsZero() || kind == 0:
					n.publish(anybody("home"), w.full(n))
				case kind < 4:
					n.publish(anybody("home"), w.confirm(n))
				default:
					n.publish(anybody("home"), w.change(n, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key"), fmt.Sprint(kind)))
				}
			},
			"follow":  func(t *rapid.T) { follow(anybody("follower"), anybody("followed")) },
			"cut":     func(t *rapid.T) { n.cut(anybody("follower"), anybody("followed")) },
			"restart": func(t *rapid.T) { n.restart(anybody("node")) },
			"wait":    func(t *rapid.T) { n.run(time.Duration(rapid.IntRange(1, 500).Draw(t, "ms")) * time.Millisecond) },
		})
		for i, name := range all {
			follow(name, all[(i+1)%len(all)])
		}
		for _, w := range writers {
			// Writers that come back begin an epoch: what was published to those who forgot it is published again.
			n.publish(anybody("home"), w.full(n))
		}
		n.run(time.Minute)
		if len(n.events) != 0 {
			t.Fatalf("%d events after a minute of quiet", len(n.events))
		}
		n.agree()
	})
}

// mesh has n nodes in three regions follow the next one and two farther ones.
func mesh(t fataler, n int) *network {
	all := names(n)
	net := newNetwork(t, all...)
	region := map[string]int{}
	for i, name := range all {
		region[name] = i * 3 / n
	}
	net.latency = func(from, to string) time.Duration {
		if region[from] != region[to] {
			return 100 * time.Millisecond
		}
		return time.Millisecond
	}
	for i, name := range all {
		far := int(math.Sqrt(float64(n)))
		for _, d := range []int{1, n - far, n / 2} {
			net.follow(name, all[(i+d)%n], 2)
		}
	}
	return net
}

func (n *network) received() int {
	sum := 0
	for _, node := range n.nodes {
		sum += node.received
		node.received = 0
	}
	return sum
}

// TestChangesTravelAlongATree counts the batches that nodes receive per change: after a few changes each receives each about once.
func TestChangesTravelAlongATree(t *testing.T) {
	const size = 48
	n := mesh(t, size)
	w := &writer{name: "x"}
	n.publish("n0", w.full(n))
	n.run(time.Second)
	for i := range 10 {
		n.publish("n0", w.change(n, "k", fmt.Sprint(i)))
		n.run(time.Second)
	}
	n.received()
	const changes = 20
	for i := range changes {
		n.publish("n0", w.change(n, "k", fmt.Sprint("later ", i)))
		n.run(time.Second)
	}
	n.agree()
	// The node at which the writer publishes hears each change back from the one eager stream that it keeps.
	if got := n.received(); got < changes*(size-1) || got > changes*size {
		t.Errorf("%d nodes received %d batches of %d changes", size, got, changes)
	}
	for i := range changes {
		n.publish("n0", w.confirm(n))
		n.run(time.Duration(i%3) * time.Second)
	}
	n.run(time.Second)
	n.agree()
}

// TestALostLinkIsReplacedAtOnce ends the stream by which a node is fed: the next change arrives as soon as by that one, and no grace later.
func TestALostLinkIsReplacedAtOnce(t *testing.T) {
	n := newNetwork(t, "a", "b", "c")
	n.latency = func(string, string) time.Duration { return time.Millisecond }
	for _, pair := range [][2]string{{"b", "a"}, {"c", "a"}, {"c", "b"}} {
		n.follow(pair[0], pair[1], 2)
	}
	w := &writer{name: "x"}
	n.publish("a", w.full(n))
	for i := range 3 {
		n.run(time.Second)
		n.publish("a", w.change(n, "k", fmt.Sprint(i)))
	}
	n.run(time.Second)
	c := n.nodes["c"]
	if fed := c.followers.eagerStreams("x"); !slices.Equal(fed, []string{"a"}) {
		t.Fatalf("c is fed by %v", fed)
	}
	n.cut("c", "a")
	n.run(2 * time.Millisecond)
	n.publish("a", w.change(n, "k", "after"))
	n.run(2 * time.Millisecond)
	if o, _ := c.catalog.Origin("x"); o.Version != w.version {
		t.Fatalf("c holds %v, %v was published", o.Version, w.version)
	}
	if got := c.followers.Counts(); got.Grafts != 1 {
		t.Errorf("counts %+v", got)
	}
}

// TestAFrozenLinkIsReplaced has the stream by which a node is fed stand still without ending.
func TestAFrozenLinkIsReplaced(t *testing.T) {
	n := newNetwork(t, "a", "b", "c")
	n.latency = func(string, string) time.Duration { return time.Millisecond }
	for _, pair := range [][2]string{{"b", "a"}, {"c", "a"}, {"c", "b"}} {
		n.follow(pair[0], pair[1], 2)
	}
	w := &writer{name: "x"}
	n.publish("a", w.full(n))
	n.run(time.Second)
	n.publish("a", w.change(n, "k", "1"))
	n.run(time.Second)
	frozen := n.nodes["a"].told["c"]
	delete(n.nodes["a"].told, "c")
	n.publish("a", w.change(n, "k", "2"))
	n.run(n.timing.Gather + n.timing.Grace + 20*time.Millisecond)
	c := n.nodes["c"]
	if o, _ := c.catalog.Origin("x"); o.Version != w.version {
		t.Fatalf("c holds %v, %v was published", o.Version, w.version)
	}
	n.publish("a", w.change(n, "k", "3"))
	n.run(3 * time.Millisecond)
	if o, _ := c.catalog.Origin("x"); o.Version != w.version {
		t.Fatalf("c is not fed by the other stream from then on: %v", o.Version)
	}
	// It wakes up.
	n.nodes["a"].told["c"] = frozen
	frozen.teller.Changed("x", n.now)
	n.pump(frozen)
	n.run(time.Second)
	n.agree()
}

// TestAnEmptyNodeIsToldEverythingOnce has a node with many followed ones begin with nothing.
func TestAnEmptyNodeIsToldEverythingOnce(t *testing.T) {
	n := mesh(t, 12)
	for i := range 50 {
		w := &writer{name: model.ClusterName(fmt.Sprint("x", i)), records: map[string]string{"k": "v"}}
		n.publish("n3", w.full(n))
	}
	n.run(10 * time.Second)
	n.agree()
	followed := []string{}
	for name, other := range n.nodes {
		if other.told["n5"] != nil {
			followed = append(followed, name)
		}
	}
	n.restart("n5")
	n.run(time.Second)
	n.received()
	for _, name := range followed {
		n.follow("n5", name, 2)
	}
	n.run(10 * time.Second)
	n.agree()
	if got := n.received(); got != 50 {
		t.Errorf("50 origins were told in %d batches", got)
	}
}
