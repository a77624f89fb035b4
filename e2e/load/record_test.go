package load

import (
	"testing"
	"time"
)

func TestWindowCountsByTheTimeCallsWereDue(t *testing.T) {
	fault := time.Unix(1000, 0)
	at := func(ms int) time.Time { return fault.Add(time.Duration(ms) * time.Millisecond) }
	var r Record
	for _, o := range []Outcome{
		{Due: at(-1), Region: "eu"},
		{Due: at(-5), Err: "lost"},
		{Due: at(0), Err: "lost"},
		{Due: at(100), Region: "us", Instance: "us-1", Latency: 1500 * time.Millisecond},
		{Due: at(200), Region: "us", Instance: "us-2", Latency: time.Second},
		{Due: at(2500), Err: "lost", Post: true},
		{Due: at(2700), Region: "us", Instance: "us-2", Latency: 1001 * time.Millisecond},
		{Due: at(3000), Err: "lost"},
	} {
		r.Add(o)
	}
	w := r.Between(fault, 3*time.Second, nil)
	if w.Calls != 5 || w.Failed != 2 || w.Slow != 2 {
		t.Errorf("%d calls, %d failed, %d slow; want 5, 2, 2", w.Calls, w.Failed, w.Slow)
	}
	if w.LastFailed != 2500*time.Millisecond || w.LastTrouble != 2700*time.Millisecond {
		t.Errorf("the last failing call was due at +%s, the last failing or slow one at +%s; want +2.5s, +2.7s", w.LastFailed, w.LastTrouble)
	}
	if w.Regions["us"] != 3 || w.Regions["eu"] != 0 || w.Instances["us-2"] != 2 {
		t.Errorf("answers by region are %v, by instance %v", w.Regions, w.Instances)
	}
	if w.First["us"] != 1200*time.Millisecond || w.Worst != 1500*time.Millisecond {
		t.Errorf("first answer from us after %s, slowest call %s; want 1.2s, 1.5s", w.First["us"], w.Worst)
	}
	if all := r.Between(fault, 0, nil); all.Calls != 6 {
		t.Errorf("%d calls until the end, want 6", all.Calls)
	}
	if posts := r.Between(fault, 0, func(o Outcome) bool { return o.Post }); posts.Calls != 1 {
		t.Errorf("%d calls of the wanted kind, want 1", posts.Calls)
	}
}
