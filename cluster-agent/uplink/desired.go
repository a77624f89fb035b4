package uplink

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/hanse-mesh/hanse/api/model"
)

// desired is the full set of records that the cluster wants to be known, with the keys that changed since the sender last looked.
// Its size is bounded, and so is the set of changed keys: when that overflows, the sender starts a new epoch instead.
type desired struct {
	limit int
	// wake holds one token when there may be something to send.
	wake chan struct{}

	mu      sync.Mutex
	records map[string]model.Record
	// over are records beyond limit, at most as many again, which move up when there is room.
	over     map[string]model.Record
	complete bool
	// changed is nil while nobody follows changes: whoever starts, starts with everything.
	changed  map[string]struct{}
	overflow bool
	// confirmed is set while the operator means everything to be gone that is; due is closed once the federation has been told.
	confirmed bool
	due       chan struct{}
	bundle    *model.SignedBundle
	// bundles counts the calls of setBundle.
	bundles int
}

func newDesired(limit int) *desired {
	return &desired{
		limit: limit, wake: make(chan struct{}, 1),
		records: map[string]model.Record{}, over: map[string]model.Record{},
	}
}

// poke wakes the sender; it never blocks.
func (d *desired) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// change applies removals, then upserts, and returns how many upserts did not fit.
func (d *desired) change(upserts []model.Record, removals []string) (refused int) {
	d.mu.Lock()
	for _, key := range removals {
		delete(d.over, key)
		if r, held := d.records[key]; held {
			delete(d.records, key)
			d.mark(key)
			// A confirmation is of what was gone when it was given.
			d.confirmed = d.confirmed && r.Service == nil
		}
	}
	for len(d.over) > 0 && len(d.records) < d.limit {
		key := slices.Min(slices.Collect(maps.Keys(d.over)))
		d.put(key, d.over[key])
	}
	for _, r := range upserts {
		key := r.Key()
		if _, held := d.records[key]; held || len(d.records) < d.limit {
			d.put(key, r)
			continue
		}
		refused++
		if _, waits := d.over[key]; waits || len(d.over) < d.limit {
			d.over[key] = r
		}
	}
	d.mu.Unlock()
	d.poke()
	return refused
}

// put takes a record in; d.mu is held.
func (d *desired) put(key string, r model.Record) {
	delete(d.over, key)
	d.records[key] = r
	d.mark(key)
}

// mark notes a changed key; d.mu is held.
func (d *desired) mark(key string) {
	if d.changed == nil || d.overflow {
		return
	}
	d.changed[key] = struct{}{}
	if len(d.changed) > d.limit {
		d.overflow = true
		clear(d.changed)
	}
}

func (d *desired) setComplete() {
	d.mu.Lock()
	d.complete = true
	d.mu.Unlock()
	d.poke()
}

func (d *desired) setBundle(b model.SignedBundle) {
	d.mu.Lock()
	d.bundle = &b
	d.bundles++
	d.mu.Unlock()
	d.poke()
}

// confirm has the next full state, which is due now, say that the operator means everything to be gone that is. The channel closes when
// the state has been sent.
func (d *desired) confirm() <-chan struct{} {
	d.mu.Lock()
	d.confirmed = true
	if d.due == nil {
		d.due = make(chan struct{})
	}
	due := d.due
	d.mu.Unlock()
	d.poke()
	return due
}

// stillConfirmed reports whether nothing was withdrawn since the last confirmation.
func (d *desired) stillConfirmed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.confirmed
}

// stated notes that a full state has been sent.
func (d *desired) stated() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.due != nil {
		close(d.due)
		d.due = nil
	}
}

// bundleSince returns the bundle when it was set after the seen'th time.
func (d *desired) bundleSince(seen int) (*model.SignedBundle, int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bundles == seen {
		return nil, seen
	}
	return d.bundle, d.bundles
}

// ready reports whether records may be sent, and whether only the full set will do: changes were lost, or a confirmation waits.
func (d *desired) ready() (complete, whole bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.complete, d.overflow || d.due != nil
}

// all returns every record, sorted by key, with whether what is missing is confirmed to be gone, and follows changes from here on.
func (d *desired) all() (list []model.Record, confirmed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changed, d.overflow = map[string]struct{}{}, false
	records := make([]model.Record, 0, len(d.records))
	for _, r := range d.records {
		records = append(records, r)
	}
	sortRecords(records)
	return records, d.confirmed
}

// delta returns what changed since the last call of all or delta, sorted.
func (d *desired) delta() (upserts []model.Record, removals []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key := range d.changed {
		if r, held := d.records[key]; held {
			upserts = append(upserts, r)
		} else {
			removals = append(removals, key)
		}
	}
	clear(d.changed)
	sortRecords(upserts)
	slices.Sort(removals)
	return upserts, removals
}

// unfollow forgets changes until the next call of all.
func (d *desired) unfollow() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changed, d.overflow = nil, false
}

func (d *desired) size() (records, over int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.records), len(d.over)
}

func sortRecords(records []model.Record) {
	slices.SortFunc(records, func(a, b model.Record) int { return strings.Compare(a.Key(), b.Key()) })
}
