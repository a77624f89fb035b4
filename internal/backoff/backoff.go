// Package backoff owns the pause between attempts: exponential, with full jitter, so that many clients do not return at once.
package backoff

import (
	"math/rand/v2"
	"time"
)

// Backoff gives growing pauses between Min and Max. The zero value is not useful; it is not safe for concurrent use.
type Backoff struct {
	Min, Max time.Duration
	attempt  int
}

// Next returns the next pause: between Min and a bound that doubles from Min to Max.
func (b *Backoff) Next() time.Duration {
	bound := b.Min << min(b.attempt, 30)
	if bound <= 0 || bound > b.Max {
		bound = b.Max
	}
	b.attempt++
	if bound <= b.Min {
		return b.Min
	}
	return b.Min + rand.N(bound-b.Min)
}

// Reset starts over after a success.
func (b *Backoff) Reset() { b.attempt = 0 }
