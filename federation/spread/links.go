package spread

import (
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
)

// tickEvery bounds how often all that is waited for is looked through.
const tickEvery = 10 * time.Millisecond

// link returns what is remembered of an origin on a stream, beginning with nothing. It is nil when the stream is not open or has told of
// too many origins: those beyond stay as at first, eager and unasked.
func (f *Followers) link(stream string, origin model.ClusterName, now time.Time) (*followedOrigin, *link) {
	s, o := f.streams[stream], f.origins[origin]
	if s == nil {
		return nil, nil
	}
	if o != nil && o.links[stream] != nil {
		return o, o.links[stream]
	}
	if s.links >= maxOrigins && now.Sub(s.sweptAt) > f.timing.Patience {
		s.sweptAt = now
		f.sweep(stream, now)
	}
	if s.links >= maxOrigins {
		f.counts.Dropped++
		return nil, nil
	}
	if o = f.origins[origin]; o == nil {
		o = &followedOrigin{links: map[string]*link{}}
		f.origins[origin] = o
	}
	l := &link{}
	o.links[stream] = l
	s.links++
	return o, l
}

// sweep frees a stream's links to origins that are not held: what it told of them has not come in time.
func (f *Followers) sweep(stream string, now time.Time) {
	for name, o := range f.origins {
		l := o.links[stream]
		if _, held := f.source.Origin(name); held || l == nil || now.Sub(l.pulledAt) < f.timing.Patience {
			continue
		}
		delete(o.links, stream)
		f.streams[stream].links--
		if len(o.links) == 0 {
			f.forget(name)
		}
	}
}

func (f *Followers) forget(origin model.ClusterName) {
	delete(f.origins, origin)
	delete(f.waiting, origin)
}

func (f *Followers) held(origin model.ClusterName) catalog.Origin {
	o, _ := f.source.Origin(origin)
	return o
}

// news reports whether a have tells of more than what is held.
func (f *Followers) news(h Have, held catalog.Origin) bool {
	order := h.Version.Compare(held.Version)
	return order > 0 || order == 0 && !h.Version.IsZero() && h.ProducedAt.After(held.ProducedAt)
}

// proved reports whether an eager link other than that of the given stream has brought the newest state.
func (f *Followers) proved(o *followedOrigin, but string) bool {
	for stream, l := range o.links {
		if stream != but && l.proved && !l.pruned {
			return true
		}
	}
	return false
}

// eager reports whether any link is, be it one of which nothing is remembered.
func (f *Followers) eager(o *followedOrigin) bool {
	for stream := range f.streams {
		if l := o.links[stream]; l == nil || !l.pruned {
			return true
		}
	}
	return false
}

// lastPull is when an answer was last asked for that is still awaited.
func (f *Followers) lastPull(o *followedOrigin) (time.Time, bool) {
	var last time.Time
	for _, l := range o.links {
		if l.pulledAt.After(last) {
			last = l.pulledAt
		}
	}
	return last, !last.IsZero()
}

// pull asks on a stream, whose link is eager from then on.
func (f *Followers) pull(stream string, origin model.ClusterName, o *followedOrigin, from model.Version, now time.Time) Request {
	l := o.links[stream]
	l.pruned, l.proved, l.pulledAt, l.whole = false, true, now, from.IsZero()
	f.counts.Pulls++
	if f.news(l.told, f.held(origin)) {
		f.wait(origin, o, now.Add(f.timing.Patience))
	}
	return Request{Stream: stream, Origin: origin, Version: from}
}

// wait has Tick look at an origin at a time, or earlier.
func (f *Followers) wait(origin model.ClusterName, o *followedOrigin, until time.Time) {
	if o.due.IsZero() || until.Before(o.due) {
		o.due = until
	}
	f.waiting[origin] = true
	next := o.due
	if soonest := f.ticked.Add(tickEvery); next.Before(soonest) {
		next = soonest
	}
	if f.next.IsZero() || next.Before(f.next) {
		f.next = next
	}
}

// best is the stream to ask for an origin whose eager link is gone: one that has told of the most, spread over the streams.
func (f *Followers) best(origin model.ClusterName, o *followedOrigin) (string, bool) {
	return f.choose(origin, o, slices.Collect(maps.Keys(o.links)))
}

// late is the stream to ask for what it has told of and no other has brought, if there is such news. Who was asked and has not answered
// is asked again only after a long while: its answer may be large.
func (f *Followers) late(origin model.ClusterName, o *followedOrigin, now time.Time) (string, bool) {
	held := f.held(origin)
	var tellers []string
	for stream, l := range o.links {
		if f.news(l.told, held) && !now.Before(l.refusedUntil) && (l.pulledAt.IsZero() || now.Sub(l.pulledAt) >= f.timing.Again) {
			tellers = append(tellers, stream)
		}
	}
	return f.choose(origin, o, tellers)
}

func (f *Followers) choose(origin model.ClusterName, o *followedOrigin, streams []string) (string, bool) {
	if len(streams) == 0 {
		return "", false
	}
	return slices.MaxFunc(streams, func(a, b string) int {
		if order := o.links[a].told.Version.Compare(o.links[b].told.Version); order != 0 {
			return order
		}
		if lot(origin, a) > lot(origin, b) {
			return 1
		}
		return -1
	}), true
}

// lot spreads origins over streams.
func lot(origin model.ClusterName, stream string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(origin))
	h.Write([]byte{0})
	h.Write([]byte(stream))
	return h.Sum64()
}
