package route

import (
	"maps"
	"time"
)

// Failback is the life-cycle of capacity that dies and comes back: it may not take its whole share at once, because its caches and
// connection pools are cold. The zero value knows no capacity. Values are immutable and may be shared.
type Failback struct {
	known map[RampKey]capacityState
}

// capacityState is what is remembered of one capacity.
type capacityState struct {
	available bool
	// since is when the present state began: its death, or its return.
	since time.Time
	// percent is 100 unless it climbs.
	percent uint32
}

// Available is a complete observation: for each known capacity whether something is ready there and can be reached. A capacity that
// is missing is unavailable.
type Available map[RampKey]bool

// RampChange is the action of Step: the capacity may now take Percent of its share. 100 ends a ramp, as does a death.
type RampChange struct {
	Key     RampKey
	Percent uint32
}

const (
	rampStep = 10 * time.Second
	// forgetAfter is how long a capacity that is gone counts as dead rather than unknown.
	forgetAfter = 10 * time.Minute
	whole       = 100
)

// rampPercents are the steps of a ramp, each rampStep long. After them it is over.
var rampPercents = [...]uint32{10, 25, 50}

// Step observes all capacities at now. Capacity that was available, died and is available again climbs 10, 25, 50, 100 % over 30 s;
// what becomes available for the first time has 100 %. The changed ramps are in no particular order.
func (f Failback) Step(observed Available, now time.Time) (Failback, []RampChange) {
	changed := map[RampKey]capacityState{}
	var actions []RampChange
	var forgotten []RampKey
	for k, available := range observed {
		// What has never been available has nothing to fail back from: a workload that starts takes its share as soon as it is ready.
		if _, ok := f.known[k]; !ok && available {
			changed[k] = capacityState{available: true, since: now, percent: whole}
		}
	}
	for k, before := range f.known {
		available, present := observed[k]
		after := before.step(available, now)
		if after != before {
			changed[k] = after
		}
		if after.percent != before.percent {
			actions = append(actions, RampChange{Key: k, Percent: after.percent})
		}
		if !present && now.Sub(after.since) >= forgetAfter {
			forgotten = append(forgotten, k)
		}
	}
	return f.with(changed, forgotten), actions
}

// with copies only when something changed, because most observations change nothing.
func (f Failback) with(changed map[RampKey]capacityState, forgotten []RampKey) Failback {
	if len(changed) == 0 && len(forgotten) == 0 {
		return f
	}
	known := make(map[RampKey]capacityState, len(f.known)+len(changed))
	maps.Copy(known, f.known)
	maps.Copy(known, changed)
	for _, k := range forgotten {
		delete(known, k)
	}
	return Failback{known: known}
}

func (s capacityState) step(available bool, now time.Time) capacityState {
	switch {
	case available && !s.available:
		return capacityState{available: true, since: now, percent: rampPercents[0]}
	case !available && s.available:
		return capacityState{since: now, percent: whole}
	case available && s.percent < whole:
		s.percent = rampPercent(now.Sub(s.since))
	}
	return s
}

func rampPercent(age time.Duration) uint32 {
	step := int(max(0, age) / rampStep)
	if step >= len(rampPercents) {
		return whole
	}
	return rampPercents[step]
}

// Ramps returns the capacities that climb and their percentages, as Request and snapshot.Inputs take them. The map is the caller's.
func (f Failback) Ramps() map[RampKey]uint32 {
	out := map[RampKey]uint32{}
	for k, s := range f.known {
		if s.percent < whole {
			out[k] = s.percent
		}
	}
	return out
}

// NextDeadline returns when Step has something to do although nothing new is observed; false when no capacity climbs.
func (f Failback) NextDeadline() (time.Time, bool) {
	var next time.Time
	for _, s := range f.known {
		if s.percent == whole {
			continue
		}
		for i, p := range rampPercents {
			at := s.since.Add(time.Duration(i+1) * rampStep)
			if p == s.percent && (next.IsZero() || at.Before(next)) {
				next = at
			}
		}
	}
	return next, !next.IsZero()
}

// Observe adds one service's capacities to an observation: a locality of this cluster is available while an endpoint of it is, and
// one of another cluster while something is ready there and a gateway of the cluster leads to it. A cluster whose gateways are all
// out of reach is as dead as one with nothing ready.
func (a Available) Observe(r Request) {
	for _, e := range r.Local {
		k := RampKey{Service: r.Service, Cluster: r.Cluster, Locality: e.Locality}
		a[k] = a[k] || e.Available
	}
	for _, c := range r.Remote {
		if c.Cluster == r.Cluster {
			continue
		}
		k := RampKey{Service: r.Service, Cluster: c.Cluster, Locality: c.Locality}
		a[k] = a[k] || c.Ready > 0 && reachable(r.Gateways[c.Cluster])
	}
}

// reachable reports whether some point takes new calls.
func reachable(points []GatewayPoint) bool {
	for _, p := range points {
		if p.usable() {
			return true
		}
	}
	return false
}
