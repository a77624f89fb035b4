package tenure

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(epoch, seq uint64) model.Version {
	return model.Version{Incarnation: 7, Epoch: epoch, Seq: seq}
}

func TestMay(t *testing.T) {
	other := func(epoch, seq uint64, fresh bool) func(Tenure, time.Time) Tenure {
		return func(t Tenure, now time.Time) Tenure { return t.Told(Word{"b", at(epoch, seq), fresh}, now) }
	}
	own := func(epoch, seq uint64) func(Tenure, time.Time) Tenure {
		return func(t Tenure, now time.Time) Tenure { return t.Told(Word{"a", at(epoch, seq), true}, now) }
	}
	publish := func(epoch, seq uint64) func(Tenure, time.Time) Tenure {
		return func(t Tenure, _ time.Time) Tenure { return t.Publish(at(epoch, seq)) }
	}
	nothing := func(t Tenure, now time.Time) Tenure { return t.Told(Word{}, now) }
	for name, c := range map[string]struct {
		steps []func(Tenure, time.Time) Tenure
		may   bool
		after time.Duration
	}{
		"at the start":                             {nil, true, 0},
		"a restart meets its predecessor":          {steps(other(1, 9, true)), true, 0},
		"it goes on":                               {steps(publish(1, 1), own(1, 1)), true, 0},
		"another one published a newer epoch":      {steps(publish(1, 1), other(2, 1, true)), false, -1},
		"another one published the same epoch":     {steps(publish(1, 1), other(1, 1, true)), false, -1},
		"another one published less of the epoch":  {steps(publish(1, 3), other(1, 1, true)), false, -1},
		"… and is silent":                          {steps(publish(1, 3), other(1, 1, false)), true, 0},
		"the other one is silent":                  {steps(publish(1, 1), other(2, 1, true), other(2, 1, false)), true, 0},
		"the other one is back":                    {steps(publish(1, 1), other(2, 1, false), other(2, 4, true)), false, -1},
		"a word from before the own batch":         {steps(other(1, 9, true), publish(2, 1), other(1, 9, true)), true, 0},
		"a node that lags behind says: silent":     {steps(publish(1, 1), other(2, 1, true), other(1, 9, false)), false, Silence},
		"a node that lags behind names this one":   {steps(publish(1, 1), other(2, 1, true), own(1, 1)), false, Silence},
		"a node that knows nothing":                {steps(publish(1, 1), other(2, 1, true), nothing), false, Silence},
		"a node that knows nothing, and one more":  {steps(publish(1, 1), other(2, 1, true), nothing, other(2, 2, true)), false, -1},
		"the own newer state was the one that won": {steps(publish(2, 5), other(2, 6, true), own(2, 7)), true, 0},
	} {
		tenure := Tenure{Instance: "a"}
		for _, step := range c.steps {
			tenure = step(tenure, start)
		}
		may, next := tenure.May(start)
		want := time.Time{}
		if c.after > 0 {
			want = start.Add(c.after)
			if ok, _ := tenure.May(want); !ok {
				t.Errorf("%s: not after %v either", name, c.after)
			}
		}
		if may != c.may || !c.may && !next.Equal(want) {
			t.Errorf("%s: may %v, next %v", name, may, next)
		}
	}
}

func steps(s ...func(Tenure, time.Time) Tenure) []func(Tenure, time.Time) Tenure { return s }

// world is processes that publish as one cluster, each by a node of its own; what the nodes hold spreads, and each tells its process.
type world struct {
	now   time.Time
	procs []*proc
	nodes []*node
	next  int
}

type proc struct {
	Tenure
	node  int
	alive bool
	// epoch is persisted: a copy of the folder has it, too.
	version model.Version
	beat    time.Time
}

// node holds the newest state, as the catalog does: the larger version wins, ties go to one of the two by their names.
type node struct {
	held     model.Version
	instance string
	beat     time.Time
	advanced time.Time
}

func (n *node) merge(instance string, v model.Version, beat, now time.Time) {
	order := v.Compare(n.held)
	if order > 0 || order == 0 && (instance > n.instance || instance == n.instance && beat.After(n.beat)) {
		n.held, n.instance, n.beat, n.advanced = v, instance, beat, now
	}
}

func (n *node) word(now time.Time) Word {
	return Word{n.instance, n.held, n.instance != "" && now.Sub(n.advanced) < Silence}
}

func (w *world) start(node int) *proc {
	w.next++
	p := &proc{Tenure: Tenure{Instance: fmt.Sprint("i", w.next)}, node: node, alive: true}
	w.procs = append(w.procs, p)
	return p
}

// act has a process send what it may: a new epoch when it has none of its own in force, else a sign of life.
func (w *world) act(p *proc) {
	if may, _ := p.May(w.now); !p.alive || !may {
		return
	}
	n := w.nodes[p.node]
	if _, superseded := p.Superseded(); superseded || p.version.IsZero() {
		p.version = at(max(p.Newest().Epoch, n.held.Epoch)+1, 1)
	} else if w.now.Sub(p.beat) < 2*time.Second {
		return
	}
	p.Tenure = p.Publish(p.version)
	p.beat = w.now
	n.merge(p.Instance, p.version, w.now, w.now)
}

func (w *world) tell(p *proc) {
	if p.alive {
		p.Tenure = p.Told(w.nodes[p.node].word(w.now), w.now)
	}
}

func (w *world) spread(from, to int) {
	f := w.nodes[from]
	if f.instance != "" {
		w.nodes[to].merge(f.instance, f.held, f.beat, w.now)
	}
}

// run lets messages arrive for a while: every node hears of every other, every process of its node.
func (w *world) run(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); w.now = w.now.Add(500 * time.Millisecond) {
		for _, p := range w.procs {
			w.act(p)
		}
		for from := range w.nodes {
			for to := range w.nodes {
				w.spread(from, to)
			}
		}
		for _, p := range w.procs {
			w.tell(p)
		}
	}
}

func (w *world) publishing() (list []*proc) {
	for _, p := range w.procs {
		if may, _ := p.May(w.now); p.alive && may {
			list = append(list, p)
		}
	}
	return list
}

// TestOnePublishes has copies of one agent start, stop, freeze and publish while words arrive or do not, and then lets the messages
// arrive: exactly one of them publishes, and it is the one whose state is held everywhere; then it dies, and another one takes over.
func TestOnePublishes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{now: start, nodes: []*node{{}, {}, {}}}
		w.start(0)
		proc := func(t *rapid.T) *proc { return rapid.SampledFrom(w.procs).Draw(t, "process") }
		node := rapid.IntRange(0, len(w.nodes)-1)
		t.Repeat(map[string]func(*rapid.T){
			"start": func(t *rapid.T) {
				if len(w.procs) < 4 {
					w.start(node.Draw(t, "node"))
				}
			},
			"stop or go on": func(t *rapid.T) { p := proc(t); p.alive = !p.alive },
			"act":           func(t *rapid.T) { w.act(proc(t)) },
			"tell":          func(t *rapid.T) { w.tell(proc(t)) },
			"move":          func(t *rapid.T) { p := proc(t); p.node = node.Draw(t, "node"); w.tell(p) },
			"spread":        func(t *rapid.T) { w.spread(node.Draw(t, "from"), node.Draw(t, "to")) },
			"time":          func(t *rapid.T) { w.now = w.now.Add(time.Duration(rapid.IntRange(0, 15).Draw(t, "s")) * time.Second) },
		})
		w.start(0)
		w.run(2*Silence + 5*time.Second)
		one := w.publishing()
		if len(one) != 1 || w.nodes[0].instance != one[0].Instance {
			t.Fatalf("%d of %d publish; held is the state of %s", len(one), len(w.procs), w.nodes[0].instance)
		}
		w.run(30 * time.Second)
		if again := w.publishing(); len(again) != 1 || again[0] != one[0] {
			t.Fatal("another one publishes although the first one lives")
		}
		one[0].alive = false
		others := 0
		for _, p := range w.procs {
			if p.alive {
				others++
			}
		}
		w.run(Silence + 2*time.Second)
		if next := w.publishing(); len(next) < min(1, others) {
			t.Fatalf("nobody of %d takes over", others)
		}
		w.run(2 * Silence)
		if next := w.publishing(); len(next) != min(1, others) {
			t.Fatalf("%d of %d have taken over", len(next), others)
		}
	})
}

func TestARestartTakesOverAtOnce(t *testing.T) {
	w := &world{now: start, nodes: []*node{{}, {}}}
	w.start(0)
	w.run(20 * time.Second)
	w.procs[0].alive = false
	next := w.start(1)
	w.run(time.Second)
	if w.nodes[0].instance != next.Instance {
		t.Errorf("%s is held after a restart", w.nodes[0].instance)
	}
}
