package spread

import (
	"maps"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

// note has the follower told of what is held by a have, if it does not know.
func (t *Teller) note(origin model.ClusterName, o *told, now time.Time) {
	held, ok := t.source.Origin(origin)
	switch {
	case !ok:
	case held.Version.Compare(o.known) > 0:
		if len(t.news) == 0 {
			t.newsAt = now.Add(t.timing.Gather)
		}
		t.news[origin] = true
	case held.Version == o.known && held.ProducedAt.After(o.confirmed):
		if len(t.confirms) == 0 {
			t.confirmsAt = now.Add(t.timing.Confirm)
		}
		t.confirms[origin] = true
	}
}

// haves takes what is gathered and due, as much as one message carries.
func (t *Teller) haves(now time.Time) []Have {
	var due []model.ClusterName
	if len(t.news) > 0 && !now.Before(t.newsAt) {
		due = slices.Collect(maps.Keys(t.news))
	}
	if len(t.confirms) > 0 && !now.Before(t.confirmsAt) {
		due = slices.AppendSeq(due, maps.Keys(t.confirms))
	}
	slices.Sort(due)
	var out []Have
	for _, name := range due {
		if len(out) == maxHaves {
			break
		}
		delete(t.news, name)
		delete(t.confirms, name)
		o := t.of(name)
		held, ok := t.source.Origin(name)
		if !ok || held.Version.Compare(o.known) < 0 || held.Version == o.known && !held.ProducedAt.After(o.confirmed) {
			continue
		}
		o.known, o.confirmed = held.Version, held.ProducedAt
		out = append(out, Have{Origin: name, Version: held.Version, ProducedAt: held.ProducedAt})
	}
	return out
}

// Size is what a batch weighs, in bytes of keys, records and signatures.
func Size(b model.Batch) int {
	n := 0
	for _, r := range b.Upserts {
		n += len(r.Key) + len(r.Record) + len(r.Signature)
	}
	for _, key := range b.Removals {
		n += len(key)
	}
	return n
}
