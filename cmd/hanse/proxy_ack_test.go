package main

import (
	"context"
	"sync"
	"testing"
)

// TestASetIsToldOnceTheEnvoyHasSettledOnIt changes the set between the two looks: what the Envoy settled on is then not known.
func TestASetIsToldOnceTheEnvoyHasSettledOnIt(t *testing.T) {
	var mu sync.Mutex
	set, settled, moves := "a", false, false
	told := make(chan string, 10)
	looked := make(chan bool, 10)
	a := &acknowledging{
		wake: make(chan struct{}, 1),
		following: func() string {
			mu.Lock()
			defer mu.Unlock()
			return set
		},
		settled: func() bool {
			mu.Lock()
			defer mu.Unlock()
			if moves {
				set, moves = "b", false
			}
			looked <- settled
			return settled
		},
		tell: func(set string) { told <- set },
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.run(ctx) }()
	defer func() { cancel(); <-done }()
	look := func(change func()) {
		t.Helper()
		mu.Lock()
		change()
		mu.Unlock()
		a.poke()
		select {
		case <-looked:
		case <-patience(t).Done():
			t.Fatal("nobody looked")
		}
	}
	look(func() {})
	look(func() { settled, moves = true, true })
	look(func() {})
	select {
	case got := <-told:
		if got != "b" {
			t.Fatalf("told of %q, which was never known to be settled", got)
		}
	case <-patience(t).Done():
		t.Fatal("nothing was told")
	}
}
