package health

import (
	"testing"

	"pgregory.net/rapid"
)

func TestFirstResultDecidesAlone(t *testing.T) {
	for _, ok := range []bool{true, false} {
		s, changed := Step(Thresholds{Healthy: 5, Unhealthy: 5}, State{}, Result{OK: ok, Reason: "r"})
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
		s, changed = Step(Thresholds{Healthy: 2, Unhealthy: 3}, s, Result{OK: c == '+'})
		if changed != (want[i] != '.') || changed && s.Ready != (want[i] == '+') {
			t.Fatalf("step %d (%c): %+v, changed %v, want %c", i, c, s, changed, want[i])
		}
	}
}

// The verdict changes exactly when the latest results in a row that contradict it reach the threshold.
func TestVerdictFollowsTheLatestRun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := Thresholds{Healthy: rapid.IntRange(1, 4).Draw(t, "healthy"), Unhealthy: rapid.IntRange(1, 4).Draw(t, "unhealthy")}
		var s State
		var results []bool
		for _, ok := range rapid.SliceOfN(rapid.Bool(), 1, 60).Draw(t, "results") {
			before := s
			var changed bool
			s, changed = Step(limits, s, Result{OK: ok})
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
