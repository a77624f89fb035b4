package spread

import (
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
)

// Took notes a batch that was received on a stream and what the catalog made of it.
func (f *Followers) Took(stream string, b model.Batch, out catalog.Outcome, now time.Time) []Request {
	useful := out.Changed || out.Refreshed
	if useful {
		f.counts.Useful++
	}
	o, l := f.link(stream, b.Origin, now)
	if l == nil {
		return nil
	}
	answered := !l.pulledAt.IsZero()
	switch {
	case out.Gap:
		return f.overGap(stream, b, out, now)
	case out.Err != nil:
		// What is refused once is refused again: it is not worth another pull for a long while.
		l.pulledAt, l.refusedUntil = time.Time{}, now.Add(f.timing.Again)
		return nil
	}
	l.pulledAt = time.Time{}
	l.proved = l.proved || b.To == out.Held
	if useful || answered || out.Clone {
		return nil
	}
	f.counts.Redundant++
	if f.streams[stream].protocol < lazyProtocol || !f.proved(o, stream) || l.pruned && now.Sub(l.prunedAt) < f.timing.Patience {
		return nil
	}
	l.pruned, l.prunedAt, l.proved = true, now, false
	f.counts.Prunes++
	return []Request{{Stream: stream, Origin: b.Origin, Prune: true}}
}

// overGap pulls what is missing before a batch, unless an answer is under way that will bring it.
func (f *Followers) overGap(stream string, b model.Batch, out catalog.Outcome, now time.Time) []Request {
	o, l := f.link(stream, b.Origin, now)
	from := out.Held
	if out.Clone {
		// What is held is another writer's: nothing leads on from it.
		from = model.Version{}
	}
	l.told = Have{Origin: b.Origin, Version: b.To, ProducedAt: b.ProducedAt}
	if now.Before(l.refusedUntil) {
		return nil
	}
	helps := l.whole || !out.Clone
	if until := l.pulledAt.Add(f.timing.Patience); helps && !l.pulledAt.IsZero() && now.Before(until) {
		f.wait(b.Origin, o, until)
		return nil
	}
	return []Request{f.pull(stream, b.Origin, o, from, now)}
}

// Heard notes what a node tells that it holds.
func (f *Followers) Heard(stream string, haves []Have, now time.Time) []Request {
	var out []Request
	for _, h := range haves {
		if r, ok := f.heard(stream, h, now); ok {
			out = append(out, r)
		}
	}
	return out
}

func (f *Followers) heard(stream string, h Have, now time.Time) (Request, bool) {
	held := f.held(h.Origin)
	clone := h.Version == held.Version && !h.Version.IsZero() && differ(f.source, h)
	if !clone && !f.news(h, held) {
		return Request{}, false
	}
	o, l := f.link(stream, h.Origin, now)
	if l == nil || now.Before(l.refusedUntil) {
		return Request{}, false
	}
	l.told = h
	switch at, pulled := f.lastPull(o); {
	case clone && !pulled:
		return f.pull(stream, h.Origin, o, model.Version{}, now), true
	case h.Version == held.Version:
		f.wait(h.Origin, o, now.Add(f.timing.Stale))
	case pulled && now.Before(at.Add(f.timing.Patience)):
		f.wait(h.Origin, o, at.Add(f.timing.Patience))
	case f.proved(o, stream) || pulled && !l.pulledAt.IsZero():
		f.wait(h.Origin, o, now.Add(f.timing.Grace))
	default:
		return f.pull(stream, h.Origin, o, held.Version, now), true
	}
	return Request{}, false
}
