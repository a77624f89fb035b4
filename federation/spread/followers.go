package spread

import (
	"maps"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
)

// Followers is what a node asks of those whom it follows. It knows all streams, so that no origin loses its last eager link. Its owner
// serialises access, calls it with what arrives, and sends the requests that it returns; of two for one stream and origin the newer
// one may replace the older.
type Followers struct {
	source  Source
	timing  Timing
	streams map[string]*followed
	origins map[model.ClusterName]*followedOrigin
	// waiting are the origins with a deadline; next is not after the earliest one, unless that would be too soon after ticked, when they
	// were looked at last.
	waiting      map[model.ClusterName]bool
	next, ticked time.Time
	counts       Counts
}

// Counts says what Followers have decided, since the beginning.
type Counts struct {
	// Useful are the batches that brought something, Redundant those of which everything was held.
	Useful, Redundant uint64
	// Pulls and Prunes are the requests made; Grafts are the pulls among them that replaced an eager link which ended or was late.
	Pulls, Prunes, Grafts uint64
	// Dropped are the haves that were ignored because a stream had told of too many origins.
	Dropped uint64
}

// followed is a stream to a node that is followed.
type followed struct {
	protocol uint32
	// links counts those that are remembered, which are bounded.
	links   int
	sweptAt time.Time
}

// followedOrigin is the links of one origin that are not as at first: eager, and nothing has come by them.
type followedOrigin struct {
	links map[string]*link
	// due is when news that have not arrived otherwise are pulled; zero when there are none.
	due time.Time
}

type link struct {
	pruned   bool
	prunedAt time.Time
	// proved is true once the link has brought, or was asked for, what was the newest state.
	proved bool
	// told is the newest that the peer has told of without sending it; it is meaningless once as much is held.
	told Have
	// pulledAt is when an answer was asked for that has not come; zero when there is none to wait for.
	pulledAt time.Time
	// refusedUntil is how long nothing is pulled because what came exceeded a limit.
	refusedUntil time.Time
}

// NewFollowers returns one without streams.
func NewFollowers(s Source, t Timing) *Followers {
	return &Followers{
		source: s, timing: t, streams: map[string]*followed{}, origins: map[model.ClusterName]*followedOrigin{}, waiting: map[model.ClusterName]bool{},
	}
}

// Opened notes a stream that has been welcomed with a protocol version. All its links are eager. Its name must not be open already.
func (f *Followers) Opened(stream string, protocol uint32) {
	f.streams[stream] = &followed{protocol: protocol}
}

// Closed notes the end of a stream. Where it was the eager link, another one is asked at once.
func (f *Followers) Closed(stream string, now time.Time) []Request {
	delete(f.streams, stream)
	var out []Request
	for _, name := range slices.Sorted(maps.Keys(f.origins)) {
		o := f.origins[name]
		gone := o.links[stream]
		delete(o.links, stream)
		if len(o.links) == 0 {
			f.forget(name)
			continue
		}
		source := gone != nil && gone.proved && !gone.pruned
		if f.proved(o, "") || !source && f.eager(o) {
			continue
		}
		if best, ok := f.best(name, o); ok {
			f.counts.Grafts++
			out = append(out, f.pull(best, name, o, f.held(name).Version, now))
		}
	}
	return out
}

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

// overGap pulls what is missing before a batch, unless an answer is under way.
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
	if until := l.pulledAt.Add(f.timing.Patience); !l.pulledAt.IsZero() && now.Before(until) {
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

// Tick pulls what was told of and has not arrived in time.
func (f *Followers) Tick(now time.Time) []Request {
	if f.next.IsZero() || now.Before(f.next) {
		return nil
	}
	f.next, f.ticked = time.Time{}, now
	var out []Request
	for _, name := range slices.Sorted(maps.Keys(f.waiting)) {
		o := f.origins[name]
		if now.Before(o.due) {
			f.wait(name, o, o.due)
			continue
		}
		o.due = time.Time{}
		delete(f.waiting, name)
		stream, ok := f.late(name, o, now)
		if !ok {
			continue
		}
		f.counts.Grafts++
		out = append(out, f.pull(stream, name, o, f.held(name).Version, now))
	}
	return out
}

// Due is when Tick is to be called, if something is waited for; there may prove to be nothing to do.
func (f *Followers) Due() (time.Time, bool) { return f.next, !f.next.IsZero() }

// Counts returns what was decided since the beginning.
func (f *Followers) Counts() Counts { return f.counts }

// Eager lists the streams by which an origin's changes are pushed to this node, sorted.
func (f *Followers) Eager(origin model.ClusterName) []string {
	var out []string
	for stream := range f.streams {
		if o := f.origins[origin]; o == nil || o.links[stream] == nil || !o.links[stream].pruned {
			out = append(out, stream)
		}
	}
	slices.Sort(out)
	return out
}
