package sim

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// epoch is the true time at which every world begins.
var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// event is something that happens at a true time since the world began.
type event struct {
	at time.Duration
	// order makes events of one time follow each other as they were scheduled.
	order uint64
	// to is the process that it happens to, in its life number life; nil for the world itself.
	to   *process
	life int
	run  func()
}

func (e event) before(o event) bool { return e.at < o.at || e.at == o.at && e.order < o.order }

// engine is the clock, the heap of events and the random source of one world.
type engine struct {
	now   time.Duration
	heap  []event
	count uint64
	rng   *rand.Rand
	trace trace
}

func newEngine(seed uint64) engine {
	return engine{rng: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)), trace: newTrace()}
}

// after schedules something of the world itself.
func (e *engine) after(d time.Duration, run func()) { e.push(event{at: e.now + max(0, d), run: run}) }

// afterFor schedules something of a process: it is dropped when the process has died by then, and waits while it is frozen.
func (e *engine) afterFor(p *process, d time.Duration, run func()) {
	e.push(event{at: e.now + max(0, d), to: p, life: p.life, run: run})
}

func (e *engine) push(v event) {
	e.count++
	v.order = e.count
	h := append(e.heap, v)
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !h[i].before(h[parent]) {
			break
		}
		h[i], h[parent] = h[parent], h[i]
		i = parent
	}
	e.heap = h
}

func (e *engine) pop() event {
	h := e.heap
	top := h[0]
	last := len(h) - 1
	h[0], h[last] = h[last], event{}
	h = h[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			break
		}
		if child+1 < last && h[child+1].before(h[child]) {
			child++
		}
		if !h[child].before(h[i]) {
			break
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
	e.heap = h
	return top
}

// step runs the next event before until and reports whether there was one.
func (e *engine) step(until time.Duration) bool {
	if len(e.heap) == 0 || e.heap[0].at > until {
		e.now = until
		return false
	}
	v := e.pop()
	e.now = v.at
	switch p := v.to; {
	case p == nil:
		v.run()
	case !p.up || p.life != v.life:
	case p.frozen:
		p.backlog = append(p.backlog, v)
	default:
		v.run()
	}
	return true
}

// between draws a duration from [from, to).
func (e *engine) between(from, to time.Duration) time.Duration {
	if to <= from {
		return from
	}
	return from + time.Duration(e.rng.Int64N(int64(to-from)))
}

// chance is true with probability p.
func (e *engine) chance(p float64) bool { return p > 0 && e.rng.Float64() < p }

// pick draws one of a list that is not empty.
func pick[T any](e *engine, list []T) T { return list[e.rng.IntN(len(list))] }

// process is what can crash, freeze and have a clock of its own.
type process struct {
	name   string
	region string
	// index is the process's place in the matrix of paths.
	index int
	up    bool
	// life counts the starts: what was meant for an earlier one is lost.
	life    int
	frozen  bool
	backlog []event
	ends    []*end
	// skew is how far its clock is ahead of the true time, drift by how much that grows per second.
	skew  time.Duration
	drift float64
	// readPause is how long it takes to read a message from a stream.
	readPause time.Duration
}

// clock is the time that the process believes it is.
func (p *process) clock(now time.Duration) time.Time {
	return epoch.Add(now + p.skew + time.Duration(p.drift*float64(now)))
}

// die ends a life: streams end and what was not on disk is gone.
func (p *process) die(w *world) {
	p.up, p.frozen, p.backlog = false, false, nil
	ends := p.ends
	p.ends = nil
	for _, e := range ends {
		e.abandon(w)
	}
}

func (p *process) start() { p.up, p.life = true, p.life+1 }

// thaw runs what has waited, in its order.
func (p *process) thaw(w *world) {
	if !p.frozen {
		return
	}
	p.frozen = false
	backlog := p.backlog
	p.backlog = nil
	for _, v := range backlog {
		w.push(event{at: w.now, to: v.to, life: v.life, run: v.run})
	}
}

// traceLines is how many of the last lines a failure shows.
const traceLines = 60

// trace is what happened: a digest of everything, and the last lines.
type trace struct {
	digest uint64
	lines  [traceLines]line
	count  int
	// all, when set, is given every line.
	all func(string)
}

type line struct {
	at         time.Duration
	what       string
	who, about string
	a, b, c    uint64
}

func newTrace() trace { return trace{digest: 14695981039346656037} }

// add notes one happening; the numbers mean what the word in front says.
func (t *trace) add(at time.Duration, what, who, about string, a, b, c uint64) {
	l := line{at, what, who, about, a, b, c}
	t.lines[t.count%traceLines] = l
	t.count++
	t.number(uint64(at))
	t.text(what)
	t.text(who)
	t.text(about)
	t.number(a)
	t.number(b)
	t.number(c)
	if t.all != nil {
		t.all(l.String())
	}
}

func (t *trace) number(n uint64) { t.digest = (t.digest ^ n) * 1099511628211 }

func (t *trace) text(s string) {
	for i := range len(s) {
		t.digest = (t.digest ^ uint64(s[i])) * 1099511628211
	}
	t.number(uint64(len(s)))
}

// tail returns the last lines, the oldest first.
func (t *trace) tail() []string {
	var out []string
	for i := max(0, t.count-traceLines); i < t.count; i++ {
		out = append(out, t.lines[i%traceLines].String())
	}
	return out
}

func (l line) String() string {
	return fmt.Sprintf("%10.4fs %-10s %-8s %-24s %d %d %d", l.at.Seconds(), l.what, l.who, l.about, l.a, l.b, l.c)
}
