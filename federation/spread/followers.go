package spread

import (
	"maps"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
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
	// whole says that what was pulled is the full state.
	whole bool
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
