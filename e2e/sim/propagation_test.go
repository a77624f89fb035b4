package sim

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/overlay"
)

// change is one change of one origin on its way to every node.
type change struct {
	at      time.Duration
	version model.Version
	missing map[*node]bool
}

// journey measures how changes travel in one world.
type journey struct {
	w       *world
	current map[model.ClusterName]*change
	// each are the times to one node, all those to the last node.
	each, all []time.Duration
}

func newJourney(nodes, agents, regions int, far time.Duration, loss float64) *journey {
	w := bareWorld(Options{Seed: 1})
	w.degree, w.looks, w.gather, w.net.loss = overlay.DefaultDegree, 0, time.Millisecond, loss
	w.regions = nil
	for r := range regions {
		w.regions = append(w.regions, fmt.Sprintf("region-%d", r))
	}
	for i := range nodes {
		w.nodes = append(w.nodes, newNode(w, fmt.Sprintf("node-%02d", i), w.regions[i%regions]))
	}
	for i := range agents {
		w.addSite(i, w.regions[i%regions])
	}
	w.lay(func(a, b string) time.Duration {
		if a == b {
			return time.Millisecond
		}
		return far
	})
	w.constitute()
	// All is exported, to one cluster only: what is measured here is the nodes.
	w.putRule("all", policy.ExportRuleSpec{From: []string{policy.Any}, Namespaces: []string{namespace}, To: []string{"c0"}})
	for i, a := range w.agents {
		a.only = w.nodes[i%nodes]
	}
	j := &journey{w: w, current: map[model.ClusterName]*change{}}
	w.published, w.merged = j.published, j.merged
	w.begin()
	return j
}

func (j *journey) published(a *agent, b model.Batch) {
	if c := j.current[a.cluster]; c != nil && c.version.IsZero() {
		c.version = b.To
	}
}

func (j *journey) merged(n *node, origin model.ClusterName, v model.Version) {
	c := j.current[origin]
	if c == nil || c.version.IsZero() || v.Compare(c.version) < 0 || !c.missing[n] {
		return
	}
	delete(c.missing, n)
	j.each = append(j.each, j.w.now-c.at)
	if len(c.missing) == 0 {
		j.all = append(j.all, j.w.now-c.at)
		delete(j.current, origin)
	}
}

// change has something change at a random origin of which nothing is on its way.
func (j *journey) change() {
	a := j.w.anAgent()
	ids := a.serving()
	if j.current[a.cluster] != nil || len(ids) == 0 {
		return
	}
	c := &change{at: j.w.now, missing: map[*node]bool{}}
	for _, n := range j.w.nodes {
		c.missing[n] = true
	}
	j.current[a.cluster] = c
	a.toggle(ids[0])
}

// sent counts what the nodes have told each other.
func (j *journey) sent() (useful, redundant, pulls uint64) {
	for _, n := range j.w.nodes {
		c := n.links.followers.Counts()
		useful, redundant, pulls = useful+c.Useful, redundant+c.Redundant, pulls+c.Pulls
	}
	return useful, redundant, pulls
}

func quantile(list []time.Duration, q float64) time.Duration {
	list = slices.Sorted(slices.Values(list))
	return list[min(len(list)-1, int(q*float64(len(list))))]
}

// TestAChangeReachesEveryNode makes changes in a federation of 100 nodes in five regions that are 100 ms apart, with 1 % of all packets
// lost, and shows how long they take. The time is simulated: the same on every machine.
func TestAChangeReachesEveryNode(t *testing.T) {
	const nodes, agents, regions, changes = 100, 100, 5, 300
	const warmUp, every = 10 * time.Second, 40 * time.Millisecond
	j := newJourney(nodes, agents, regions, 100*time.Millisecond, 0.01)
	w := j.w
	for i := range changes {
		w.after(warmUp+time.Duration(i)*every, j.change)
	}
	for len(w.found) == 0 && w.step(warmUp) {
	}
	_, before, pulled := j.sent()
	w.net.batches, w.net.haves = 0, 0
	for len(w.found) == 0 && w.step(warmUp+changes*every+5*time.Second) {
	}
	for _, f := range w.found {
		t.Fatalf("%s: %s", f.invariant, f.detail)
	}
	if len(j.current) > 0 || len(j.all) < changes*9/10 {
		t.Fatalf("%d changes reached all nodes, %d did not", len(j.all), len(j.current))
	}
	_, redundant, pulls := j.sent()
	p99 := quantile(j.all, 0.99)
	per := func(n int) float64 { return float64(n) / float64(len(j.all)) }
	t.Logf("%d changes of %d origins, %d nodes in %d regions, 100 ms apart, 1 %% loss (simulated time):\n%s", len(j.all), agents, nodes, regions,
		"| from a change at an agent until | p50 | p99 | max |\n|---|---|---|---|\n"+
			row("a node holds it", j.each)+row("every node holds it", j.all))
	t.Logf("per change: %.1f batches between nodes (%d at least), %.1f of them redundant, confirmations' included; %.1f messages of news, %.2f pulls",
		per(w.net.batches), nodes-1, per(int(redundant-before)), per(w.net.haves), per(int(pulls-pulled)))
	if p99 >= time.Second {
		t.Errorf("the last of %d nodes holds a change after %v in the 99th percentile, want less than 1 s", nodes, p99)
	}
}

func row(name string, list []time.Duration) string {
	ms := func(q float64) int64 { return quantile(list, q).Milliseconds() }
	return fmt.Sprintf("| %s | %d ms | %d ms | %d ms |\n", name, ms(0.5), ms(0.99), ms(1))
}
