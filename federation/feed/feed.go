// Package feed owns what a node tells one importer of the other origins: which of their records it may see, and which batch leads it
// from what it was told to what is held now.
//
// It is pure; its owner serialises access.
package feed

import (
	"maps"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
)

// FreshEvery bounds how often an importer is told of an origin only that it is still there.
const FreshEvery = 2 * time.Second

// lostRevision is equal to no filter's revision.
const lostRevision = -1

// Source is the catalog that is told of.
type Source interface {
	// Since is catalog.Catalog's.
	Since(origin model.ClusterName, have model.Version) (model.Batch, bool)
	// Origin is catalog.Catalog's.
	Origin(origin model.ClusterName) (catalog.Origin, bool)
}

// Feed is what one importer has been told of other origins.
type Feed struct {
	source Source
	told   map[model.ClusterName]*toldOrigin
}

// New returns the feed of an importer that knows nothing.
func New(s Source) *Feed { return &Feed{source: s, told: map[model.ClusterName]*toldOrigin{}} }

// Told lists the origins that the importer may know of, in no particular order.
func (d *Feed) Told() []model.ClusterName { return slices.Collect(maps.Keys(d.told)) }

// toldOrigin is one origin as the agent knows it.
type toldOrigin struct {
	filter  Filter
	version model.Version
	// instance is the process that published the state. Two may have said different things under one version.
	instance   string
	producedAt time.Time
	// keys are the records that the agent holds. Without services or verdicts among them it does not know the origin at all.
	keys               map[string]bool
	services, verdicts int
}

// known reports whether the agent knows the origin.
func (t *toldOrigin) known() bool { return t != nil && t.services+t.verdicts > 0 }

// Update is what an importer is to be told of an origin: a batch, that it sees nothing of it any more, nothing, or first the one and
// then the other. Both are told when the origin itself withdraws the last record: the importer may hold what vanishes in a mass, and
// the batch says whether that was confirmed.
type Update struct {
	Batch   *model.Batch
	Dropped bool
}

// Follow computes what has changed for the agent since it was last told of the origin, and takes it as told.
func (d *Feed) Follow(f Filter) Update {
	told := d.told[f.Origin.Name]
	if told == nil || !told.filter.equal(f) {
		return d.Restate(f, false)
	}
	if held, ok := d.source.Origin(f.Origin.Name); ok && held.Instance != told.instance {
		// The state that was told lost a tie: neither is it the one that is held, nor does a change of that one lead on from it.
		return d.Restate(f, false)
	}
	b, newer := d.source.Since(f.Origin.Name, told.version)
	switch {
	case !newer:
		return Update{}
	case b.Full || b.To.Incarnation != f.Origin.Incarnation:
		return d.Restate(f, false)
	}
	return d.advance(f, told, b)
}

// Refresh tells that the origin confirmed its state, when the agent last heard of it a while ago.
func (d *Feed) Refresh(origin model.ClusterName, at model.Version, producedAt time.Time, instance string) Update {
	told := d.told[origin]
	if !told.known() || told.version != at || producedAt.Sub(told.producedAt) < FreshEvery {
		return Update{}
	}
	told.producedAt = producedAt
	return Update{Batch: &model.Batch{Origin: origin, From: at, To: at, ProducedAt: producedAt, Instance: instance}}
}

// Restate tells the full state as the filter lets it be seen; force tells it again even if the agent should know it. An origin of which
// the store holds nothing may be one that this node has not heard of yet: the agent keeps what it has.
func (d *Feed) Restate(f Filter, force bool) Update {
	told := d.told[f.Origin.Name]
	known, same := told.known(), told != nil && told.filter.equal(f)
	b, ok := d.source.Since(f.Origin.Name, model.Version{})
	if !ok || b.To.Incarnation != f.Origin.Incarnation {
		return d.Forget(f.Origin.Name, false)
	}
	next := &toldOrigin{filter: f, version: b.To, instance: b.Instance, producedAt: b.ProducedAt, keys: map[string]bool{}}
	// Gateways stay behind the last service that the origin withdraws, since the agent may hold it; they go with the next full state.
	gateways := same && told.services > 0 || slices.ContainsFunc(b.Upserts, func(r model.SignedRecord) bool { return f.service(r.Key) })
	upserts := b.Upserts
	b.Upserts = nil
	for _, r := range upserts {
		if f.keep(r.Key, gateways) {
			next.add(r.Key)
			b.Upserts = append(b.Upserts, r)
		}
	}
	d.told[f.Origin.Name] = next
	switch {
	case !next.known() && known && same:
		next.drop()
		return Update{Batch: &b, Dropped: true}
	case !next.known():
		next.drop()
		return Update{Dropped: known || force}
	case known && !force && told.version == next.version && told.instance == next.instance && sameKeys(told.keys, next.keys):
		if told.filter.Revision == lostRevision {
			next.filter.Revision = lostRevision
		}
		return Update{}
	}
	return Update{Batch: &b}
}

// advance tells a change that leads from what the agent holds to what the store holds.
func (d *Feed) advance(f Filter, told *toldOrigin, b model.Batch) Update {
	out := b
	out.From, out.Upserts, out.Removals = told.version, nil, nil
	known := told.known()
	for _, r := range b.Upserts {
		switch {
		case f.keep(r.Key, told.services > 0):
			if !known || told.services == 0 && f.service(r.Key) {
				// The agent knows nothing of the origin yet, or not its gateways.
				return d.Restate(f, false)
			}
			out.Upserts = append(out.Upserts, r)
		case told.keys[r.Key]:
			out.Removals = append(out.Removals, r.Key)
		}
	}
	for _, key := range b.Removals {
		if told.keys[key] {
			out.Removals = append(out.Removals, key)
		}
	}
	if known && len(out.Upserts)+len(out.Removals) == 0 && b.ProducedAt.Sub(told.producedAt) < FreshEvery {
		// Nothing that the agent may see has changed: what follows will lead on from the version that it holds.
		return Update{}
	}
	told.apply(out)
	switch {
	case !known:
		return Update{}
	case !told.known():
		told.drop()
		return Update{Batch: &out, Dropped: true}
	}
	return Update{Batch: &out}
}

// Forget drops an origin that is no member any more; force tells it in any case.
func (d *Feed) Forget(origin model.ClusterName, force bool) Update {
	told := d.told[origin]
	delete(d.told, origin)
	return Update{Dropped: force || told.known()}
}

// Lost notes that what was taken as told could not be sent: the next change is told in full.
func (d *Feed) Lost(origin model.ClusterName) {
	if told := d.told[origin]; told != nil {
		told.filter.Revision = lostRevision
	}
}

func (t *toldOrigin) apply(b model.Batch) {
	for _, key := range b.Removals {
		if t.keys[key] {
			delete(t.keys, key)
			t.count(key, -1)
		}
	}
	for _, r := range b.Upserts {
		t.add(r.Key)
	}
	t.version, t.instance, t.producedAt = b.To, b.Instance, b.ProducedAt
}

func (t *toldOrigin) add(key string) {
	if !t.keys[key] {
		t.keys[key] = true
		t.count(key, 1)
	}
}

func (t *toldOrigin) count(key string, by int) {
	if _, ok := model.CutVerdictKey(key); ok {
		t.verdicts += by
	} else if key != model.GatewaysKey {
		t.services += by
	}
}

// drop notes that the agent was told to forget the origin.
func (t *toldOrigin) drop() { t.keys, t.services, t.verdicts = map[string]bool{}, 0, 0 }

func sameKeys(a, b map[string]bool) bool {
	if len(a) != len(b) {
		return false
	}
	for key := range a {
		if !b[key] {
			return false
		}
	}
	return true
}
