package server

import (
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

// freshEvery bounds how often an importer is told of an origin only that it is still there.
const freshEvery = 2 * time.Second

// lostRevision is equal to no filter's revision.
const lostRevision = -1

// imports is what one session has told its agent of other origins. It belongs to one goroutine.
type imports struct {
	store Store
	told  map[model.ClusterName]*toldOrigin
}

// toldOrigin is one origin as the agent knows it.
type toldOrigin struct {
	filter     filter
	version    model.Version
	producedAt time.Time
	// keys are the records that the agent holds. Without a service among them the agent does not know the origin at all.
	keys     map[string]bool
	services int
}

// update is what an agent is to be told of an origin: a batch, that it is gone, or nothing.
type update struct {
	batch   *model.Batch
	dropped bool
}

// follow computes what has changed for the agent since it was last told of the origin, and takes it as told.
func (i *imports) follow(f filter) update {
	told := i.told[f.origin.Name]
	if told == nil || !told.filter.equal(f) {
		return i.restate(f, false)
	}
	b, newer := i.store.Since(f.origin.Name, told.version)
	switch {
	case !newer:
		return update{}
	case b.Full || b.To.Incarnation != f.origin.Incarnation:
		return i.restate(f, false)
	}
	return i.advance(f, told, b)
}

// refresh tells that the origin confirmed its state, when the agent last heard of it a while ago.
func (i *imports) refresh(origin model.ClusterName, at model.Version, producedAt time.Time, instance string) update {
	told := i.told[origin]
	if told == nil || told.services == 0 || told.version != at || producedAt.Sub(told.producedAt) < freshEvery {
		return update{}
	}
	told.producedAt = producedAt
	return update{batch: &model.Batch{Origin: origin, From: at, To: at, ProducedAt: producedAt, Instance: instance}}
}

// restate tells the full state as the filter lets it be seen; force tells it again even if the agent should know it.
func (i *imports) restate(f filter, force bool) update {
	told := i.told[f.origin.Name]
	known := told != nil && told.services > 0
	b, ok := i.store.Since(f.origin.Name, model.Version{})
	if !ok || b.To.Incarnation != f.origin.Incarnation {
		return i.forget(f.origin.Name, force)
	}
	next := &toldOrigin{filter: f, version: b.To, producedAt: b.ProducedAt, keys: map[string]bool{}}
	upserts := b.Upserts
	b.Upserts = nil
	for _, r := range upserts {
		if f.keep(r.Key) {
			next.add(r.Key)
			b.Upserts = append(b.Upserts, r)
		}
	}
	i.told[f.origin.Name] = next
	switch {
	case next.services == 0:
		return update{dropped: known || force}
	case known && !force && told.version == next.version && sameKeys(told.keys, next.keys):
		if told.filter.revision == lostRevision {
			next.filter.revision = lostRevision
		}
		return update{}
	}
	return update{batch: &b}
}

// advance tells a change that leads from what the agent holds to what the store holds.
func (i *imports) advance(f filter, told *toldOrigin, b model.Batch) update {
	out := model.Batch{Origin: b.Origin, From: told.version, To: b.To, ProducedAt: b.ProducedAt, Instance: b.Instance}
	for _, r := range b.Upserts {
		switch {
		case f.keep(r.Key):
			if told.services == 0 && f.service(r.Key) {
				// The agent knows nothing of the origin yet, its gateways neither.
				return i.restate(f, false)
			}
			if told.services > 0 {
				out.Upserts = append(out.Upserts, r)
			}
		case told.keys[r.Key]:
			out.Removals = append(out.Removals, r.Key)
		}
	}
	for _, key := range b.Removals {
		if told.keys[key] {
			out.Removals = append(out.Removals, key)
		}
	}
	if told.services > 0 && len(out.Upserts)+len(out.Removals) == 0 && b.ProducedAt.Sub(told.producedAt) < freshEvery {
		// Nothing that the agent may see has changed: what follows will lead on from the version that it holds.
		return update{}
	}
	known := told.services > 0
	told.apply(out)
	switch {
	case !known:
		return update{}
	case told.services == 0:
		return update{dropped: true}
	}
	return update{batch: &out}
}

// forget drops an origin that is no member or that the store does not hold; force tells it in any case.
func (i *imports) forget(origin model.ClusterName, force bool) update {
	told := i.told[origin]
	delete(i.told, origin)
	return update{dropped: force || told != nil && told.services > 0}
}

// lost notes that what was taken as told could not be sent: the next change is told in full.
func (i *imports) lost(origin model.ClusterName) {
	if told := i.told[origin]; told != nil {
		told.filter.revision = lostRevision
	}
}

func (t *toldOrigin) apply(b model.Batch) {
	for _, key := range b.Removals {
		if t.keys[key] && key != model.GatewaysKey {
			t.services--
		}
		delete(t.keys, key)
	}
	for _, r := range b.Upserts {
		t.add(r.Key)
	}
	t.version, t.producedAt = b.To, b.ProducedAt
}

func (t *toldOrigin) add(key string) {
	if !t.keys[key] && key != model.GatewaysKey {
		t.services++
	}
	t.keys[key] = true
}

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
