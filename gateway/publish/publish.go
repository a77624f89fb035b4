// Package publish owns the step from "something changed" to served resources: when a snapshot is built, for whom resources are
// generated from it, and what of the last time is used again.
package publish

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hanse-mesh/hanse/gateway/snapshot"
	"github.com/hanse-mesh/hanse/gateway/xds"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// Cache is where resources are served from. Its methods must not call the Publisher.
type Cache interface {
	Set(class string, r xds.Resources)
	Drop(class string)
}

// Config is what a Publisher needs.
type Config struct {
	// Build derives the present snapshot. It returns nil when the inputs are not complete yet: then nothing is published.
	Build func() *snapshot.Snapshot
	// Generate is xds.Generate. Nil resources say that the target is unknown: then it keeps what it has.
	Generate func(s *snapshot.Snapshot, t xds.Target, m xds.Memo) (xds.Resources, []xds.Problem)
	// Unchanged is xds.Unchanged: a class for which it holds keeps what it has.
	Unchanged func(a, b *snapshot.Snapshot, t xds.Target) bool
	Cache     Cache
	Clock     clock.Clock
	Logger    *slog.Logger
}

// Publisher generates resources for the classes that are watched. A class is the ID of a workload or gateway. All methods are safe
// for concurrent use; Run must be called once.
type Publisher struct {
	cfg     Config
	kicked  chan struct{}
	opened  chan struct{}
	current atomic.Pointer[snapshot.Snapshot]
	// derived is the state index of the last pass.
	derived atomic.Uint64
	memo    memo

	mu      sync.Mutex
	watched map[string]*watched
}

// watched is a class with open streams.
type watched struct {
	streams  int
	problems []xds.Problem
	// done says that the class has what the current snapshot gives it.
	done bool
	// sets are what it was given.
	sets lineage
}

// New returns a Publisher that watches nothing.
func New(cfg Config) *Publisher {
	return &Publisher{
		cfg: cfg, kicked: make(chan struct{}, 1), opened: make(chan struct{}, 1),
		memo: newMemo(), watched: map[string]*watched{},
	}
}

// Kick says that the inputs have changed. It never blocks, and any number of kicks may become one pass.
func (p *Publisher) Kick() { signal(p.kicked) }

// Watch says that a stream of the class has opened: from now on it is generated, at once from the current snapshot.
func (p *Publisher) Watch(class string) {
	p.mu.Lock()
	w, ok := p.watched[class]
	if !ok {
		w = &watched{}
		p.watched[class] = w
	}
	w.streams++
	p.mu.Unlock()
	if !ok {
		signal(p.opened)
	}
}

// Unwatch says that a stream of the class has closed. After the last one the class is dropped from the cache.
func (p *Publisher) Unwatch(class string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w, ok := p.watched[class]
	if !ok {
		return
	}
	if w.streams--; w.streams > 0 {
		return
	}
	delete(p.watched, class)
	p.cfg.Cache.Drop(class)
}

// Current returns the snapshot that was published last, or nil.
func (p *Publisher) Current() *snapshot.Snapshot { return p.current.Load() }

// Derived returns the Raft index of the federation's state from which all that is served follows; 0 before the first pass.
func (p *Publisher) Derived() uint64 { return p.derived.Load() }

// Acknowledged returns the newest index of the federation's state such that a client of the class which holds a set, by its
// xds.Resources.Digest, has everything that follows from that state. It returns false when the set is not one of the class's last ones.
func (p *Publisher) Acknowledged(class, digest string) (index uint64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w, watched := p.watched[class]
	if !watched {
		return 0, false
	}
	return w.sets.index(digest)
}

// Newest reports whether a set, by its digest, is what the class was given last.
func (p *Publisher) Newest(class, digest string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	w, watched := p.watched[class]
	return watched && w.sets.newest(digest)
}

// Problems returns what of the current snapshot could not be offered to a watched class.
func (p *Publisher) Problems(class string) []xds.Problem {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w, ok := p.watched[class]; ok {
		return slices.Clone(w.problems)
	}
	return nil
}

// Run publishes until ctx ends. The first change after quiet is published at once; later ones wait until 10 ms, or twice the time that
// the last pass took, have gone by since that pass, and none waits longer than 100 ms for it.
func (p *Publisher) Run(ctx context.Context) error {
	var win window
	timer := p.cfg.Clock.NewTimer(limit)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.kicked:
			if now := p.cfg.Clock.Now(); win.changed(now) {
				timer.Reset(max(0, win.due().Sub(now)))
			}
		case <-timer.C():
			began := p.cfg.Clock.Now()
			p.publish()
			win.published(began, p.cfg.Clock.Now())
		case <-p.opened:
			p.generate()
		}
	}
}

// publish builds a snapshot and, if it differs from the current one, generates every watched class from it.
func (p *Publisher) publish() {
	next := p.cfg.Build()
	if next == nil {
		p.cfg.Logger.Debug("nothing published: the inputs are not complete")
		return
	}
	defer p.confirm(next.Index)
	prev := p.current.Load()
	if prev != nil && prev.Digest == next.Digest {
		p.generate()
		return
	}
	next = snapshot.Reuse(prev, next)
	p.current.Store(next)
	p.doubt(prev, next)
	p.generate()
	p.cfg.Logger.Debug("published", "digest", next.Digest)
}

// confirm notes that all classes have what follows from the state of an index. An index that goes back, with a restored federation, counts:
// from then on changes are counted from there.
func (p *Publisher) confirm(index uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	back := index < p.derived.Load()
	p.derived.Store(index)
	for _, w := range p.watched {
		switch {
		case !w.done:
		case back:
			w.sets = w.sets.restart(index)
		default:
			w.sets = w.sets.confirm(index)
		}
	}
}

// doubt finds the classes for which a new snapshot may mean something else than the one before.
func (p *Publisher) doubt(prev, next *snapshot.Snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for class, w := range p.watched {
		w.done = w.done && prev != nil && p.cfg.Unchanged(prev, next, xds.Target{Workload: class})
	}
	p.memo.retain(func(class string) bool { return p.watched[class] != nil })
}

// generate serves the current snapshot to the watched classes that do not have it yet.
func (p *Publisher) generate() {
	s := p.current.Load()
	if s == nil {
		return
	}
	for _, class := range p.behind() {
		r, problems := p.cfg.Generate(s, xds.Target{Workload: class}, &p.memo)
		p.memo.generated(class)
		p.deliver(class, r, problems)
	}
}

// behind lists the classes that do not have what the current snapshot gives them, sorted.
func (p *Publisher) behind() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, class := range slices.Sorted(maps.Keys(p.watched)) {
		if !p.watched[class].done {
			out = append(out, class)
		}
	}
	return out
}

// deliver hands a class its resources, unless its last stream has closed meanwhile: the lock is held so that no set outlives its
// Drop.
func (p *Publisher) deliver(class string, r xds.Resources, problems []xds.Problem) {
	digest := r.Digest()
	p.mu.Lock()
	defer p.mu.Unlock()
	w, ok := p.watched[class]
	if !ok {
		return
	}
	w.problems, w.done = problems, true
	if r != nil {
		w.sets = w.sets.give(digest, p.derived.Load())
		p.cfg.Cache.Set(class, r)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
