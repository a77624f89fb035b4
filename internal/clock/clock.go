// Package clock owns time as an argument: shells take a Clock, tests give them a fake one.
package clock

import "time"

// Clock tells the time and makes timers. Implementations are safe for concurrent use.
type Clock interface {
	Now() time.Time
	// NewTimer returns a timer that fires once after d.
	NewTimer(d time.Duration) Timer
	// After is NewTimer(d).C() for a timer that is never stopped.
	After(d time.Duration) <-chan time.Time
}

// Timer is a time.Timer behind an interface; Stop and Reset behave as of Go 1.23, so no stale value is received after them.
type Timer interface {
	C() <-chan time.Time
	Stop() bool
	Reset(d time.Duration) bool
}

// Real is the machine's clock, moved by Offset. The offset exists to run a process as if its clock were wrong.
type Real struct{ Offset time.Duration }

// Now returns the machine's time plus the offset.
func (r Real) Now() time.Time { return time.Now().Add(r.Offset) }

// NewTimer returns a real timer.
func (Real) NewTimer(d time.Duration) Timer { return realTimer{time.NewTimer(d)} }

// After is time.After.
func (Real) After(d time.Duration) <-chan time.Time { return time.After(d) }

type realTimer struct{ *time.Timer }

func (t realTimer) C() <-chan time.Time { return t.Timer.C }
