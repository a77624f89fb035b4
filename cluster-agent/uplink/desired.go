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
	bundle   *model.SignedBundle
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
		if _, held := d.records[key]; held {
			delete(d.records, key)
			d.mark(key)
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

// bundleSince returns the bundle when it was set after the seen'th time.
func (d *desired) bundleSince(seen int) (*model.SignedBundle, int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bundles == seen {
		return nil, seen
	}
	return d.bundle, d.bundles
}

// ready reports whether records may be sent, and whether changes were lost so that only the full set helps.
func (d *desired) ready() (complete, overflow bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.complete, d.overflow
}

// all returns every record, sorted by key, and follows changes from here on.
func (d *desired) all() []model.Record {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changed, d.overflow = map[string]struct{}{}, false
	records := make([]model.Record, 0, len(d.records))
	for _, r := range d.records {
		records = append(records, r)
	}
	sortRecords(records)
	return records
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
