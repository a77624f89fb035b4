package catalog

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

// Verify checks a record's signature and decodes it.
type Verify func(origin model.ClusterName, r model.SignedRecord) (model.Record, error)

// Open reports whether membership and rules, as they are now, let this cluster see a service of another one.
type Open func(origin model.ClusterName, service model.ServiceKey) bool

// Imports is what one cluster holds of the others: their records as a node lets it see them, verified, and as far as the rules that the
// cluster knows itself open them. Unlike a Catalog it is fed by one session at a time, whose node decides what is told: a full state of
// the version that is held replaces it, because the node's filter may have changed. What goes in a mass is held for a while: see holdFor.
type Imports struct {
	verify  Verify
	open    Open
	limits  Limits
	origins map[model.ClusterName]*imported
}

type imported struct {
	version    model.Version
	producedAt time.Time
	// confirmedAt is this process's clock when the version or producedAt last went on.
	confirmedAt time.Time
	instance    string
	bytes       int
	records     map[string]entry
	gone        gone
	// dropped is set when the node tells nothing of the origin any more; then it ends with what is held of it.
	dropped bool
	// elsewhere is set once the node has stated an older state: what is held came from another one, whose filter may have been
	// different, and the changes that this one tells do not lead on from it.
	elsewhere bool
	// exported caches export until the next change.
	exported *Imported
}

// NewImports returns imports that hold nothing.
func NewImports(l Limits, verify Verify, open Open) *Imports {
	return &Imports{verify: verify, open: open, limits: l.withDefaults(), origins: map[model.ClusterName]*imported{}}
}

// Apply takes a batch in; now is this process's clock. gap is true when a batch before it is missing: the origin must be asked for in
// full. A state older than the held one is ignored: it comes from a node that lags behind, which has to state the origin in full once it
// has caught up. On an error nothing has changed.
func (i *Imports) Apply(b model.Batch, now time.Time) (changed, gap bool, err error) {
	held := i.origins[b.Origin]
	switch {
	case held == nil && len(i.origins) >= i.limits.Origins:
		return false, false, fmt.Errorf("origin %s is refused: %d origins are held already", b.Origin, len(i.origins))
	case held != nil && b.To.Compare(held.version) < 0:
		held.elsewhere = held.elsewhere || b.Full
		return false, false, nil
	case b.Full && held == nil && len(b.Upserts) == 0:
		return false, false, nil
	case b.Full:
		return i.replace(b, held, now)
	case held == nil || held.dropped || held.elsewhere || b.From != held.version || held.otherWriter(b):
		return false, true, nil
	case b.To == held.version:
		held.confirm(b, now)
		return false, false, nil
	}
	if err := held.grown(b).check(b.Origin, i.limits); err != nil {
		return false, false, err
	}
	vanished := i.removed(b, held)
	for _, key := range b.Removals {
		held.bytes -= size(held.records[key].newest())
		delete(held.records, key)
	}
	i.take(held, held, b, now)
	held.gone.vanish(vanished, b, i.limits, now)
	return len(b.Upserts)+len(b.Removals) > 0, false, nil
}

// otherWriter reports whether a delta builds on what another process published in the same epoch.
func (o *imported) otherWriter(b model.Batch) bool {
	return b.Instance != "" && o.instance != "" && b.Instance != o.instance
}

// confirm notes the time of a batch that is not older than what is held. The origin's clock says only that it has spoken anew: it may
// be hours off, so that ages are counted on this process's own.
func (o *imported) confirm(b model.Batch, now time.Time) {
	if !b.ProducedAt.After(o.producedAt) && b.To == o.version {
		return
	}
	o.producedAt, o.confirmedAt = b.ProducedAt, now
	if o.exported != nil {
		o.exported.ProducedAt, o.exported.ConfirmedAt = b.ProducedAt, now
	}
}

// replace takes a full state; held is where unchanged records need not be verified again.
func (i *Imports) replace(b model.Batch, held *imported, now time.Time) (changed, gap bool, err error) {
	next := &imported{records: make(map[string]entry, len(b.Upserts)), gone: gone{}}
	if err := next.grown(b).check(b.Origin, i.limits); err != nil {
		return false, false, err
	}
	if held == nil {
		held = next
	}
	var vanished vanishing
	if b.To.Incarnation == held.version.Incarnation {
		next.producedAt, next.confirmedAt, next.version, next.gone = held.producedAt, held.confirmedAt, held.version, held.gone
		if b.To != held.version {
			vanished = i.missing(b, held)
		}
	}
	i.take(next, held, b, now)
	next.gone.vanish(vanished, b, i.limits, now)
	i.origins[b.Origin] = next
	return true, false, nil
}

// take brings an origin to the batch's version and records.
func (i *Imports) take(to, before *imported, b model.Batch, now time.Time) {
	for _, r := range b.Upserts {
		next := before.lookup(r.Key).take(b.Origin, r, i.verify)
		to.bytes += size(r) - size(to.records[r.Key].newest())
		to.records[r.Key] = next
	}
	to.confirm(b, now)
	to.version, to.instance, to.exported = b.To, b.Instance, nil
}

// lookup returns what is in force under a key, held or not.
func (o *imported) lookup(key string) entry {
	if e, ok := o.records[key]; ok {
		return e
	}
	return o.gone.held(key)
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
	for key, v := range o.gone {
		v.entry = v.entry.again(origin, i.verify)
		if o.gone[key] = v; !v.entry.counts {
			delete(o.gone, key)
		}
	}
}

// Imported is one origin's verified records.
type Imported struct {
	Origin     model.ClusterName
	Version    model.Version
	ProducedAt time.Time
	// ConfirmedAt is this process's clock when the origin last gave a sign of life; it survives a restart by Marshal.
	ConfirmedAt time.Time
	// Instance is the process that published it.
	Instance string
	// Records are sorted by key.
	Records []model.Record
	// Refused says which records do not count, and why. An older state of the same record may stay in force.
	Refused []string
	// Held says which of Records vanished in a mass and until when they stay; HeldRecords counts them.
	Held        []string
	HeldRecords int
}

// All returns what is held, by origin. The slices are shared with later calls: do not change them.
func (i *Imports) All() []Imported {
	out := make([]Imported, 0, len(i.origins))
	for name, o := range i.origins {
		if o.exported == nil {
			e := i.export(name, o)
			o.exported = &e
		}
		out = append(out, *o.exported)
	}
	slices.SortFunc(out, func(a, b Imported) int { return strings.Compare(string(a.Origin), string(b.Origin)) })
	return out
}

func (i *Imports) export(name model.ClusterName, o *imported) Imported {
	out := Imported{
		Origin: name, Version: o.version, ProducedAt: o.producedAt, ConfirmedAt: o.confirmedAt, Instance: o.instance,
		Records: make([]model.Record, 0, len(o.records)+len(o.gone)), Held: o.gone.texts(name),
	}
	for _, key := range slices.Sorted(maps.Keys(o.records)) {
		r := o.records[key]
		if r.counts && i.opens(name, r.decoded) {
			out.Records = append(out.Records, r.decoded)
		}
		if r.err != nil {
			out.Refused = append(out.Refused, r.reason(name, key))
		}
	}
	for key, v := range o.gone {
		if v.hold == nil {
			continue
		}
		out.Records = append(out.Records, v.entry.decoded)
		if key != model.GatewaysKey {
			out.HeldRecords++
		}
	}
	if !slices.ContainsFunc(out.Records, func(r model.Record) bool { return r.Service != nil }) {
		// The node may tell of an origin for its verdicts alone: its gateways lead nowhere then.
		out.Records = slices.DeleteFunc(out.Records, func(r model.Record) bool { return r.Key() == model.GatewaysKey })
	}
	slices.Sort(out.Refused)
	if len(o.gone) > 0 {
		slices.SortFunc(out.Records, func(a, b model.Record) int { return strings.Compare(a.Key(), b.Key()) })
	}
	return out
}

// opens reports whether a record may be used here: a node that lags behind may tell more than the rules open, and nobody tells an agent
// that was away what they have closed.
func (i *Imports) opens(origin model.ClusterName, r model.Record) bool {
	return r.Service == nil || i.open(origin, r.Service.Service)
}
