package main

import (
	"errors"
	"testing"
	"time"
)

func TestWindowCountsByTheTimeCallsWereDue(t *testing.T) {
	fault := time.Unix(1000, 0)
	at := func(ms int) time.Time { return fault.Add(time.Duration(ms) * time.Millisecond) }
	lost := errors.New("lost")
	l := &load{outcomes: []outcome{
		{start: at(-1), region: "eu"},
		{start: at(-5), err: lost},
		{start: at(0), err: lost},
		{start: at(100), region: "us", latency: 1500 * time.Millisecond},
		{start: at(200), region: "us", latency: time.Second},
		{start: at(2500), err: lost},
		{start: at(3000), err: lost},
	}}
	w := l.between(fault, 3*time.Second)
	if w.calls != 4 || w.failed != 2 || w.slow != 1 {
		t.Errorf("%d calls, %d failed, %d slow; want 4, 2, 1", w.calls, w.failed, w.slow)
	}
	if w.lastFailed != 2500*time.Millisecond {
		t.Errorf("the last failing call was due at +%s, want +2.5s", w.lastFailed)
	}
	if w.regions["us"] != 2 || w.regions["eu"] != 0 {
		t.Errorf("answers by region are %v", w.regions)
	}
	if w.first["us"] != 1200*time.Millisecond || w.worst != 1500*time.Millisecond {
		t.Errorf("first answer from us after %s, slowest call %s; want 1.2s, 1.5s", w.first["us"], w.worst)
	}
	if all := l.between(fault, 0); all.calls != 5 {
		t.Errorf("%d calls until the end, want 5", all.calls)
	}
}

func TestBoundsOfARegionsDeath(t *testing.T) {
	for name, x := range map[string]struct {
		w  window
		ok bool
	}{
		"nothing failed":       {window{calls: 2000}, true},
		"one in a hundred":     {window{calls: 2000, failed: 20, lastFailed: 2 * time.Second}, true},
		"more than that":       {window{calls: 2000, failed: 21, lastFailed: time.Second}, false},
		"one that came late":   {window{calls: 2000, failed: 1, lastFailed: 3001 * time.Millisecond}, false},
		"a call when none may": {window{calls: 1, failed: 1}, false},
	} {
		if err := bounded(x.w); (err == nil) != x.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if noneFailed(window{calls: 10, failed: 1}) == nil {
		t.Error("a failed call counts for none")
	}
	if elsewhere(window{regions: map[string]int{"eu": 5}}, "us") == nil {
		t.Error("answers from eu count for us")
	}
}

func TestPeerURI(t *testing.T) {
	if got := peerURI("By=spiffe://a/x;Hash=00;URI=spiffe://eu.hanse.test/ns/shop/sa/web"); got != "spiffe://eu.hanse.test/ns/shop/sa/web" {
		t.Errorf("got %q", got)
	}
	if got := peerURI(""); got != "" {
		t.Errorf("without a header: %q", got)
	}
}
