package verdict

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
)

var start = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func at(cluster, gateway, ip string) Address {
	return Address{Cluster: model.ClusterName(cluster), Gateway: gateway, IP: netip.MustParseAddr(ip), Port: 7722}
}

var gw = at("zug", "gw", "192.0.2.1")

// told is what is said of an address.
func told(sets []model.VerdictSet, a Address) State {
	for _, s := range sets {
		for _, v := range s.Verdicts {
			if s.Cluster == a.Cluster && v.Gateway == a.Gateway && v.Address == a.IP.String() && v.Port == a.Port {
				if v.Bad {
					return Bad
				}
				return Good
			}
		}
	}
	return Unknown
}

func TestChangesGoAtOnceAndFlappingDoesNot(t *testing.T) {
	const ms = time.Millisecond
	var a Announced
	for i, step := range []struct {
		after time.Duration
		state State
		want  State
		next  time.Duration
	}{
		{0, Unknown, Unknown, 0},
		{10 * ms, Good, Good, 0},
		{5000 * ms, Bad, Bad, 0},
		{5300 * ms, Good, Good, 0},
		// It has said two things within a second: the third waits, and is dropped when it is taken back.
		{5600 * ms, Bad, Good, 6000 * ms},
		{5700 * ms, Good, Good, 0},
		{5900 * ms, Bad, Good, 6000 * ms},
		{6000 * ms, Bad, Bad, 0},
		{6100 * ms, Good, Bad, 7000 * ms},
		// An address that is gone counts as a change too: else one that comes and goes would flood.
		{6200 * ms, Unknown, Bad, 7000 * ms},
		{7000 * ms, Unknown, Unknown, 0},
		{7010 * ms, Good, Unknown, 8000 * ms},
		{20000 * ms, Good, Good, 0},
	} {
		now := start.Add(step.after)
		var findings []Finding
		if step.state != Unknown {
			findings = []Finding{{Address: gw, State: step.state, Since: now}}
		}
		var sets []model.VerdictSet
		var next time.Time
		a, sets, next = a.Step(findings, now)
		if got := told(sets, gw); got != step.want {
			t.Fatalf("step %d: told %v, want %v", i, got, step.want)
		}
		if want := start.Add(step.next); step.next == 0 && !next.IsZero() || step.next != 0 && !next.Equal(want) {
			t.Fatalf("step %d: look again at %v, want +%v", i, next, step.next)
		}
	}
	if len(a.entries) != 1 {
		t.Errorf("%d addresses are remembered", len(a.entries))
	}
}

func TestSetsAreByClusterAndBounded(t *testing.T) {
	findings := []Finding{
		{Address: at("zug", "b", "192.0.2.1"), State: Good, Since: start}, {Address: at("bern", "x", "2001:db8::1"), State: Bad, Since: start},
		{Address: at("zug", "a", "192.0.2.3"), State: Bad, Since: start}, {Address: at("zug", "a", "192.0.2.2"), State: Unknown},
		{Address: at("uri", "a", "192.0.2.2"), State: Unknown},
	}
	_, sets, _ := Announced{}.Step(findings, start)
	var got []string
	for _, s := range sets {
		for _, v := range s.Verdicts {
			got = append(got, fmt.Sprint(s.Cluster, " ", v.Gateway, " ", v.Address, " ", v.Port, " ", v.Bad, " ", v.Since.Equal(start)))
		}
	}
	if want := []string{"bern x 2001:db8::1 7722 true true", "zug a 192.0.2.3 7722 true true", "zug b 192.0.2.1 7722 false true"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}

	findings = nil
	for i := range 2 * MaxPerCluster {
		long := fmt.Sprintf("%063d", i)
		findings = append(findings, Finding{Address: at("zug", long, fmt.Sprintf("2001:db8:1234:5678:9abc:def0:1234:%x", i)), State: Bad, Since: start})
	}
	_, sets, _ = Announced{}.Step(findings, start)
	data, err := codec.MarshalRecord(model.Record{Cluster: "eu", Verdicts: &sets[0]})
	if err != nil {
		t.Fatalf("%d verdicts: %v", len(sets[0].Verdicts), err)
	}
	if r, err := codec.UnmarshalRecord(data); err != nil || len(r.Verdicts.Verdicts) != MaxPerCluster {
		t.Errorf("a receiver gets %+v, %v", r, err)
	}
}

// Law: whatever the findings do, an address changes what it says at most twice at once and then once per Refrain; nothing waits
// without a time to look again; and after quiet the truth is told.
func TestLawAnnounced(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a Announced
		now := start
		states := rapid.SampledFrom([]State{Unknown, Good, Bad})
		before := Unknown
		var changes []time.Time
		step := func(s State) (next time.Time) {
			var findings []Finding
			if s != Unknown || rapid.Bool().Draw(t, "listed") {
				findings = []Finding{{Address: gw, State: s, Since: now}}
			}
			var sets []model.VerdictSet
			a, sets, next = a.Step(findings, now)
			if is := told(sets, gw); is != before {
				before = is
				changes = append(changes, now)
			}
			if before != s && next.IsZero() {
				t.Fatalf("%v is told, %v is true, and nobody looks again", before, s)
			}
			return next
		}
		var last State
		var next time.Time
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 400).Draw(t, "ms")) * time.Millisecond)
			last = states.Draw(t, "state")
			next = step(last)
		}
		for i := 2; i < len(changes); i++ {
			for j := range i - 1 {
				if window := changes[i].Sub(changes[j]); window < time.Duration(i-j-1)*Refrain {
					t.Fatalf("%d changes within %v", i-j+1, window)
				}
			}
		}
		for i := 0; !next.IsZero(); i++ {
			if i > 1 || next.After(now.Add(Refrain)) {
				t.Fatalf("still waiting at %v for %v", now, next)
			}
			now = next
			next = step(last)
		}
		if before != last {
			t.Fatalf("%v is told, %v is true", before, last)
		}
	})
}
