package verdict

import (
	"math/bits"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const ms = time.Millisecond

// walk steps along a path, one probe a second.
func walk(outcomes ...Outcome) (v Own) {
	for i, o := range outcomes {
		v = Step(v, o, DefaultThresholds, time.Unix(int64(i), 0))
	}
	return v
}

func many(n int, o Outcome) []Outcome {
	out := make([]Outcome, n)
	for i := range out {
		out[i] = o
	}
	return out
}

func TestAPathDegrades(t *testing.T) {
	near, far, lossy := Outcome{RoundTrip: 80 * ms}, Outcome{RoundTrip: 300 * ms}, Outcome{RoundTrip: 80 * ms, Resent: true}
	for name, c := range map[string]struct {
		outcomes []Outcome
		want     bool
	}{
		"far from the start":             {many(100, far), false},
		"much longer at once":            {append(many(5, near), far), true},
		"longer, not three times":        {append(many(5, near), Outcome{RoundTrip: 230 * ms}), false},
		"three times of next to nothing": {append(many(5, Outcome{RoundTrip: ms}), Outcome{RoundTrip: 50 * ms}), false},
		"nothing known":                  {append(many(5, near), Outcome{Err: "no answer"}), false},
		"one lost packet":                {append(many(5, near), lossy), false},
		"three of many":                  {append(many(13, near), many(3, lossy)...), false},
		"four of sixteen":                {append(append(many(5, near), lossy, near, near, lossy, near, near), lossy, near, lossy), true},
		"lost, and nobody answers":       {append(many(5, near), many(4, Outcome{Err: "no answer", Resent: true})...), true},
		"rests for half a minute":        {append(append(many(5, near), far), many(29, near)...), true},
		"goes back then":                 {append(append(many(5, near), far), many(30, near)...), false},
	} {
		if got := walk(c.outcomes...).Degraded; got != c.want {
			t.Errorf("%s: degraded %t", name, got)
		}
	}
}

// A way that stays longer becomes the usual one after some minutes, and one that became shorter counts at once.
func TestDistanceFollowsTheWay(t *testing.T) {
	near, far := Outcome{RoundTrip: 80 * ms}, Outcome{RoundTrip: 300 * ms}
	if v := walk(append(many(5, near), many(300, far)...)...); !v.Degraded {
		t.Error("300 probes of a longer way are enough to take it for usual")
	}
	usual := append(many(5, near), many(500, far)...)
	if v := walk(usual...); v.Degraded {
		t.Error("500 probes of a longer way are not enough to take it for usual")
	}
	if v := walk(append(usual, near, far)...); !v.Degraded {
		t.Error("a way that became shorter is not the measure at once")
	}
}

// Law: a path is degraded exactly while a reason for it was seen less than Rest ago, whatever became of the probes; and what is degraded
// does not change the verdict on who answers.
func TestLawDegraded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		outcomes := rapid.SliceOf(rapid.Custom(func(t *rapid.T) Outcome {
			o := Outcome{RoundTrip: time.Duration(rapid.SampledFrom([]int{0, 1, 20, 80, 300}).Draw(t, "ms")) * ms, Resent: rapid.IntRange(0, 5).Draw(t, "resent") == 0}
			if rapid.Bool().Draw(t, "failed") {
				o.Err = "x"
			}
			return o
		})).Draw(t, "outcomes")
		var with, without Own
		var window uint16
		reason, ever := time.Time{}, false
		at := time.Unix(0, 0)
		for i, o := range outcomes {
			at = at.Add(time.Duration(rapid.IntRange(1, 9000).Draw(t, "pause")) * ms)
			if window <<= 1; o.Resent {
				window |= 1
			}
			far := with.distance > 0 && o.RoundTrip >= max(3*with.distance, with.distance+farExcess)
			if far || bits.OnesCount16(window) >= lossyProbes {
				reason, ever = at, true
			}
			with = Step(with, o, DefaultThresholds, at)
			without = Step(without, Outcome{Err: o.Err}, DefaultThresholds, at)
			if want := ever && at.Before(reason.Add(Rest)); with.Degraded != want {
				t.Fatalf("after %d probes: degraded %t, want %t", i+1, with.Degraded, want)
			}
			if with.State != without.State {
				t.Fatalf("after %d probes: %v, without what the path showed %v", i+1, with.State, without.State)
			}
		}
	})
}
