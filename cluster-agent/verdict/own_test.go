package verdict

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
			var v Own
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
		var v Own
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

func TestStepKeepsWhatAPathTakes(t *testing.T) {
	const ms = time.Millisecond
	var v Own
	for i, c := range []struct {
		outcome             Outcome
		connect, rtt, usual time.Duration
	}{
		{Outcome{Err: "refused"}, 0, 0, 0},
		{Outcome{Connect: 10 * ms, RTT: 30 * ms}, 10 * ms, 30 * ms, 10 * ms},
		// A lost SYN is no longer path.
		{Outcome{Connect: 1010 * ms, RTT: 1030 * ms}, 1010 * ms, 1030 * ms, 135 * ms},
		{Outcome{Connect: 10 * ms, RTT: 31 * ms}, 10 * ms, 31 * ms, 10 * ms},
		// A probe that fails after the connection tells how far the gateway is, too.
		{Outcome{Connect: 90 * ms, Err: "no answer"}, 90 * ms, 31 * ms, 20 * ms},
	} {
		v = Step(v, c.outcome, DefaultThresholds, time.Unix(int64(i), 0))
		if v.Connect != c.connect || v.RTT != c.rtt || v.usual != c.usual {
			t.Errorf("after probe %d: connect %v, whole %v, usual %v; want %v, %v, %v", i, v.Connect, v.RTT, v.usual, c.connect, c.rtt, c.usual)
		}
	}
}

func TestPatience(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct{ rtt, connect, answer time.Duration }{
		{0, 3000 * ms, 900 * ms},
		{ms, 1200 * ms, 900 * ms},
		{180 * ms, 1200 * ms, 1080 * ms},
		{300 * ms, 1800 * ms, 1800 * ms},
		{2000 * ms, 3000 * ms, 3000 * ms},
	} {
		v := Step(Own{}, Outcome{Connect: c.rtt}, DefaultThresholds, time.Unix(0, 0))
		if connect, answer := DefaultPatience.ForConnect(v), DefaultPatience.ForAnswer(c.rtt); connect != c.connect || answer != c.answer {
			t.Errorf("round trip %v: %v and %v, want %v and %v", c.rtt, connect, answer, c.connect, c.answer)
		}
	}
}

// Law: however far a gateway is, up to half a second, it has time for its answer and for one lost packet, also when the path has
// only just become that long.
func TestLawDistanceIsNotDeath(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rtt := rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.IntRange(1, 500).Draw(t, "ms")) * time.Millisecond
		})
		var v Own
		for i := range rapid.IntRange(0, 5).Draw(t, "probes") {
			v = Step(v, Outcome{Connect: rtt.Draw(t, "rtt")}, DefaultThresholds, time.Unix(int64(i), 0))
		}
		now := rtt.Draw(t, "now")
		if p := DefaultPatience.ForConnect(v); p < now+500*time.Millisecond {
			t.Fatalf("%v for a connection of one round trip of %v", p, now)
		}
		if p := DefaultPatience.ForAnswer(now); p < 2*now+3*now {
			t.Fatalf("%v for two round trips of %v and a retransmission", p, now)
		}
	})
}

// Law: whatever others say, and whatever the probes show, an address is probed at most once per Raised.
func TestLawNobodyMakesAnAgentProbeFaster(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var v Own
		suspicious, began := false, time.Unix(1000, 0)
		now, end := began, began.Add(10*time.Second)
		probes := 0
		for now.Before(end) {
			now = now.Add(time.Duration(rapid.IntRange(1, 300).Draw(t, "ms")) * time.Millisecond)
			suspicious = rapid.Bool().Draw(t, "suspicious")
			if now.Before(began.Add(DefaultPace.Pause(v, suspicious))) {
				continue
			}
			if gap := now.Sub(began); gap < DefaultPace.Raised {
				t.Fatalf("two probes within %v", gap)
			}
			o := Outcome{Connect: 1}
			if rapid.Bool().Draw(t, "failed") {
				o.Err = "x"
			}
			v, began = Step(v, o, DefaultThresholds, now), now
			probes++
		}
		if probes < 8 {
			t.Fatalf("%d probes in ten seconds", probes)
		}
	})
}
