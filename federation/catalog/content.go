package catalog

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
)

// maxRemovals is how many removals are remembered at least, and half of how many at most, so that a late receiver can be given a
// delta.
const maxRemovals = 1024

// extent is how much an origin holds.
type extent struct{ records, bytes int }

// after is the extent after a batch's changes to records that held looks up.
func (e extent) after(b model.Batch, held func(key string) (model.SignedRecord, bool)) extent {
	for _, key := range b.Removals {
		if r, ok := held(key); ok {
			e.records--
			e.bytes -= size(r)
		}
	}
	for _, r := range b.Upserts {
		before, ok := held(r.Key)
		if !ok {
			e.records++
		}
		e.bytes += size(r) - size(before)
	}
	return e
}

func (o *origin) extent() extent { return extent{len(o.records), o.bytes} }

func (o *origin) held(key string) (model.SignedRecord, bool) {
	if e, ok := o.records[key]; ok {
		return e.Value.(*record).signed, true
	}
	return model.SignedRecord{}, false
}

func (o *origin) put(r model.SignedRecord, seq uint64) {
	o.bytes += size(r)
	if e, ok := o.records[r.Key]; ok {
		o.bytes -= size(e.Value.(*record).signed)
		e.Value = &record{r, seq}
		o.recent.MoveToFront(e)
		return
	}
	o.records[r.Key] = o.recent.PushFront(&record{r, seq})
}

// remove remembers the removal of a key that is not held, too: it may have come and gone on the way here, and others may hold it.
func (o *origin) remove(key string, seq uint64) {
	if e, ok := o.records[key]; ok {
		o.bytes -= size(e.Value.(*record).signed)
		o.recent.Remove(e)
		delete(o.records, key)
	}
	o.removals = append(o.removals, removal{key, seq})
	if len(o.removals) == 2*maxRemovals {
		o.forgotten = max(o.forgotten, o.removals[maxRemovals-1].seq)
		o.removals = slices.Clone(o.removals[maxRemovals:])
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
	b.From, b.Confirmed = have, o.confirms(have.Seq)
	for e := o.recent.Front(); e != nil && e.Value.(*record).seq > have.Seq; e = e.Next() {
		b.Upserts = append(b.Upserts, e.Value.(*record).signed)
	}
	slices.SortFunc(b.Upserts, byKey)
	gone := map[string]bool{}
	for i := len(o.removals) - 1; i >= 0 && o.removals[i].seq > have.Seq; i-- {
		key := o.removals[i].key
		if _, back := o.records[key]; !back && !gone[key] {
			gone[key] = true
			b.Removals = append(b.Removals, key)
		}
	}
	slices.Sort(b.Removals)
	return b
}

func (o *origin) full(name model.ClusterName) model.Batch {
	b := o.batch(name)
	b.Full, b.Upserts, b.Confirmed = true, o.sorted(), o.confirms(0)
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
	for _, r := range o.sorted() {
		write([]byte(r.Key))
		write(r.Record)
		write(r.Signature)
	}
	o.sum = h.Sum(nil)
	return o.sum
}

// sorted returns the records by key. The slice is shared until the next change.
func (o *origin) sorted() []model.SignedRecord {
	if o.inOrder == nil {
		o.inOrder = make([]model.SignedRecord, 0, o.recent.Len())
		for e := o.recent.Front(); e != nil; e = e.Next() {
			o.inOrder = append(o.inOrder, e.Value.(*record).signed)
		}
		slices.SortFunc(o.inOrder, byKey)
	}
	return o.inOrder
}

func byKey(a, b model.SignedRecord) int { return strings.Compare(a.Key, b.Key) }

func size(r model.SignedRecord) int { return len(r.Key) + len(r.Record) + len(r.Signature) }
