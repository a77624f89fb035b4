package clock

import (
	"context"
	"testing"
	"time"
)

func TestFakeFiresWhenDue(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f := NewFake(start)
	timer := f.NewTimer(time.Second)
	f.Advance(999 * time.Millisecond)
	select {
	case <-timer.C():
		t.Fatal("fired a millisecond early")
	default:
	}
	f.Advance(time.Millisecond)
	select {
	case at := <-timer.C():
		if want := start.Add(time.Second); !at.Equal(want) {
			t.Fatalf("fired at %v, want %v", at, want)
		}
	default:
		t.Fatal("did not fire when due")
	}
}

func TestFakeStopAndReset(t *testing.T) {
	f := NewFake(time.Unix(0, 0))
	timer := f.NewTimer(time.Second)
	if !timer.Stop() {
		t.Fatal("Stop of a pending timer reported it as not pending")
	}
	f.Advance(time.Hour)
	select {
	case <-timer.C():
		t.Fatal("a stopped timer fired")
	default:
	}
	timer.Reset(0)
	select {
	case <-timer.C():
	default:
		t.Fatal("a timer reset to zero did not fire at once")
	}
}

func TestBlockUntilSeesATimer(t *testing.T) {
	f := NewFake(time.Unix(0, 0))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f.BlockUntil(ctx, 1) }()
	f.NewTimer(time.Minute)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestRealOffset(t *testing.T) {
	if d := time.Until((Real{Offset: time.Hour}).Now()); d < 59*time.Minute || d > 61*time.Minute {
		t.Fatalf("offset clock is %v ahead, want about an hour", d)
	}
}
