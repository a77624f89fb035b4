package main

import (
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/e2e/load"
)

func TestBoundsOfARegionsDeath(t *testing.T) {
	for name, x := range map[string]struct {
		w  load.Window
		ok bool
	}{
		"nothing failed":       {load.Window{Calls: 2000}, true},
		"one in a hundred":     {load.Window{Calls: 2000, Failed: 20, LastFailed: 2 * time.Second}, true},
		"more than that":       {load.Window{Calls: 2000, Failed: 21, LastFailed: time.Second}, false},
		"one that came late":   {load.Window{Calls: 2000, Failed: 1, LastFailed: 3001 * time.Millisecond}, false},
		"a call when none may": {load.Window{Calls: 1, Failed: 1}, false},
	} {
		if err := bounded(x.w); (err == nil) != x.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if noneFailed(load.Window{Calls: 10, Failed: 1}) == nil {
		t.Error("a failed call counts for none")
	}
	if elsewhere(load.Window{Regions: map[string]int{"eu": 5}}, "us") == nil {
		t.Error("answers from eu count for us")
	}
}
