package spread

import (
	"cmp"
	"container/heap"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// fataler is a *testing.T or a *rapid.T.
type fataler interface{ Fatalf(string, ...any) }

// network is nodes with streams between them, on a clock of its own.
type network struct {
	t      fataler
	now    time.Time
	events events
	count  int
	nodes  map[string]*node
	// latency is that of a stream from one node to another.
	latency func(from, to string) time.Duration
	timing  Timing
}

type node struct {
	name      string
	catalog   *catalog.Catalog
	followers *Followers
	// told are the streams on which this node tells others.
	told map[string]*stream
	// received counts the batches that came by streams.
	received int
}

// stream is one that to follows from by. What is under way on a stream that has ended is lost.
type stream struct {
	from, to *node
	teller   *Teller
	ended    bool
	// arrived are when the last message arrives at to and at from: they keep their order.
	arrived, asked time.Time
}

type event struct {
	at    time.Time
	order int
	do    func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return cmp.Or(e[i].at.Compare(e[j].at), cmp.Compare(e[i].order, e[j].order)) < 0
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func newNetwork(t fataler, names ...string) *network {
	n := &network{t: t, now: start, nodes: map[string]*node{}, timing: DefaultTiming(), latency: func(string, string) time.Duration { return 10 * time.Millisecond }}
	for _, name := range names {
		n.nodes[name] = &node{name: name, told: map[string]*stream{}}
		n.empty(name)
	}
	return n
}

// empty has a node forget everything; its streams must have ended.
func (n *network) empty(name string) {
	n.nodes[name].catalog = catalog.New(catalog.Limits{})
	n.nodes[name].followers = NewFollowers(n.nodes[name].catalog, n.timing)
}

func (n *network) at(when time.Time, do func()) {
	n.count++
	heap.Push(&n.events, event{when, n.count, do})
}

// run lets everything happen that is due until a while has passed.
func (n *network) run(d time.Duration) {
	until := n.now.Add(d)
	for len(n.events) > 0 && !n.events[0].at.After(until) {
		next := heap.Pop(&n.events).(event)
		n.now = next.at
		next.do()
	}
	n.now = until
}

// follow opens a stream on which from tells to.
func (n *network) follow(to, from string, protocol uint32) {
	s := &stream{from: n.nodes[from], to: n.nodes[to]}
	s.to.followers.Opened(from, protocol)
	s.teller = NewTeller(s.from.catalog, protocol, n.timing)
	s.from.told[to] = s
	var haves []Have
	for _, o := range s.to.catalog.Origins() {
		haves = append(haves, Have{Origin: o.Name, Version: o.Version, ProducedAt: o.ProducedAt, Digest: s.to.catalog.Digest(o.Name)})
	}
	s.teller.Hello(haves, n.now)
	n.pump(s)
}

// cut ends a stream.
func (n *network) cut(to, from string) {
	s := n.nodes[from].told[to]
	if s == nil {
		return
	}
	s.ended = true
	delete(s.from.told, to)
	n.ask(s.to, s.to.followers.Closed(from, n.now))
}

// restart has a node lose its streams and all that it holds.
func (n *network) restart(name string) {
	for _, other := range slices.Sorted(maps.Keys(n.nodes)) {
		n.cut(name, other)
		n.cut(other, name)
	}
	n.empty(name)
}

// pump sends what a teller has to tell.
func (n *network) pump(s *stream) {
	for !s.ended {
		m, ok := s.teller.Next(n.now)
		if !ok {
			break
		}
		s.arrived = later(n.now.Add(n.latency(s.from.name, s.to.name)), s.arrived)
		n.at(s.arrived, func() { n.deliver(s, m) })
	}
	if due, ok := s.teller.Due(); ok && !s.ended {
		n.at(due, func() { n.pump(s) })
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (n *network) deliver(s *stream, m Message) {
	if s.ended {
		return
	}
	if m.Batch == nil {
		n.ask(s.to, s.to.followers.Heard(s.from.name, m.Haves, n.now))
		return
	}
	s.to.received++
	out := s.to.catalog.Merge(*m.Batch)
	if out.Changed || out.Refreshed {
		n.changed(s.to, m.Batch.Origin)
	}
	n.ask(s.to, s.to.followers.Took(s.from.name, *m.Batch, out, n.now))
}

func (n *network) changed(at *node, origin model.ClusterName) {
	for _, to := range slices.Sorted(maps.Keys(at.told)) {
		at.told[to].teller.Changed(origin, n.now)
		n.pump(at.told[to])
	}
}

func (n *network) ask(by *node, requests []Request) {
	for _, r := range requests {
		s := n.nodes[r.Stream].told[by.name]
		s.asked = later(n.now.Add(n.latency(by.name, r.Stream)), s.asked)
		n.at(s.asked, func() {
			switch {
			case s.ended:
			case r.Prune:
				s.teller.Prune(r.Origin)
			default:
				s.teller.Pull(r.Origin, r.Version)
			}
			n.pump(s)
		})
	}
	if due, ok := by.followers.Due(); ok {
		f := by.followers
		n.at(due, func() {
			if by.followers == f {
				n.ask(by, f.Tick(n.now))
			}
		})
	}
	n.fed(by)
}

// fed demands that no origin is without an eager stream while there is one.
func (n *network) fed(at *node) {
	for _, o := range at.catalog.Origins() {
		if len(at.followers.streams) > 0 && len(at.followers.eagerStreams(o.Name)) == 0 {
			n.t.Fatalf("%s has no eager stream for %s, of %d", at.name, o.Name, len(at.followers.streams))
		}
	}
}

// publish has an origin's writer hand a batch to a node.
func (n *network) publish(at string, b model.Batch) {
	if out := n.nodes[at].catalog.Merge(b); out.Changed || out.Refreshed {
		n.changed(n.nodes[at], b.Origin)
	}
}

// agree demands that all nodes hold the same.
func (n *network) agree() {
	n.t.(interface{ Helper() }).Helper()
	var first *node
	for _, name := range slices.Sorted(maps.Keys(n.nodes)) {
		if first == nil {
			first = n.nodes[name]
		}
		if a, b := describe(first.catalog), describe(n.nodes[name].catalog); a != b {
			n.t.Fatalf("%s holds\n%s\n%s holds\n%s", first.name, a, name, b)
		}
	}
}

func describe(c *catalog.Catalog) string {
	text := ""
	for _, o := range c.Origins() {
		text += fmt.Sprintf("%s %v %v %x\n", o.Name, o.Version, o.ProducedAt.Sub(start), c.Digest(o.Name)[:4])
	}
	return text
}

// writer publishes as one origin.
type writer struct {
	name    model.ClusterName
	version model.Version
	records map[string]string
}

func (w *writer) batch(n *network) model.Batch {
	return model.Batch{Origin: w.name, To: w.version, Instance: fmt.Sprint(w.version.Epoch), ProducedAt: n.now}
}

func record(key, body string) model.SignedRecord {
	return model.SignedRecord{Key: key, Record: []byte(body), Signature: []byte("signature")}
}

// full begins an epoch.
func (w *writer) full(n *network) model.Batch {
	w.version = model.Version{Incarnation: 1, Epoch: w.version.Epoch + 1, Seq: 1}
	b := w.batch(n)
	b.Full = true
	for _, key := range slices.Sorted(maps.Keys(w.records)) {
		b.Upserts = append(b.Upserts, record(key, w.records[key]))
	}
	return b
}

func (w *writer) change(n *network, key, body string) model.Batch {
	from := w.version
	w.version.Seq++
	b := w.batch(n)
	b.From = from
	if w.records == nil {
		w.records = map[string]string{}
	}
	w.records[key] = body
	b.Upserts = []model.SignedRecord{record(key, body)}
	return b
}

func (w *writer) confirm(n *network) model.Batch {
	b := w.batch(n)
	b.From = b.To
	return b
}

// eagerStreams lists the streams by which an origin's changes are pushed to this node, sorted.
func (f *Followers) eagerStreams(origin model.ClusterName) []string {
	var out []string
	for stream := range f.streams {
		if o := f.origins[origin]; o == nil || o.links[stream] == nil || !o.links[stream].pruned {
			out = append(out, stream)
		}
	}
	slices.Sort(out)
	return out
}
