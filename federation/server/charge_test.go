package server

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// TestABucketLetsThroughItsRate has a payer that waits as it is told: over any time it never gets more through than the burst, the rate
// times the time and one last thing that overdraws; and who stays below the rate never waits.
func TestABucketLetsThroughItsRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := bucket{rate: 100, burst: 50, level: 50, at: start}
		now, through, largest := start, 0.0, 0.0
		for range rapid.IntRange(1, 50).Draw(t, "messages") {
			now = now.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "pause")) * time.Millisecond)
			n := float64(rapid.IntRange(0, 200).Draw(t, "size"))
			var wait time.Duration
			b, wait = b.charge(n, now)
			through, largest = through+n, max(largest, n)
			if allowed := 50 + 100*now.Sub(start).Seconds() + largest; through > allowed+1 {
				t.Fatalf("%v went through in %v", through, now.Sub(start))
			}
			now = now.Add(wait)
			if _, more := b.charge(0, now.Add(time.Microsecond)); more != 0 {
				t.Fatalf("after the wait of %v there is one of %v", wait, more)
			}
		}
		steady := bucket{rate: 100, burst: 50, level: 50, at: start}
		for n := range 200 {
			var wait time.Duration
			if steady, wait = steady.charge(1, start.Add(time.Duration(n)*10*time.Millisecond)); wait != 0 {
				t.Fatalf("the rate itself waits %v", wait)
			}
		}
		if _, wait := steady.charge(1, start.Add(-time.Hour)); wait > time.Second {
			t.Fatalf("a clock that was set back costs %v", wait)
		}
	})
}

func TestWhatIsChargedForWhat(t *testing.T) {
	record := &hansev1.SignedRecord{Key: "k", Record: make([]byte, 1000)}
	batch := func(records int) *hansev1.SessionRequest {
		b := &hansev1.Batch{Origin: "alpha"}
		for range records {
			b.Upserts = append(b.Upserts, record)
		}
		return &hansev1.SessionRequest{Message: &hansev1.SessionRequest_Batch{Batch: b}}
	}
	for name, c := range map[string]struct {
		message *hansev1.SessionRequest
		times   int
		slowed  bool
		caused  consequence
	}{
		"heartbeats":                            {batch(0), messageBurst, false, consequence{}},
		"too many heartbeats":                   {batch(0), messageBurst + 1, true, consequence{}},
		"the largest state":                     {batch(20_000), 1, false, consequence{}},
		"it, again":                             {batch(20_000), 2, true, consequence{}},
		"large ones":                            {&hansev1.SessionRequest{Message: &hansev1.SessionRequest_Batch{Batch: &hansev1.Batch{Upserts: []*hansev1.SignedRecord{{Record: make([]byte, 17<<20)}}}}}, 2, true, consequence{}},
		"asking again":                          {&hansev1.SessionRequest{Message: &hansev1.SessionRequest_Resync{}}, messageBurst / resyncWeight, false, consequence{}},
		"asking again and again":                {&hansev1.SessionRequest{Message: &hansev1.SessionRequest_Resync{}}, messageBurst/resyncWeight + 1, true, consequence{}},
		"bundles":                               {&hansev1.SessionRequest{Message: &hansev1.SessionRequest_Bundle{}}, messageBurst/bundleWeight + 1, true, consequence{}},
		"one record that is refused, in turn":   {batch(1), messageBurst / refusalWeight, false, consequence{refusals: true, records: 2}},
		"too often":                             {batch(1), messageBurst/refusalWeight + 1, true, consequence{refusals: true, records: 2}},
		"beside many that all are told with it": {batch(1), 2, true, consequence{refusals: true, records: 20_000}},
	} {
		a := newAccount(start)
		for range c.times {
			a.charge(c.message, c.caused, start)
		}
		if (a.slowed > 0) != c.slowed {
			t.Errorf("%s: slowed down %d times", name, a.slowed)
		}
	}
}

// TestTooManyBatchesAreReadLater sends more than a node takes: it stops reading, says so, and in the end holds the newest state.
func TestTooManyBatchesAreReadLater(t *testing.T) {
	f := newFederation(t)
	f.putRule("all", toAll)
	l := f.connect(t, "n1", f.join("alpha"), "i1")
	f.clock.forget()
	l.publish(nil, l.service("shop", "cart"))
	for n := range messageBurst {
		l.publish(nil, l.service("shop", fmt.Sprint("s", n%10)))
	}
	f.clock.waitFor(f.ctx, t, time.Second/messageRate)
	o, _ := f.store.Origin("alpha")
	if got := f.nodes["n1"].Feed(o); got.Slowed != 1 || !got.SlowedDown {
		t.Errorf("the feed is %+v", got)
	}
	// Another cluster is not slowed down with it.
	other := f.connect(t, "n1", f.join("beta"), "i1")
	other.publish(nil, other.service("shop", "cart"))
	other.hears("i1", 1, true)
	// What was sent is there when the time has come.
	observer := f.connect(t, "n1", f.join("gamma"), "o")
	last := l.service("shop", "last")
	l.publish(nil, last)
	f.clock.Advance(time.Second)
	observer.until("the last batch", func() bool { return observer.held["alpha"][model.RecordKey(last.Service.Service)] != "" })
	f.clock.Advance(slowedFor)
	o, _ = f.store.Origin("alpha")
	if got := f.nodes["n1"].Feed(o); got.Slowed == 0 || got.SlowedDown {
		t.Errorf("a minute later the feed is %+v", got)
	}
}

// TestChangedRefusalsArePaidFor has a record be refused and not, in turn: importers are told everything again each time.
func TestChangedRefusalsArePaidFor(t *testing.T) {
	f := newFederation(t)
	f.putRule("all", toAll)
	l := f.connect(t, "n1", f.join("alpha"), "i1")
	f.clock.forget()
	l.publish(nil, l.service("shop", "cart"))
	for n := range messageBurst / refusalWeight {
		r := l.service("shop", "pay")
		if n%2 == 0 {
			r.Service.Identities = []string{model.WorkloadID("beta.acme", "shop", "pay")}
		}
		l.publish(nil, r)
	}
	// All but the first together cost the burst, so that with it one more is owed.
	f.clock.waitFor(f.ctx, t, time.Second/messageRate)
}
