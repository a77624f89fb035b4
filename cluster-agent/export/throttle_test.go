package export

import (
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"pgregory.net/rapid"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func counts(ready, total uint32) []model.Record {
	return []model.Record{{Service: &model.ServiceRecord{
		Service:  model.ServiceKey{Namespace: "shop", Name: "pay"},
		Capacity: []model.Capacity{{Locality: model.Locality{Region: "eu"}, Ready: ready, Total: total}},
	}}}
}

func TestThrottleSteps(t *testing.T) {
	type step struct {
		at           time.Duration
		ready, total uint32
		published    bool
		next         time.Duration
	}
	const ms = time.Millisecond
	cases := map[string][]step{
		"zero goes at once":           {{0, 10, 10, true, 0}, {1 * ms, 0, 10, true, 0}, {2 * ms, 1, 10, true, 0}},
		"large after quiet":           {{0, 10, 10, true, 0}, {300 * ms, 9, 10, true, 0}},
		"large waits for interval":    {{0, 10, 10, true, 0}, {50 * ms, 9, 10, false, 200 * ms}, {200 * ms, 9, 10, true, 0}},
		"small waits for company":     {{0, 100, 100, true, 0}, {300 * ms, 99, 100, false, 500 * ms}, {400 * ms, 98, 100, false, 500 * ms}, {500 * ms, 98, 100, true, 0}},
		"small becomes large":         {{0, 100, 100, true, 0}, {300 * ms, 99, 100, false, 500 * ms}, {301 * ms, 90, 100, true, 0}},
		"a change taken back is none": {{0, 100, 100, true, 0}, {50 * ms, 90, 100, false, 200 * ms}, {60 * ms, 100, 100, false, 0}, {210 * ms, 99, 100, false, 410 * ms}},
		"total alone is small":        {{0, 0, 10, true, 0}, {300 * ms, 0, 11, false, 500 * ms}, {500 * ms, 0, 11, true, 0}},
	}
	for name, steps := range cases {
		t.Run(name, func(t *testing.T) {
			var throttle Throttle
			for i, s := range steps {
				var d Decision
				throttle, d = throttle.Step(counts(s.ready, s.total), start.Add(s.at))
				if published := len(d.Upserts) == 1; published != s.published {
					t.Fatalf("step %d: published %t, want %t", i, published, s.published)
				}
				if want := start.Add(s.next); s.next == 0 && !d.Next.IsZero() || s.next != 0 && !d.Next.Equal(want) {
					t.Fatalf("step %d: look again at %v, want +%v", i, d.Next, s.next)
				}
			}
		})
	}
}

func TestThrottleShapeGoesAtOnce(t *testing.T) {
	base := counts(10, 10)
	cases := map[string]func(*model.ServiceRecord){
		"port":            func(s *model.ServiceRecord) { s.Ports = []model.Port{{Number: 80}} },
		"identity":        func(s *model.ServiceRecord) { s.Identities = []string{"spiffe://bern.fed/ns/shop/sa/pay"} },
		"export":          func(s *model.ServiceRecord) { e := exported(); s.Export = &e },
		"gateways answer": func(s *model.ServiceRecord) { s.Terminated = s.Capacity },
		"locality": func(s *model.ServiceRecord) {
			s.Capacity = append(s.Capacity[:1:1], model.Capacity{Locality: model.Locality{Region: "us"}, Total: 1})
		},
		"moved": func(s *model.ServiceRecord) {
			s.Capacity = []model.Capacity{{Locality: model.Locality{Region: "us"}, Ready: 10, Total: 10}}
		},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			throttle, _ := Throttle{}.Step(base, start)
			service := *base[0].Service
			change(&service)
			if _, d := throttle.Step([]model.Record{{Service: &service}}, start.Add(time.Millisecond)); len(d.Upserts) != 1 {
				t.Fatalf("waits: %+v", d)
			}
		})
	}
}

func TestThrottleHeadlessEndpoints(t *testing.T) {
	record := func(addresses ...string) []model.Record {
		s := *counts(10, 10)[0].Service
		e := exported(func(e *model.ServiceExport) { e.Headless = true })
		for _, a := range addresses {
			e.Endpoints = append(e.Endpoints, model.ExportEndpoint{Hostname: "db", Address: a})
		}
		s.Export = &e
		return []model.Record{{Service: &s}}
	}
	throttle, _ := Throttle{}.Step(record(), start)
	throttle, d := throttle.Step(record("10.0.0.1"), start.Add(Interval))
	if len(d.Upserts) != 1 {
		t.Fatal("an endpoint waits after quiet")
	}
	if _, d = throttle.Step(record("10.0.0.2"), start.Add(Interval+time.Millisecond)); len(d.Upserts) != 0 || !d.Next.Equal(start.Add(2*Interval)) {
		t.Fatalf("got %+v, want the next endpoint to wait for company", d)
	}
}

func TestThrottleGatewaysAndStatus(t *testing.T) {
	records := func(address, version string) []model.Record {
		return []model.Record{{Gateways: []model.Gateway{{Address: address}}}, {Status: &model.SiteStatus{AgentVersion: version}}}
	}
	throttle, _ := Throttle{}.Step(records("a", "1"), start)
	throttle, d := throttle.Step(records("b", "2"), start.Add(time.Millisecond))
	if len(d.Upserts) != 1 || d.Upserts[0].Gateways == nil || !d.Next.Equal(start.Add(Interval)) {
		t.Fatalf("got %+v, want the gateways now and the status later", d)
	}
	if _, d = throttle.Step(nil, start.Add(2*time.Millisecond)); len(d.Removals) != 2 || !d.Next.IsZero() {
		t.Fatalf("got %+v, want both removed", d)
	}
}

func TestThrottleVerdicts(t *testing.T) {
	verdicts := func(bad ...bool) []model.Record {
		set := &model.VerdictSet{Cluster: "zug"}
		for i, b := range bad {
			set.Verdicts = append(set.Verdicts, model.Verdict{Gateway: "g", Address: "192.0.2.1", Port: uint16(i + 1), Bad: b, Since: start})
		}
		return []model.Record{{Verdicts: set}}
	}
	throttle, _ := Throttle{}.Step(verdicts(false, false), start)
	throttle, d := throttle.Step(verdicts(false, false), start.Add(time.Second))
	if len(d.Upserts) != 0 || !d.Next.IsZero() {
		t.Fatalf("the same verdicts are published again: %+v", d)
	}
	throttle, d = throttle.Step(verdicts(true, false), start.Add(2*time.Second))
	if len(d.Upserts) != 1 {
		t.Fatal("a verdict waits after quiet")
	}
	throttle, d = throttle.Step(verdicts(true, true), start.Add(2*time.Second+time.Millisecond))
	if len(d.Upserts) != 0 || !d.Next.Equal(start.Add(2*time.Second+Interval)) {
		t.Fatalf("got %+v, want the next verdict to wait for company", d)
	}
	if _, d = throttle.Step(verdicts(true, true), d.Next); len(d.Upserts) != 1 {
		t.Fatal("the second verdict is never published")
	}
}

// TestLawThrottle drives random changes against the clock and checks, after every step, that nothing urgent is withheld; after
// quiet, that what is published is the truth; and that capacity alone never exceeds the rate.
func TestLawThrottle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var throttle Throttle
		held, now := mirror{}, start
		var current []model.Record
		var next time.Time
		step := func() {
			var d Decision
			throttle, d = throttle.Step(current, now)
			held.apply(d.Upserts, d.Removals)
			next = d.Next
			for _, r := range current {
				h, ok := held[r.Key()]
				if !ok || weigh(h, r) == urgent && !Equal(h, r) {
					t.Fatalf("%s is withheld: published %+v, true %+v", r.Key(), h, r)
				}
				if !Equal(h, r) && next.IsZero() {
					t.Fatalf("%s waits without a time to look again", r.Key())
				}
			}
		}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "ms")) * time.Millisecond)
			if rapid.Bool().Draw(t, "gone") {
				current = nil
			} else {
				total := rapid.Uint32Range(0, 60).Draw(t, "total")
				current = counts(rapid.Uint32Range(0, total).Draw(t, "ready"), total)
			}
			step()
		}
		if !next.IsZero() {
			if next.Before(now) || next.After(now.Add(Interval)) {
				t.Fatalf("looks again at %v, now is %v", next, now)
			}
			now = next
			step()
		}
		if !held.is(current) || !next.IsZero() {
			t.Fatalf("after quiet %+v is published, %+v is true", held, current)
		}
	})
}

func TestLawThrottleRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		throttle, _ := Throttle{}.Step(counts(100, 200), start)
		var published []time.Time
		for now := start; now.Before(start.Add(3 * time.Second)); {
			now = now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "ms")) * time.Millisecond)
			var d Decision
			throttle, d = throttle.Step(counts(rapid.Uint32Range(1, 200).Draw(t, "ready"), 200), now)
			if len(d.Upserts) > 0 {
				published = append(published, now)
			}
		}
		for i := 1; i < len(published); i++ {
			if gap := published[i].Sub(published[i-1]); gap < Interval {
				t.Fatalf("two publications of one service within %v", gap)
			}
		}
	})
}
