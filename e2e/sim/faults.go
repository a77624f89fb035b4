package sim

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/state"
)

// trouble is one kind of thing that happens, how often compared with the others.
type trouble struct {
	name   string
	weight int
	happen func(w *world)
}

// troubles are in an order that seeds depend on.
var troubles = []trouble{
	{"workload comes or goes", 24, (*world).churn},
	{"workload flaps", 2, (*world).flap},
	{"mass removal", 2, (*world).massRemoval},
	{"rule changes", 6, (*world).changeRule},
	{"partition", 5, (*world).partition},
	{"one-way cut", 3, (*world).oneWay},
	{"node crashes", 4, (*world).crashNode},
	{"agent crashes", 5, (*world).crashAgent},
	{"process freezes", 4, (*world).freeze},
	{"gateway dies", 4, (*world).killGateway},
	{"slow path", 2, (*world).slowPath},
	{"slow reader", 3, (*world).slowReader},
	{"clone", 3, (*world).startClone},
	{"cluster leaves and joins", 3, (*world).rejoin},
	{"node lies", 4, (*world).lie},
}

// disturb plans what happens until the trouble is over.
func (w *world) disturb(until time.Duration) {
	w.net.loss = []float64{0, 0.005, 0.01, 0.02}[w.rng.IntN(4)]
	total := 0
	for _, t := range troubles {
		total += t.weight
	}
	for at := w.between(time.Second, 4*time.Second); at < until; at += w.between(100*time.Millisecond, 1100*time.Millisecond) {
		w.after(at, func() {
			n := w.rng.IntN(total)
			for _, t := range troubles {
				if n -= t.weight; n < 0 {
					w.trace.add(w.now, "trouble", t.name, "", 0, 0, 0)
					t.happen(w)
					return
				}
			}
		})
	}
}

// during does something and takes it back after d, or when everything heals.
func (w *world) during(d time.Duration, do, undo func()) {
	do()
	done := false
	once := func() {
		if !done {
			done = true
			undo()
		}
	}
	w.undo = append(w.undo, once)
	w.after(d, once)
}

// heal ends all trouble.
func (w *world) heal() {
	w.trace.add(w.now, "heal", "", "", 0, 0, 0)
	w.quiet = true
	for _, undo := range w.undo {
		undo()
	}
	w.undo = nil
	w.net.loss = min(w.net.loss, 0.005)
	for i := range time.Duration(3) {
		w.after((i+1)*8*time.Second, w.operate)
	}
}

// operate restarts agents of which an importer holds more than they say, as an operator does who sees an age that does not end. That
// is what a clone, or a node's lie, can leave behind when all nodes that have believed it were restarted and importers were not.
func (w *world) operate() {
	for _, a := range w.agents {
		if a.link == nil || a.link.version.IsZero() {
			continue
		}
		for _, importer := range w.agents {
			if i, ok := importedOf(importer, a.cluster); ok && i.Version.Compare(a.link.version) > 0 {
				w.trace.add(w.now, "restarted", a.name, importer.name, i.Version.Epoch, a.link.version.Epoch, 0)
				a.die(w)
				a.boot()
				break
			}
		}
	}
}

func (w *world) anAgent() *agent { return pick(&w.engine, w.agents) }

// register changes an agent's registry, which is on its disk before it counts.
func (a *agent) register(change func(map[string]model.Workload)) {
	change(a.disk.workloads)
	if a.up {
		a.touch()
	}
}

// serving are the ids of an agent's workloads that serve, sorted.
func (a *agent) serving() []string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(a.disk.workloads)) {
		if a.disk.workloads[id].Serves() {
			out = append(out, id)
		}
	}
	return out
}

func (a *agent) toggle(id string) {
	a.register(func(m map[string]model.Workload) {
		if x, ok := m[id]; ok {
			x.Health.Ready = !x.Health.Ready
			m[id] = x
		}
	})
}

func (w *world) churn() {
	a := w.anAgent()
	ids := a.serving()
	switch n := w.rng.IntN(4); {
	case len(ids) == 0 || n == 0 && len(ids) < 24:
		w.addWorkload(a, w.rng.IntN(16))
		a.register(func(map[string]model.Workload) {})
	case n == 1:
		id := pick(&w.engine, ids)
		a.register(func(m map[string]model.Workload) { delete(m, id) })
	default:
		a.toggle(pick(&w.engine, ids))
	}
}

func (w *world) flap() {
	a := w.anAgent()
	ids := a.serving()
	if len(ids) == 0 {
		return
	}
	id := pick(&w.engine, ids)
	every := w.between(100*time.Millisecond, 600*time.Millisecond)
	for i := range 12 {
		w.after(time.Duration(i)*every, func() {
			if !w.quiet {
				a.toggle(id)
			}
		})
	}
}

// massRemoval takes all workloads of the large site away, and brings them back later, or never.
func (w *world) massRemoval() {
	a := w.agents[0]
	gone := map[string]model.Workload{}
	w.during(w.between(2*time.Second, 50*time.Second), func() {
		a.register(func(m map[string]model.Workload) {
			for _, id := range a.serving() {
				gone[id] = m[id]
				delete(m, id)
			}
		})
	}, func() {
		a.register(func(m map[string]model.Workload) { maps.Copy(m, gone) })
	})
}

func (w *world) changeRule() {
	name := fmt.Sprintf("rule%d", w.rng.IntN(4))
	if _, ok := w.raft.now().Exports[name]; ok && w.chance(0.5) {
		w.propose(state.DeletePolicy{Kind: string(policy.KindExportRule), Name: name})
		return
	}
	spec := policy.ExportRuleSpec{From: w.someone(), Namespaces: []string{namespace}, To: w.someone()}
	if w.chance(0.5) {
		spec.Services = []string{fmt.Sprintf("s%d", w.rng.IntN(16)), fmt.Sprintf("s%d", w.rng.IntN(16))}
	}
	w.putRule(name, spec)
}

func (w *world) cut(from, to *process, by int16) { w.net.cuts[from.index][to.index] += by }

// partition parts the processes in two for a while: a region from the rest, or some from some.
func (w *world) partition() {
	side := map[*process]bool{}
	if w.chance(0.5) {
		region := pick(&w.engine, w.regions)
		for _, p := range w.all {
			side[p] = p.region == region
		}
	} else {
		share := 0.1 + 0.4*w.rng.Float64()
		for _, p := range w.all {
			side[p] = w.chance(share)
		}
	}
	apply := func(by int16) {
		for _, p := range w.all {
			for _, q := range w.all {
				if side[p] != side[q] {
					w.cut(p, q, by)
				}
			}
		}
	}
	w.during(w.between(time.Second, 25*time.Second), func() { apply(1) }, func() { apply(-1) })
}

// oneWay cuts what one process sends to some others.
func (w *world) oneWay() {
	from := pick(&w.engine, w.all)
	var to []*process
	for _, p := range w.all {
		if p != from && w.chance(0.5) {
			to = append(to, p)
		}
	}
	apply := func(by int16) {
		for _, p := range to {
			w.cut(from, p, by)
		}
	}
	w.during(w.between(time.Second, 20*time.Second), func() { apply(1) }, func() { apply(-1) })
}

func (w *world) crashNode() {
	n := pick(&w.engine, w.nodes)
	if !n.up {
		return
	}
	w.during(w.between(500*time.Millisecond, 15*time.Second), func() {
		w.trace.add(w.now, "crash", n.name, "", 0, 0, 0)
		n.die(w)
	}, n.boot)
}

// crashAgent ends an agent's life; now and then its clock is set meanwhile.
func (w *world) crashAgent() {
	a := w.anAgent()
	if !a.up {
		return
	}
	w.during(w.between(200*time.Millisecond, 20*time.Second), func() {
		w.trace.add(w.now, "crash", a.name, "", 0, 0, 0)
		a.die(w)
		if w.chance(0.3) {
			w.setClock(&a.process)
			a.setAnew = true
		}
	}, a.boot)
}

func (w *world) freeze() {
	p := pick(&w.engine, w.all)
	if p.frozen || !p.up {
		return
	}
	life := p.life
	w.during(w.between(500*time.Millisecond, 25*time.Second), func() {
		w.trace.add(w.now, "freeze", p.name, "", 0, 0, 0)
		p.frozen = true
	}, func() {
		if p.life == life {
			p.thaw(w)
		}
	})
}

func (w *world) killGateway() {
	g := pick(&w.engine, w.gateways)
	if !g.up {
		return
	}
	w.during(w.between(2*time.Second, 30*time.Second), func() { g.die(w) }, g.start)
}

func (w *world) slowPath() {
	slow := w.between(20*time.Millisecond, 400*time.Millisecond)
	loss := 0.05 * w.rng.Float64()
	w.during(w.between(2*time.Second, 15*time.Second),
		func() { w.net.slow += slow; w.net.loss += loss },
		func() { w.net.slow -= slow; w.net.loss -= loss })
}

func (w *world) slowReader() {
	p := pick(&w.engine, w.all[:len(w.nodes)+len(w.agents)])
	pause := w.between(20*time.Millisecond, 500*time.Millisecond)
	w.during(w.between(2*time.Second, 15*time.Second), func() { p.readPause += pause }, func() { p.readPause -= pause })
}

// startClone starts an agent on a copy of another one's disk, which speaks with one node only.
func (w *world) startClone() {
	a := w.anAgent()
	if !a.up || len(w.clones) > 0 {
		return
	}
	c := &agent{process: process{name: a.name + "'", region: a.region, index: len(w.all)}, w: w, cluster: a.cluster, signer: a.signer, disk: a.disk}
	c.disk.workloads = maps.Clone(a.disk.workloads)
	c.only = pick(&w.engine, w.nodes)
	if w.chance(0.5) {
		// It is as if both had started at once.
		a.disk.epoch++
		c.disk.epoch = a.disk.epoch
		a.die(w)
		w.during(0, func() {}, a.boot)
	}
	for _, p := range w.all {
		d := w.net.latency[a.index][p.index]
		w.net.latency[c.index][p.index], w.net.latency[p.index][c.index] = d, d
	}
	w.setClock(&c.process)
	w.during(w.between(2*time.Second, 15*time.Second), func() {
		w.clones = append(w.clones, c)
		c.boot()
		if ids := c.serving(); len(ids) > 0 {
			c.toggle(pick(&w.engine, ids))
		}
	}, func() {
		c.die(w)
		w.clones = nil
	})
}

// rejoin removes a cluster; later it joins again, as itself or with a new key and an empty disk.
func (w *world) rejoin() {
	a := w.anAgent()
	if _, member := w.raft.now().Clusters[a.cluster]; !member || slices.ContainsFunc(w.clones, func(c *agent) bool { return c.cluster == a.cluster }) {
		return
	}
	anew := w.chance(0.5)
	w.during(w.between(500*time.Millisecond, 15*time.Second), func() {
		w.propose(state.RemoveCluster{Name: a.cluster})
		if anew && a.up {
			a.die(w)
		}
	}, func() {
		if anew {
			i := slices.IndexFunc(signers, func(s signer) bool { return s.key == a.signer.key })
			a.signer = signers[i^1]
			a.disk = disk{workloads: a.disk.workloads}
		}
		w.admit(a.cluster, a.region, a.signer.public)
		if anew && !a.up {
			a.boot()
		}
	})
}
