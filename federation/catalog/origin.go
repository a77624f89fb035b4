package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

// maxRemovals is how many removals are remembered so that a late receiver can be given a delta.
const maxRemovals = 1024

// origin is one origin's state.
type origin struct {
	version    model.Version
	records    map[string]record
	bytes      int
	producedAt time.Time
	instance   string
	// removals are the newest removals of this epoch in order of seq; those up to forgotten are not remembered.
	removals  []removal
	forgotten uint64
	// sum caches digest.
	sum []byte
}

// record is a signed record with the seq of the batch that brought it.
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
	switch order := b.To.Compare(o.version); {
	case order < 0:
		return nil, Outcome{Clone: clone}
	case order == 0:
		return o.mergeSame(b, l, clone)
	case b.Full:
		return o.adopt(b, l, clone)
	case b.From != o.version:
		return nil, Outcome{Gap: true, Clone: clone}
	}
	return o.advance(b, l, clone)
}

// clonedBy reports whether another process publishes in the epoch that is held.
func (o *origin) clonedBy(b model.Batch) bool {
	return !o.version.IsZero() && b.To.SameEpoch(o.version) && b.Instance != "" && o.instance != "" && b.Instance != o.instance
}

// mergeSame takes a batch to the version that is held already: a confirmation, a repetition, or another writer's state.
func (o *origin) mergeSame(b model.Batch, l Limits, clone bool) (*origin, Outcome) {
	if b.Full {
		other, err := newOrigin(b, l)
		if err != nil {
			return nil, Outcome{Err: err, Clone: clone}
		}
		switch bytes.Compare(other.digest(), o.digest()) {
		case 1:
			// Two writers made the same version: a total order decides, the same everywhere.
			other.producedAt = later(o.producedAt, b.ProducedAt)
			return other, Outcome{Changed: true, Clone: true}
		case -1:
			return nil, Outcome{Clone: true}
		}
	}
	if !b.ProducedAt.After(o.producedAt) {
		return nil, Outcome{Clone: clone}
	}
	o.producedAt = b.ProducedAt
	return o, Outcome{Refreshed: true, Clone: clone}
}

// adopt takes a full state in the place of what is held.
func (o *origin) adopt(b model.Batch, l Limits, clone bool) (*origin, Outcome) {
	next, err := newOrigin(b, l)
	if err != nil {
		return nil, Outcome{Err: err, Clone: clone}
	}
	next.producedAt = later(o.producedAt, b.ProducedAt)
	return next, Outcome{Changed: true, Clone: clone}
}

func newOrigin(b model.Batch, l Limits) (*origin, error) {
	o := &origin{
		version: b.To, records: make(map[string]record, len(b.Upserts)), producedAt: b.ProducedAt, instance: b.Instance,
		// What was removed before a full state is not known.
		forgotten: b.To.Seq,
	}
	for _, r := range b.Upserts {
		o.put(r, b.To.Seq)
	}
	return o, o.extent().check(b.Origin, l)
}

// advance applies a delta that begins where the held state is. Its limits are checked first: a refused batch changes nothing, and the
// cost is that of the change, not of the origin.
func (o *origin) advance(b model.Batch, l Limits, clone bool) (*origin, Outcome) {
	if err := o.grown(b).check(b.Origin, l); err != nil {
		return nil, Outcome{Err: err, Clone: clone}
	}
	o.sum = nil
	o.version, o.instance = b.To, b.Instance
	o.producedAt = later(o.producedAt, b.ProducedAt)
	for _, key := range b.Removals {
		o.remove(key, b.To.Seq)
	}
	for _, r := range b.Upserts {
		o.put(r, b.To.Seq)
	}
	return o, Outcome{Changed: true, Clone: clone}
}

// extent is how much an origin holds.
type extent struct{ records, bytes int }

func (o *origin) extent() extent { return extent{len(o.records), o.bytes} }

// grown is the extent after a delta.
func (o *origin) grown(b model.Batch) extent {
	e := o.extent()
	for _, key := range b.Removals {
		if held, ok := o.records[key]; ok {
			e.records--
			e.bytes -= size(held.signed)
		}
	}
	for _, r := range b.Upserts {
		held, ok := o.records[r.Key]
		if !ok {
			e.records++
		}
		e.bytes += size(r) - size(held.signed)
	}
	return e
}

func (o *origin) put(r model.SignedRecord, seq uint64) {
	o.bytes += size(r) - size(o.records[r.Key].signed)
	o.records[r.Key] = record{r, seq}
}

func (o *origin) remove(key string, seq uint64) {
	held, ok := o.records[key]
	if !ok {
		return
	}
	o.bytes -= size(held.signed)
	delete(o.records, key)
	o.removals = append(slices.Clip(o.removals), removal{key, seq})
	if over := len(o.removals) - maxRemovals; over > 0 {
		o.forgotten = max(o.forgotten, o.removals[over-1].seq)
		o.removals = slices.Clone(o.removals[over:])
	}
}

func (e extent) check(name model.ClusterName, l Limits) error {
	switch {
	case e.records > l.Records:
		return fmt.Errorf("cluster %s publishes %d records, more than the limit of %d", name, e.records, l.Records)
	case e.bytes > l.Bytes:
		return fmt.Errorf("cluster %s publishes %d bytes, more than the limit of %d", name, e.bytes, l.Bytes)
	}
	return nil
}

func (o *origin) since(name model.ClusterName, have model.Version) model.Batch {
	if !have.SameEpoch(o.version) || have.Seq < o.forgotten {
		return o.full(name)
	}
	b := o.batch(name)
	b.From = have
	for _, r := range o.records {
		if r.seq > have.Seq {
			b.Upserts = append(b.Upserts, r.signed)
		}
	}
	slices.SortFunc(b.Upserts, func(x, y model.SignedRecord) int { return strings.Compare(x.Key, y.Key) })
	gone := map[string]bool{}
	for _, r := range o.removals {
		if _, back := o.records[r.key]; r.seq > have.Seq && !back && !gone[r.key] {
			gone[r.key] = true
			b.Removals = append(b.Removals, r.key)
		}
	}
	return b
}

func (o *origin) full(name model.ClusterName) model.Batch {
	b := o.batch(name)
	b.Full = true
	for _, key := range o.keys() {
		b.Upserts = append(b.Upserts, o.records[key].signed)
	}
	return b
}

func (o *origin) batch(name model.ClusterName) model.Batch {
	return model.Batch{Origin: name, To: o.version, ProducedAt: o.producedAt, Instance: o.instance}
}

func (o *origin) describe(name model.ClusterName) Origin {
	return Origin{
		Name: name, Version: o.version, ProducedAt: o.producedAt, Instance: o.instance,
		Records: len(o.records), Bytes: o.bytes,
	}
}

// digest is SHA-256 over the sorted keys and bytes: equal content has equal digests, whatever way it came.
func (o *origin) digest() []byte {
	if o.sum != nil {
		return o.sum
	}
	h := sha256.New()
	var length [8]byte
	write := func(b []byte) {
		binary.BigEndian.PutUint64(length[:], uint64(len(b)))
		h.Write(length[:])
		h.Write(b)
	}
	for _, key := range o.keys() {
		r := o.records[key].signed
		write([]byte(key))
		write(r.Record)
		write(r.Signature)
	}
	o.sum = h.Sum(nil)
	return o.sum
}

func (o *origin) keys() []string {
	keys := make([]string, 0, len(o.records))
	for key := range o.records {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func size(r model.SignedRecord) int { return len(r.Key) + len(r.Record) + len(r.Signature) }

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
