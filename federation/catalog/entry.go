package catalog

import (
	"bytes"
	"fmt"

	"github.com/hanse-mesh/hanse/api/model"
)

// entry is what an importer holds under one key: the newest record that has been verified, and what came after it and does not count.
// A record that is refused leaves the last good one in force, as stale is better than partial: it may be damaged, of a kind that this
// version does not know, or signed by a key that the federation's state will show in a moment. Only its removal ends the good one.
type entry struct {
	// signed and decoded are in force if counts.
	signed  model.SignedRecord
	decoded model.Record
	counts  bool
	// refused came last if err, which says why it does not count, is not nil.
	refused model.SignedRecord
	err     error
}

// take returns what is held after r. What is in force is not verified again, and a true record of the past does not replace it.
func (e entry) take(origin model.ClusterName, r model.SignedRecord, verify Verify) entry {
	if e.counts && bytes.Equal(e.signed.Record, r.Record) && bytes.Equal(e.signed.Signature, r.Signature) {
		return entry{signed: e.signed, decoded: e.decoded, counts: true}
	}
	rec, err := verify(origin, r)
	if err == nil && e.counts && rec.Version.Compare(e.decoded.Version) < 0 {
		err = fmt.Errorf("it is of version %v, which is older", rec.Version)
	}
	if err == nil {
		return entry{signed: r, decoded: rec, counts: true}
	}
	e.refused, e.err = r, err
	return e
}

// again judges under the key that is in force now. What the key has not signed does not count, whatever counted before; of two that do
// not, the one that has counted is kept.
func (e entry) again(origin model.ClusterName, verify Verify) entry {
	if !e.counts {
		return entry{}.take(origin, e.refused, verify)
	}
	next := entry{}.take(origin, e.signed, verify)
	if e.err == nil {
		return next
	}
	if both := next.take(origin, e.refused, verify); both.counts {
		return both
	}
	return next
}

// newest is what the origin is said to publish.
func (e entry) newest() model.SignedRecord {
	if e.err != nil {
		return e.refused
	}
	return e.signed
}

// lasting is what is worth keeping.
func (e entry) lasting() model.SignedRecord {
	if e.counts {
		return e.signed
	}
	return e.refused
}

func (e entry) reason(origin model.ClusterName, key string) string {
	text := fmt.Sprintf("%s of %s: %v", key, origin, e.err)
	if e.counts {
		text += fmt.Sprintf("; version %v stays in force", e.decoded.Version)
	}
	return text
}
