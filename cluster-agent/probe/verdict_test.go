package probe

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestVerdictSteps(t *testing.T) {
	const fail, ok = "refused", ""
	th := Thresholds{Bad: 2, Good: 1}
	cases := map[string]struct {
		outcomes []string
		want     State
		doubtful bool
	}{
		"none":             {nil, Unknown, false},
		"first failure":    {[]string{fail}, Unknown, true},
		"two failures":     {[]string{fail, fail}, Bad, false},
		"first success":    {[]string{ok}, Good, false},
		"one slip":         {[]string{ok, fail}, Good, true},
		"flapping is good": {[]string{ok, fail, ok, fail, ok, fail}, Good, true},
		"down":             {[]string{ok, fail, fail}, Bad, false},
		"back":             {[]string{fail, fail, ok}, Good, false},
		"slip when back":   {[]string{fail, fail, ok, fail}, Good, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var v Verdict
			for i, o := range c.outcomes {
				v = Step(v, Outcome{Err: o}, th, time.Unix(int64(i), 0))
			}
			if v.State != c.want || v.Doubtful() != c.doubtful {
				t.Fatalf("%v, doubtful %t; want %v, %t", v.State, v.Doubtful(), c.want, c.doubtful)
			}
		})
	}
}

// TestLawVerdict compares Step with its definition: the state follows the last outcomes once enough of them agree, and stays otherwise.
func TestLawVerdict(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		th := Thresholds{Bad: rapid.IntRange(0, 4).Draw(t, "bad"), Good: rapid.IntRange(0, 4).Draw(t, "good")}
		failed := rapid.SliceOf(rapid.Bool()).Draw(t, "failed")
		var v Verdict
		want, since := Unknown, time.Time{}
		run := 0
		for i, f := range failed {
			at := time.Unix(int64(i), 0)
			o, to, need := Outcome{RTT: time.Duration(i)}, Good, th.Good
			if f {
				o, to, need = Outcome{Err: "x"}, Bad, th.Bad
			}
			if i > 0 && failed[i-1] == f {
				run++
			} else {
				run = 1
			}
			if want != to && run >= need {
				want, since = to, at
			}
			v = Step(v, o, th, at)
			if v.State != want || !v.Since.Equal(since) || v.LastError != o.Err {
				t.Fatalf("after %v: %+v, want %v since %v", failed[:i+1], v, want, since)
			}
		}
	})
}
