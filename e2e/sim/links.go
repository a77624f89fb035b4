package sim

import (
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/overlay"
	"github.com/hanse-mesh/hanse/federation/spread"
)

const (
	reviewEvery = time.Second
	// suspicion is how long memberlist takes to call a silent node dead.
	suspicion = 6 * time.Second
	// unreachableAfter is how long a live node has no stream when another one is followed as well.
	unreachableAfter = 10 * time.Second
	// exchangeEvery is how often memberlist exchanges states with a random node, which carry summaries.
	exchangeEvery = 10 * time.Second
	// repairTime bounds how long a node is followed for a repair.
	repairTime = 30 * time.Second
)

// links are a node's streams to and from other nodes: federation/gossip's mesh, which drives the same spread.
type links struct {
	n *node
	// heard is when each other node was last known to live.
	heard map[string]time.Duration
	// following are the streams that this node opened, tellers those that were opened to it.
	following map[string]*follower
	followers *spread.Followers
	tellers   []*teller
	ticking   bool
	repairs   *spread.Repairs
	summed    model.ClusterName
	// without is since when a node that should be followed is not.
	without map[string]time.Duration
}

func newLinks(n *node) *links {
	return &links{
		n: n, heard: map[string]time.Duration{}, following: map[string]*follower{},
		followers: spread.NewFollowers(n, spread.DefaultTiming()), repairs: spread.NewRepairs(n, spread.DefaultTiming()),
		without: map[string]time.Duration{},
	}
}

func (l *links) begin() {
	for _, o := range l.n.w.nodes {
		l.heard[o.name] = l.n.w.now
	}
	l.review()
	w := l.n.w
	w.afterFor(&l.n.process, w.between(0, exchangeEvery), l.exchange)
}

// summaryOrigins is how many origins one exchange tells of.
const summaryOrigins = 2000

// review follows those that the overlay names, and others in place of those that cannot be reached.
func (l *links) review() {
	n, w := l.n, l.n.w
	members := make([]overlay.Member, 0, len(w.nodes))
	lost := false
	for _, o := range w.nodes {
		if o == n || l.reaches(o) {
			l.heard[o.name] = w.now
		}
		members = append(members, overlay.Member{Name: o.name, Region: o.region, Alive: w.now-l.heard[o.name] < suspicion})
	}
	want := overlay.Follow(n.name, members, w.degree)
	for i, m := range members {
		if f := l.following[m.Name]; f != nil && f.end != nil || !slices.Contains(want, m.Name) {
			delete(l.without, m.Name)
		} else if since, ok := l.without[m.Name]; !ok {
			l.without[m.Name] = w.now
		} else if w.now-since >= unreachableAfter {
			members[i].Alive, lost = false, true
		}
	}
	if lost {
		want = append(want, overlay.Follow(n.name, members, w.degree)...)
	}
	for _, o := range w.nodes {
		f := l.following[o.name]
		switch wanted := slices.Contains(want, o.name); {
		case wanted && f == nil:
			l.follow(o, o.name)
		case !wanted && f != nil:
			f.over()
		}
	}
	w.afterFor(&n.process, reviewEvery, l.review)
}

// exchange tells a random node what is held here, and is told, as memberlist does.
func (l *links) exchange() {
	n, w := l.n, l.n.w
	w.afterFor(&n.process, w.between(exchangeEvery*9/10, exchangeEvery*11/10), l.exchange)
	o := pick(&w.engine, w.nodes)
	if o == n || !o.up || o.frozen || !w.net.open(&n.process, &o.process) || !w.net.open(&o.process, &n.process) {
		return
	}
	for _, pair := range [][2]*node{{n, o}, {o, n}} {
		from, to := pair[0], pair[1]
		haves, last := spread.Summary(from, from.links.summed, summaryOrigins)
		from.links.summed = last
		w.afterFor(&to.process, w.travel(&from.process, &to.process), func() {
			to.links.repairs.Heard(from.name, haves, to.clock(w.now))
			to.links.repair()
		})
	}
}

// repair asks for what has been lacking for too long.
func (l *links) repair() {
	n, w := l.n, l.n.w
	now := n.clock(w.now)
	for name, haves := l.repairs.Take(now); name != ""; name, haves = l.repairs.Take(now) {
		w.trace.add(w.now, "repair", n.name, name, uint64(len(haves)), 0, 0)
		if f := l.following[name]; f != nil && f.end != nil {
			l.ask(l.followers.Heard(name, haves, now))
		} else if stream := "repair from " + name; l.following[stream] == nil {
			f := l.follow(w.nodeNamed(name), stream)
			w.afterFor(&n.process, repairTime, f.over)
		}
	}
	if due, ok := l.repairs.Due(); ok {
		w.afterFor(&n.process, max(time.Millisecond, due.Sub(now)), l.repair)
	}
}

// reaches is what memberlist's probes find, those by way of a third node included.
func (l *links) reaches(o *node) bool {
	n, net := &l.n.process, &l.n.w.net
	if !o.up || o.frozen {
		return false
	}
	both := func(a, b *process) bool { return net.open(a, b) && net.open(b, a) }
	if both(n, &o.process) {
		return true
	}
	for _, third := range l.n.w.nodes {
		if third.up && !third.frozen && both(n, &third.process) && both(&third.process, &o.process) {
			return true
		}
	}
	return false
}

// changed has every follower told of an origin.
func (l *links) changed(origin model.ClusterName) {
	now := l.n.clock(l.n.w.now)
	for _, t := range l.tellers {
		if t.spread != nil {
			t.spread.Changed(origin, now)
			t.wake()
		}
	}
}

// ask sends what the followers want, and looks again when they are due.
func (l *links) ask(requests []spread.Request) {
	w := l.n.w
	for _, r := range requests {
		if f := l.following[r.Stream]; f != nil && w.seams.request(r) {
			if _, waits := f.requests[r.Origin]; !waits {
				f.order.add(r.Origin)
			}
			f.requests[r.Origin] = r
			f.send()
		}
	}
	due, waits := l.followers.Due()
	if !waits || l.ticking {
		return
	}
	l.ticking = true
	w.afterFor(&l.n.process, max(time.Millisecond, due.Sub(l.n.clock(w.now))), func() {
		l.ticking = false
		l.ask(l.followers.Tick(l.n.clock(w.now)))
	})
}

// What nodes say to each other: this, spread's messages, and spread's requests.
type syncHello struct{ haves []spread.Have }

// follower is this node's side of a stream on which it is told.
type follower struct {
	l    *links
	peer *node
	// stream is the peer's name, or another one for a repair.
	stream   string
	end      *end
	requests map[model.ClusterName]spread.Request
	order    names
}

func (l *links) follow(o *node, stream string) *follower {
	w := l.n.w
	f := &follower{l: l, peer: o, stream: stream, requests: map[model.ClusterName]spread.Request{}}
	l.following[stream] = f
	w.dial(&l.n.process, &o.process, func(e *end) { o.links.accept(e) }, func(e *end) {
		switch {
		case e == nil:
			f.over()
		case l.following[stream] != f:
			e.close(w)
		default:
			f.begin(e)
		}
	})
	return f
}

func (f *follower) begin(e *end) {
	n := f.l.n
	f.end = e
	e.receive, e.room, e.ended = f.receive, f.send, f.over
	h := syncHello{}
	for _, o := range n.Origins() {
		h.haves = append(h.haves, spread.Have{Origin: o.Name, Version: o.Version, Digest: n.Digest(o.Name), ProducedAt: o.ProducedAt})
	}
	e.send(n.w, h)
	f.l.followers.Opened(f.stream, model.ProtocolMax)
}

// over ends the stream, whoever ended it.
func (f *follower) over() {
	l := f.l
	if l.following[f.stream] != f {
		return
	}
	delete(l.following, f.stream)
	if f.end == nil {
		return
	}
	f.end.close(l.n.w)
	l.ask(l.followers.Closed(f.stream, l.n.clock(l.n.w.now)))
}

func (f *follower) receive(m any) {
	l := f.l
	if l.following[f.stream] != f {
		return
	}
	now := l.n.clock(l.n.w.now)
	switch m := m.(type) {
	case spread.Message:
		if m.Batch != nil {
			l.ask(l.followers.Took(f.stream, *m.Batch, l.n.offer(*m.Batch), now))
		} else {
			l.ask(l.followers.Heard(f.stream, m.Haves, now))
		}
	}
}

func (f *follower) send() {
	for f.end != nil && !f.order.empty() && !f.end.full() {
		origin := f.order.next()
		r := f.requests[origin]
		delete(f.requests, origin)
		f.end.send(f.l.n.w, r)
	}
}

// teller is this node's side of a stream on which it tells.
type teller struct {
	l      *links
	end    *end
	spread *spread.Teller
	woken  bool
	dueAt  time.Time
}

func (l *links) accept(e *end) {
	t := &teller{l: l, end: e}
	e.receive, e.room = t.receive, t.wake
	e.ended = func() { l.tellers = slices.DeleteFunc(l.tellers, func(o *teller) bool { return o == t }) }
	l.tellers = append(l.tellers, t)
}

func (t *teller) receive(m any) {
	switch m := m.(type) {
	case syncHello:
		t.spread = spread.NewTeller(t.l.n, model.ProtocolMax, spread.DefaultTiming())
		t.spread.Hello(m.haves, t.l.n.clock(t.l.n.w.now))
	case spread.Request:
		if t.spread == nil {
			return
		}
		if m.Prune {
			t.spread.Prune(m.Origin)
		} else {
			t.spread.Pull(m.Origin, m.Version)
		}
	}
	t.wake()
}

func (t *teller) wake() {
	if t.woken || t.spread == nil || t.end.closed {
		return
	}
	t.woken = true
	t.l.n.w.afterFor(&t.l.n.process, 0, t.tell)
}

// tell sends as much as the stream takes.
func (t *teller) tell() {
	n, w := t.l.n, t.l.n.w
	t.woken = false
	now := n.clock(w.now)
	for !t.end.full() && !t.end.closed {
		m, ok := t.spread.Next(now)
		if !ok {
			break
		}
		if m.Batch == nil {
			w.net.haves++
		} else if m.Batch.Full || m.Batch.From != m.Batch.To {
			w.net.batches++
		}
		t.end.send(w, m)
	}
	due, waits := t.spread.Due()
	if !waits || t.end.closed || t.end.full() || due.Equal(t.dueAt) && due.After(now) {
		return
	}
	t.dueAt = due
	w.afterFor(&n.process, max(time.Millisecond, due.Sub(now)), t.wake)
}
