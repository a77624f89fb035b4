package catalog

import (
	"bytes"
	"cmp"
	"container/list"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

// origin is one origin's state.
type origin struct {
	version    model.Version
	producedAt time.Time
	instance   string
	bytes      int
	// records points into recent by key; it is nil for an origin of which nothing is held yet.
	records map[string]*list.Element
	// recent holds a *record each, the last changed first: a delta costs what has changed, not what is held.
	recent *list.List
	// removals are the newest removals of this epoch in order of seq; those up to forgotten are not remembered.
	removals  []removal
	forgotten uint64
	// confirmed and unconfirmed are the seqs of the newest removals that their operator confirmed, or did not; a full state counts as
	// both removals and the start of them.
	confirmed, unconfirmed uint64
	// inOrder and sum cache sorted and digest.
	inOrder []model.SignedRecord
	sum     []byte
}

// record is a signed record with the seq of the batch that brought it, which is not before the batch that changed it first.
type record struct {
	signed model.SignedRecord
	seq    uint64
}

type removal struct {
	key string
	seq uint64
}

// merge returns the state that follows from the batch: the receiver, advanced, or another one, or nil when nothing changes.
func (o *origin) merge(b model.Batch, l Limits) (*origin, Outcome) {
	clone := o.clonedBy(b)
	order := b.To.Compare(o.version)
	switch {
	case order < 0:
		return nil, Outcome{Clone: clone}
	case b.Full:
		return o.mergeFull(b, l, clone)
	case clone:
		// The other writer's changes build on what the other writer said before.
		return nil, Outcome{Gap: true, Clone: true}
	case order == 0:
		return o.confirm(b)
	case !o.covers(b):
		return nil, Outcome{Gap: true}
	}
	return o.advance(b, l)
}

// clonedBy reports whether another process publishes in the epoch that is held.
func (o *origin) clonedBy(b model.Batch) bool {
	return !o.version.IsZero() && b.To.SameEpoch(o.version) && b.Instance != "" && o.instance != "" && b.Instance != o.instance
}

// covers reports whether a delta can be applied: it begins where the held state is, or earlier in the same epoch. A delta names each
// key that changed on its way, with the last value, so that beginning further back does no harm; nodes that hear of one change from
// several sides would else ask for most of them again.
func (o *origin) covers(b model.Batch) bool {
	return o.records != nil && b.From.SameEpoch(o.version) && b.From.Seq <= o.version.Seq
}

// mergeFull takes a full state that is not older than the held one: the larger (version, digest, instance) wins, in that order, which
// is the same everywhere. Two states of one version mean two writers.
func (o *origin) mergeFull(b model.Batch, l Limits, clone bool) (*origin, Outcome) {
	next, err := newOrigin(b, l)
	if err != nil {
		return nil, Outcome{Err: err, Clone: clone}
	}
	if b.To != o.version {
		return next, Outcome{Changed: true, Clone: clone}
	}
	content := bytes.Compare(next.digest(), o.digest())
	clone = clone || content != 0
	switch order := cmp.Or(content, strings.Compare(next.instance, o.instance)); {
	case order < 0:
		return nil, Outcome{Clone: clone}
	case order == 0:
		return o.confirm(b)
	}
	// Who holds the other writer's state of this version cannot be led on from it.
	next.forgotten++
	return next, Outcome{Changed: true, Clone: clone}
}

// confirm takes a batch that tells of the held state only when the origin last confirmed it.
func (o *origin) confirm(b model.Batch) (*origin, Outcome) {
	if !b.ProducedAt.After(o.producedAt) {
		return nil, Outcome{}
	}
	o.producedAt = b.ProducedAt
	return o, Outcome{Refreshed: true}
}

func newOrigin(b model.Batch, l Limits) (*origin, error) {
	o := &origin{
		version: b.To, records: make(map[string]*list.Element, len(b.Upserts)), recent: list.New(),
		producedAt: b.ProducedAt, instance: b.Instance,
		// What was removed before a full state is not known.
		forgotten: b.To.Seq,
	}
	for _, r := range b.Upserts {
		o.put(r, b.To.Seq)
	}
	o.noteRemovals(b)
	return o, o.extent().check(b.Origin, l)
}

// advance applies a delta that the held state is covered by. Its limits are checked first: a refused batch changes nothing, and the
// cost is that of the change, not of the origin.
func (o *origin) advance(b model.Batch, l Limits) (*origin, Outcome) {
	if err := o.extent().after(b, o.held).check(b.Origin, l); err != nil {
		return nil, Outcome{Err: err}
	}
	o.version, o.producedAt, o.instance = b.To, b.ProducedAt, b.Instance
	o.inOrder, o.sum = nil, nil
	for _, key := range b.Removals {
		o.remove(key, b.To.Seq)
	}
	for _, r := range b.Upserts {
		o.put(r, b.To.Seq)
	}
	o.noteRemovals(b)
	return o, Outcome{Changed: true}
}

// noteRemovals remembers whether what the batch ended was confirmed: a confirmation must reach those, too, who hear of it together with
// what came after it.
func (o *origin) noteRemovals(b model.Batch) {
	switch {
	case b.Confirmed:
		o.confirmed = b.To.Seq
	case b.Full || len(b.Removals) > 0:
		o.unconfirmed = b.To.Seq
	}
}

// confirms reports whether all that went after a seq of this epoch, or since ever when it is 0, was confirmed.
func (o *origin) confirms(after uint64) bool { return o.confirmed > after && o.unconfirmed <= after }
