package export

import (
	"math"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

// Interval is the least time between two publications of a record whose changes are not urgent, and the longest that such a change
// waits.
const Interval = 200 * time.Millisecond

// share is the part by which ready counts must move to be published as soon as Interval allows; smaller changes wait for company.
const share = 0.05

// Throttle is what has been published and when. The zero value has published nothing. It is a value: Step returns the next one and
// leaves its receiver as it was.
type Throttle struct {
	keys    []string
	entries []entry
}

type entry struct {
	published model.Record
	at        time.Time
	// changedAt is when the current state was first seen to differ from the published one; zero while they agree.
	changedAt time.Time
}

// Decision is what to publish now and when to look again.
type Decision struct {
	Upserts  []model.Record
	Removals []string
	// Next is when Step must be called again, with whatever the records are by then; zero when nothing is waiting.
	Next time.Time
}

// Step compares the site's records, sorted by key, with what was published. What opens or closes a way goes at once: new and removed
// records, ports, identities, gateways, localities, and ready counts that reach or leave zero. Verdicts and the status go at once after
// a quiet Interval: when many gateways of a cluster fall one after the other, others hear of it in few records. Other changes of
// capacity go when Interval has passed since the last publication (by 5 % or more) or since they were first seen (smaller ones), so that steady
// churn costs at most one publication per Interval and service, and published counts converge.
func (t Throttle) Step(current []model.Record, now time.Time) (Throttle, Decision) {
	next := Throttle{keys: keysOf(current), entries: make([]entry, len(current))}
	var d Decision
	pair(t.keys, next.keys, func(i, j int) {
		switch {
		case j < 0:
			d.Removals = append(d.Removals, t.keys[i])
		case i < 0:
			next.entries[j] = d.publish(current[j], now)
		default:
			next.entries[j] = d.consider(t.entries[i], current[j], now)
		}
	})
	return next, d
}

func (d *Decision) publish(r model.Record, now time.Time) entry {
	d.Upserts = append(d.Upserts, r)
	return entry{published: r, at: now}
}

// consider publishes a changed record now or remembers since when it waits.
func (d *Decision) consider(e entry, r model.Record, now time.Time) entry {
	if Equal(e.published, r) {
		e.changedAt = time.Time{}
		return e
	}
	if e.changedAt.IsZero() {
		e.changedAt = now
	}
	due := e.at.Add(Interval)
	switch weigh(e.published, r) {
	case urgent:
		return d.publish(r, now)
	case small:
		if trailing := e.changedAt.Add(Interval); trailing.After(due) {
			due = trailing
		}
	}
	if !now.Before(due) {
		return d.publish(r, now)
	}
	if d.Next.IsZero() || due.Before(d.Next) {
		d.Next = due
	}
	return e
}

type weight int

const (
	small weight = iota
	large
	urgent
)

// weigh says how much the change from a to b matters to importers.
func weigh(a, b model.Record) weight {
	if a.Status != nil && b.Status != nil || a.Verdicts != nil && b.Verdicts != nil {
		return large
	}
	if a.Service == nil || b.Service == nil || !sameShape(a.Service, b.Service) {
		return urgent
	}
	most := max(weighCapacity(a.Service.Capacity, b.Service.Capacity), weighCapacity(a.Service.Terminated, b.Service.Terminated))
	if !sameEndpoints(a.Service.Export, b.Service.Export) {
		// Names of single pods, in records that can be large: under churn they keep to the rate.
		most = max(most, large)
	}
	return most
}

func weighCapacity(a, b []model.Capacity) weight {
	if len(a) != len(b) {
		return urgent
	}
	most := small
	for i, was := range a {
		is := b[i]
		switch {
		case was.Locality != is.Locality || (was.Ready == 0) != (is.Ready == 0):
			return urgent
		case moved(was, is):
			most = large
		}
	}
	return most
}

// moved reports whether the share of ready workloads, or their number, changed by 5 % or more.
func moved(a, b model.Capacity) bool {
	ratio := func(part, whole uint32) float64 { return float64(part) / float64(max(whole, 1)) }
	return math.Abs(ratio(a.Ready, a.Total)-ratio(b.Ready, b.Total)) >= share ||
		a.Ready != b.Ready && math.Abs(float64(a.Ready)-float64(b.Ready)) >= share*float64(a.Ready)
}
