package main

import "context"

// acknowledging tells the agent which of its configurations the Envoy follows.
type acknowledging struct {
	// wake holds one signal.
	wake chan struct{}
	// following is the digest of the set that the Envoy is offered, settled whether it has accepted all that it asked for of it, and tell
	// brings the agent the news.
	following func() string
	settled   func() bool
	tell      func(set string)
}

// poke has it look around; it never blocks.
func (a *acknowledging) poke() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// run tells of each set that the Envoy has settled on. A set that changes nothing of what the Envoy asked for is settled at once.
func (a *acknowledging) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.wake:
		}
		set := a.following()
		// Only a set that was offered before and after the look is what the Envoy has settled on.
		if a.settled() && a.following() == set {
			a.tell(set)
		}
	}
}
