package verdict

import (
	"math/bits"
	"time"
)

const (
	// A path is taken for degraded when its round trip is farFactor times its distance and longer than that by farExcess: then every
	// handshake takes as long as a lost packet elsewhere.
	farFactor = 3
	farExcess = 100 * time.Millisecond
	// It is, too, when lossyProbes of the last 16 had to send something again. With 5 % loss every fourth has to, with 1 % every
	// twentieth.
	lossyProbes = 4
	// Rest is how long a degraded path must have shown neither before calls go back to it.
	Rest = 30 * time.Second
	// settling is the share of what a path has become longer by which one probe makes it usual: one that went from 80 ms to 300 ms is
	// taken for usual after seven minutes.
	settling = 4096
)

// Path is what the probes of an address have shown of the way to it. The zero value is a way of which nothing is known.
type Path struct {
	// Degraded says that calls should rather go where none of this is seen: the way has become much longer, or loses packets. Whoever
	// answers at its end is not worse for it.
	Degraded bool
	// distance is the round trip as it usually is; zero before the first.
	distance time.Duration
	// resent has a bit for each of the last probes, the last one lowest, that is set when something had to be sent again.
	resent uint16
	// until is when the last trouble will have been Rest ago.
	until time.Time
}

// step is the path after one more probe.
func (p Path) step(o Outcome, at time.Time) Path {
	p.resent <<= 1
	if o.Resent {
		p.resent |= 1
	}
	far := p.distance > 0 && o.RoundTrip >= farFactor*p.distance && o.RoundTrip >= p.distance+farExcess
	if far || bits.OnesCount16(p.resent) >= lossyProbes {
		p.until = at.Add(Rest)
	}
	p.Degraded = at.Before(p.until)
	switch {
	case o.RoundTrip == 0:
	case p.distance == 0 || o.RoundTrip < p.distance:
		p.distance = o.RoundTrip
	default:
		// What stays far for minutes is a longer way, not a disturbed one.
		p.distance += max(1, (o.RoundTrip-p.distance)/settling)
	}
	return p
}

// doubtful reports whether one of the last few probes had to send something again: a look at more of them tells loss from chance.
func (p Path) doubtful() bool {
	const few = 0b111
	return !p.Degraded && p.resent&few != 0
}
