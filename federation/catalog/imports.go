package catalog

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

// Verify checks a record's signature and decodes it.
type Verify func(origin model.ClusterName, r model.SignedRecord) (model.Record, error)

// Imports is what one cluster holds of the others: their records as a node lets it see them, verified. Unlike a Catalog it is fed by
// one session at a time, whose node decides what is seen: a full state of the version that is held replaces it, because the node's
// filter may have changed.
type Imports struct {
	verify  Verify
	limits  Limits
	origins map[model.ClusterName]*imported
}

type imported struct {
	version    model.Version
	producedAt time.Time
	instance   string
	bytes      int
	records    map[string]entry
	// exported caches export until the next change.
	exported *Imported
}

// NewImports returns imports that hold nothing.
func NewImports(l Limits, verify Verify) *Imports {
	return &Imports{verify: verify, limits: l.withDefaults(), origins: map[model.ClusterName]*imported{}}
}

// Apply takes a batch in. gap is true when a batch before it is missing: the origin must be asked for in full. A state older than the
// held one is ignored: it comes from a node that lags behind. On an error nothing has changed.
func (i *Imports) Apply(b model.Batch) (changed, gap bool, err error) {
	held := i.origins[b.Origin]
	switch {
	case held == nil && len(i.origins) >= i.limits.Origins:
		return false, false, fmt.Errorf("origin %s is refused: %d origins are held already", b.Origin, len(i.origins))
	case held != nil && b.To.Compare(held.version) < 0:
		return false, false, nil
	case b.Full:
		return i.replace(b, held)
	case held == nil || b.From != held.version || held.otherWriter(b):
		return false, true, nil
	case b.To == held.version:
		held.confirm(b.ProducedAt)
		return false, false, nil
	}
	if err := held.grown(b).check(b.Origin, i.limits); err != nil {
		return false, false, err
	}
	for _, key := range b.Removals {
		held.bytes -= size(held.records[key].newest())
		delete(held.records, key)
	}
	i.take(held, held, b)
	return len(b.Upserts)+len(b.Removals) > 0, false, nil
}

// otherWriter reports whether a delta builds on what another process published in the same epoch.
func (o *imported) otherWriter(b model.Batch) bool {
	return b.Instance != "" && o.instance != "" && b.Instance != o.instance
}

func (o *imported) confirm(at time.Time) {
	if at.After(o.producedAt) {
		o.producedAt, o.exported = at, nil
	}
}

// replace takes a full state; held is where unchanged records need not be verified again.
func (i *Imports) replace(b model.Batch, held *imported) (changed, gap bool, err error) {
	next := &imported{records: make(map[string]entry, len(b.Upserts))}
	if err := next.grown(b).check(b.Origin, i.limits); err != nil {
		return false, false, err
	}
	if held == nil {
		held = next
	}
	i.take(next, held, b)
	i.origins[b.Origin] = next
	return true, false, nil
}

// take brings an origin to the batch's version and records.
func (i *Imports) take(to, before *imported, b model.Batch) {
	for _, r := range b.Upserts {
		next := before.records[r.Key].take(b.Origin, r, i.verify)
		to.bytes += size(r) - size(to.records[r.Key].newest())
		to.records[r.Key] = next
	}
	to.version, to.producedAt, to.instance, to.exported = b.To, b.ProducedAt, b.Instance, nil
}

func (o *imported) grown(b model.Batch) extent {
	return extent{len(o.records), o.bytes}.after(b, func(key string) (model.SignedRecord, bool) {
		held, ok := o.records[key]
		return held.newest(), ok
	})
}

// Reverify judges all records of an origin again, after its key has changed or become known.
func (i *Imports) Reverify(origin model.ClusterName) {
	o := i.origins[origin]
	if o == nil {
		return
	}
	o.exported = nil
	for key, r := range o.records {
		next := r.again(origin, i.verify)
		o.bytes += size(next.newest()) - size(r.newest())
		o.records[key] = next
	}
}

// Drop forgets an origin and reports whether it was held.
func (i *Imports) Drop(origin model.ClusterName) bool {
	_, held := i.origins[origin]
	delete(i.origins, origin)
	return held
}

// Imported is one origin's verified records.
type Imported struct {
	Origin     model.ClusterName
	Version    model.Version
	ProducedAt time.Time
	// Records are sorted by key.
	Records []model.Record
	// Refused says which records do not count, and why. An older state of the same record may stay in force.
	Refused []string
}

// All returns what is held, by origin. The slices are shared with later calls: do not change them.
func (i *Imports) All() []Imported {
	out := make([]Imported, 0, len(i.origins))
	for name, o := range i.origins {
		if o.exported == nil {
			e := o.export(name)
			o.exported = &e
		}
		out = append(out, *o.exported)
	}
	slices.SortFunc(out, func(a, b Imported) int { return strings.Compare(string(a.Origin), string(b.Origin)) })
	return out
}

func (o *imported) export(name model.ClusterName) Imported {
	out := Imported{Origin: name, Version: o.version, ProducedAt: o.producedAt, Records: make([]model.Record, 0, len(o.records))}
	for key, r := range o.records {
		if r.counts {
			out.Records = append(out.Records, r.decoded)
		}
		if r.err != nil {
			out.Refused = append(out.Refused, r.reason(name, key))
		}
	}
	slices.Sort(out.Refused)
	slices.SortFunc(out.Records, func(a, b model.Record) int { return strings.Compare(a.Key(), b.Key()) })
	return out
}
