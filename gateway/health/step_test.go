package health

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func TestFirstResultDecidesAlone(t *testing.T) {
	for _, ok := range []bool{true, false} {
		s, changed := Step(Thresholds{Healthy: 5, Unhealthy: 5}, State{}, Result{OK: ok, Reason: "r"}, noon)
		if !changed || !s.Known || s.Ready != ok || s.Reason != "r" {
			t.Errorf("first result %v gave %+v, changed %v", ok, s, changed)
		}
	}
}

func TestThresholds(t *testing.T) {
	const steps = "+--+---+-++"
	want := "+.....-...+"
	var s State
	for i, c := range steps {
		var changed bool
		s, changed = Step(Thresholds{Healthy: 2, Unhealthy: 3}, s, Result{OK: c == '+'}, noon.Add(time.Duration(i)*time.Hour))
		if changed != (want[i] != '.') || changed && s.Ready != (want[i] == '+') {
			t.Fatalf("step %d (%c): %+v, changed %v, want %c", i, c, s, changed, want[i])
		}
	}
}

// In calm times the verdict changes exactly when the latest results in a row that contradict it reach the threshold.
func TestVerdictFollowsTheLatestRun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := Thresholds{Healthy: rapid.IntRange(1, 4).Draw(t, "healthy"), Unhealthy: rapid.IntRange(1, 4).Draw(t, "unhealthy")}
		var s State
		var results []bool
		for i, ok := range rapid.SliceOfN(rapid.Bool(), 1, 60).Draw(t, "results") {
			before := s
			var changed bool
			s, changed = Step(limits, s, Result{OK: ok}, noon.Add(time.Duration(i)*calm))
			results = append(results, ok)
			run := 0
			for i := len(results) - 1; i >= 0 && results[i] == ok; i-- {
				run++
			}
			needed := limits.Unhealthy
			if ok {
				needed = limits.Healthy
			}
			should := !before.Known || before.Ready != ok && run >= needed
			if changed != should || changed && s.Ready != ok || !changed && s.Ready != before.Ready {
				t.Fatalf("after %v: %+v, changed %v, want %v", results, s, changed, should)
			}
		}
	})
}

func result(ok bool) Result {
	if ok {
		return Result{OK: true}
	}
	return Result{Reason: "refused"}
}

// play gives Step the results of checks that are made each interval, and returns when the verdict changed.
func play(s State, from time.Time, interval time.Duration, checks int, passes func(age time.Duration) bool) (State, []time.Duration) {
	var changes []time.Duration
	for i := range checks {
		age := time.Duration(i) * interval
		result := result(passes(age))
		var changed bool
		if s, changed = Step(Thresholds{Healthy: 1, Unhealthy: 1}, s, result, from.Add(age)); changed {
			changes = append(changes, age)
		}
	}
	return s, changes
}

// A workload that goes up and down every half second for a minute is published four times: the first verdict, two failures and one
// return. Once it passes its checks it is ready after a second.
func TestAFlappingWorkloadIsPublishedFourTimes(t *testing.T) {
	const interval = 100 * time.Millisecond
	flips := func(age time.Duration) bool { return age/(500*time.Millisecond)%2 == 0 }
	s, changes := play(State{}, noon, interval, 600, flips)
	if len(changes) != 4 || s.Ready {
		t.Fatalf("%d changes at %v, ready %v", len(changes), changes, s.Ready)
	}
	if want := "flapping: ready after 1s of passing checks (refused)"; s.Reason != want {
		t.Errorf("the reason is %q, want %q", s.Reason, want)
	}
	s, changes = play(s, noon.Add(time.Minute), interval, 20, func(time.Duration) bool { return true })
	if len(changes) != 1 || changes[0] != time.Second || !s.Ready || s.Reason != "" {
		t.Errorf("steady again: changes at %v, %+v", changes, s)
	}
}

func TestHoldsGrowAndAreForgotten(t *testing.T) {
	always := func(ok bool) func(time.Duration) bool { return func(time.Duration) bool { return ok } }
	s, now := State{}, noon
	lives := func(seconds int) (hold time.Duration) {
		var changes []time.Duration
		s, changes = play(s, now, time.Second, seconds, always(true))
		now = now.Add(time.Duration(seconds) * time.Second)
		if len(changes) != 1 {
			t.Fatalf("ready at %v", changes)
		}
		return changes[0] / time.Second
	}
	fails := func(seconds int) {
		var changes []time.Duration
		s, changes = play(s, now, time.Second, seconds, always(false))
		now = now.Add(time.Duration(seconds) * time.Second)
		if len(changes) != 1 || changes[0] != 0 {
			t.Fatalf("going down is delayed: %v", changes)
		}
	}
	if hold := lives(10); hold != 0 {
		t.Errorf("its first ready waits %d s", hold)
	}
	for i, want := range []time.Duration{0, 1, 2, 4, 8, 16, 30, 30} {
		fails(2)
		if hold := lives(40); hold != want {
			t.Errorf("after failure %d it waits %d s, want %d", i+1, hold, want)
		}
	}
	fails(60)
	if hold := lives(90); hold != 0 {
		t.Errorf("it was down for long and waits %d s", hold)
	}
	fails(2)
	if hold := lives(1); hold != 0 {
		t.Errorf("a single restart after a calm time waits %d s", hold)
	}
}

// Whatever happens: going down is never delayed, coming up waits no longer than the hold, and a first failure costs nothing.
func TestDampingDelaysOnlyTheReturn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s State
		now, passing, failures := noon, time.Time{}, 0
		for range rapid.IntRange(1, 60).Draw(t, "results") {
			now = now.Add(time.Duration(rapid.IntRange(100, 5000).Draw(t, "milliseconds")) * time.Millisecond)
			before, ok := s, rapid.Bool().Draw(t, "passes")
			if ok && (passing.IsZero() || !before.Passing) {
				passing = now
			}
			s, _ = Step(Thresholds{Healthy: 1, Unhealthy: 1}, s, result(ok), now)
			switch {
			case !ok && s.Ready:
				t.Fatal("going down is delayed")
			case ok && !s.Ready && (now.Sub(passing) >= maxHold || failures <= freeFailures):
				t.Fatalf("not ready after %v of passing checks and %d failures", now.Sub(passing), failures)
			case !s.Ready && s.Reason == "" || s.Ready && s.Reason != "":
				t.Fatalf("reason %q of %+v", s.Reason, s)
			case strings.Contains(s.Reason, "flapping") && failures == 0 && before.Ready:
				t.Fatalf("a first failure is called flapping: %q", s.Reason)
			}
			if before.Ready && !s.Ready {
				failures++
			}
		}
	})
}
