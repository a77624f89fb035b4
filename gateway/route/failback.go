package route

import (
	"maps"
	"time"
)

// Failback is the life-cycle of capacity that dies and comes back: it may not take its whole share at once, because its caches and
// connection pools are cold. The zero value knows no capacity. Values are immutable and may be shared.
type Failback struct {
	known map[RampKey]capacityState
	// revision counts the changes of what a restart must not forget.
	revision uint64
}

// capacityState is what is remembered of one capacity.
type capacityState struct {
	available bool
	// since is when the present state began: its death, or its return.
	since time.Time
	// percent is 100 unless it climbs or is held down.
	percent uint32
	// deaths counts those that followed each other closely; 0 once it has lived long enough since the last one.
	deaths int
}

// RampChange is the action of Step: the capacity may now take Percent of its share. 100 ends a ramp, as does a death.
type RampChange struct {
	Key     RampKey
	Percent uint32
}

const (
	rampStep = 10 * time.Second
	// forgetAfter is how long a capacity that is gone counts as dead rather than unknown.
	forgetAfter = 10 * time.Minute
	// closely is how soon after a return (or after the hold that followed it) a death counts together with the one before. Capacity
	// that was dead for longer does not flap.
	closely = time.Minute
	whole   = 100
)

// StaleAfter is how old a cluster's last confirmation of its records may be before their capacity is RemoteCapacity.Stale.
const StaleAfter = 5 * time.Minute

// rampPercents are the steps of a ramp, each rampStep long. After them it is over.
var rampPercents = [...]uint32{10, 25, 50}

// holdTimes are how long a capacity is held down after its third, fourth … death in close succession; the last one is for all further
// deaths. One that dies and comes back, even twice, is not held down.
var holdTimes = [...]time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute}

// freeDeaths is how many deaths in close succession are taken for restarts.
const freeDeaths = 2

// Step observes all capacities at now. Capacity that was available, died and is available again climbs 10, 25, 50, 100 % over 30 s;
// what becomes available for the first time has 100 %. Capacity that dies again and again is HeldDown for a while, 10 s to a minute by
// the number of its deaths, before it climbs. The changed ramps are in no particular order.
func (f Failback) Step(observed Available, now time.Time) (Failback, []RampChange) {
	changed := map[RampKey]capacityState{}
	var actions []RampChange
	var forgotten []RampKey
	revision := f.revision
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
		if after.memory() != before.memory() {
			revision++
		}
		if after.percent != before.percent {
			actions = append(actions, RampChange{Key: k, Percent: after.percent})
		}
		if !present && now.Sub(after.since) >= forgetAfter {
			forgotten = append(forgotten, k)
			revision++
		}
	}
	return f.with(changed, forgotten, revision), actions
}

// with copies only when something changed, because most observations change nothing.
func (f Failback) with(changed map[RampKey]capacityState, forgotten []RampKey, revision uint64) Failback {
	if len(changed) == 0 && len(forgotten) == 0 {
		return f
	}
	known := make(map[RampKey]capacityState, len(f.known)+len(changed))
	maps.Copy(known, f.known)
	maps.Copy(known, changed)
	for _, k := range forgotten {
		delete(known, k)
	}
	return Failback{known: known, revision: revision}
}

func (s capacityState) step(available bool, now time.Time) capacityState {
	if s.since.After(now) {
		// The clock was set back, perhaps while nobody ran. A ramp must not take longer for it.
		s.since = now
	}
	age := now.Sub(s.since)
	switch {
	case available && !s.available:
		deaths := s.deaths
		if age >= closely {
			deaths = 1
		}
		s = capacityState{available: true, since: now, deaths: deaths}
		s.percent = s.allowed(0)
	case !available && s.available:
		deaths := 1
		if age < s.hold()+closely {
			deaths += s.deaths
		}
		s = capacityState{since: now, percent: whole, deaths: min(deaths, freeDeaths+len(holdTimes))}
	case available && s.percent < whole:
		s.percent = s.allowed(age)
	case available && s.deaths > 0 && age >= s.hold()+closely:
		s.deaths = 0
	}
	return s
}

// hold is how long the capacity is held down after its return.
func (s capacityState) hold() time.Duration {
	if s.deaths <= freeDeaths {
		return 0
	}
	return holdTimes[min(s.deaths-freeDeaths, len(holdTimes))-1]
}

// allowed is the percentage for a capacity that returned age ago.
func (s capacityState) allowed(age time.Duration) uint32 {
	climbed := age - s.hold()
	if climbed < 0 {
		return HeldDown
	}
	if step := int(climbed / rampStep); step < len(rampPercents) {
		return rampPercents[step]
	}
	return whole
}

// next is when allowed changes for a capacity that is held down or climbs.
func (s capacityState) next() time.Time {
	at := s.since.Add(s.hold())
	if s.percent == HeldDown {
		return at
	}
	for _, p := range rampPercents {
		at = at.Add(rampStep)
		if p == s.percent {
			break
		}
	}
	return at
}

// Ramps returns the capacities that climb or are held down and their percentages, as Request and snapshot.Inputs take them. The map is the caller's.
func (f Failback) Ramps() map[RampKey]uint32 {
	out := map[RampKey]uint32{}
	for k, s := range f.known {
		if s.percent < whole {
			out[k] = s.percent
		}
	}
	return out
}

// NextDeadline returns when Step has something to do although nothing new is observed; false when no capacity climbs or is held down.
func (f Failback) NextDeadline() (time.Time, bool) {
	var next time.Time
	for _, s := range f.known {
		if s.percent == whole {
			continue
		}
		if at := s.next(); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next, !next.IsZero()
}
