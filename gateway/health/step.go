package health

import (
	"fmt"
	"time"
)

// Thresholds say how many equal results in a row change the verdict.
type Thresholds struct {
	// Healthy and Unhealthy are 1 or more.
	Healthy, Unhealthy int
}

const (
	// calm is how long a workload must have been ready, or must have failed without a break, for what came before to be forgotten.
	calm = time.Minute
	// minHold doubles with every further failure, up to maxHold.
	minHold = time.Second
	maxHold = 30 * time.Second
	// freeFailures is how many failures in close succession are taken for restarts.
	freeFailures = 1
)

// State is the verdict so far. The zero value has none: the first result decides alone, so that a workload does not stay in or
// out of rotation for lack of history.
type State struct {
	Known  bool
	Ready  bool
	Reason string
	// Streak counts the latest results in a row that speak against the verdict.
	Streak int
	// Failures counts how often the workload stopped being ready without a minute of calm in between.
	Failures int
	// Passing is what the latest result said, and Since when the latest results began to say so.
	Passing bool
	Since   time.Time
	// ReadySince is when the workload became ready.
	ReadySince time.Time
}

// Result is the outcome of one check.
type Result struct {
	OK bool
	// Reason says why it failed.
	Reason string
}

// Step adds a result at now; changed says that the verdict is new and must be reported.
//
// A workload stops being ready as soon as its checks say so. One that stops again and again flaps, and would move its callers to and fro:
// before it is ready again its checks must pass for a while, 1 s after its second failure in a row, doubled by each further one up to
// 30 s. Whatever fails once and returns is not delayed.
func Step(t Thresholds, s State, r Result, now time.Time) (next State, changed bool) {
	s = s.run(r.OK, now)
	if s.Known && r.OK == s.Ready {
		s.Streak = 0
		return s, false
	}
	s.Streak++
	switch {
	case !s.Known:
		s.ReadySince = now
	case r.OK:
		if s.Streak < t.Healthy || now.Sub(s.Since) < s.hold() {
			return s, false
		}
		s.ReadySince = now
	default:
		if s.Streak < t.Unhealthy {
			return s, false
		}
		if now.Sub(s.ReadySince) >= calm {
			s.Failures = 0
		}
		s.Failures++
	}
	s.Known, s.Ready, s.Reason, s.Streak = true, r.OK, r.Reason, 0
	if hold := s.hold(); !s.Ready && hold > 0 {
		s.Reason = fmt.Sprintf("flapping: ready after %v of passing checks (%s)", hold, r.Reason)
	}
	return s, true
}

// run keeps count of how long the results have said the same.
func (s State) run(ok bool, now time.Time) State {
	if s.Known && s.Passing == ok && !now.Before(s.Since) {
		return s
	}
	if ok && !s.Ready && now.Sub(s.Since) >= calm {
		// It was down, which is not flapping.
		s.Failures = min(s.Failures, freeFailures)
	}
	s.Passing, s.Since = ok, now
	return s
}

// hold is how long the checks of a workload that is not ready must pass.
func (s State) hold() time.Duration {
	if s.Failures <= freeFailures {
		return 0
	}
	hold := minHold
	for range min(s.Failures-freeFailures-1, 5) {
		hold *= 2
	}
	return min(hold, maxHold)
}
