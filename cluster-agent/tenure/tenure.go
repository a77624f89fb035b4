// Package tenure owns which of several processes that run as one cluster's agent publishes.
//
// It is pure: each process decides for itself, from what it has published and from what nodes tell of who publishes. Laws (tested): once
// messages arrive, exactly one of two processes publishes, and stays the one while it gives signs of life; a process that has just
// started takes over at once, as a restart must; one that was superseded goes on when the other has been silent for Silence.
package tenure

import (
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

// Silence is how long a publisher must have given no sign of life before a process that it has superseded publishes again.
const Silence = 10 * time.Second

// Tenure is what one process knows. The zero value with Instance set has published nothing. Values are not changed: methods return the next.
type Tenure struct {
	// Instance is this process.
	Instance string
	// published is the last version that this process has sent; zero before the first.
	published model.Version
	// newest is the newest version that was published or told of, and holder whose it is.
	newest model.Version
	holder string
	// silent is when the holder has been silent for long enough; zero while it is known to live.
	silent time.Time
}

// Word is what a node tells of a cluster's publisher.
type Word struct {
	// Instance is the process whose state is held, Held its version; both are zero while nothing is held.
	Instance string
	Held     model.Version
	// Fresh says that the process gave a sign of life within Silence, by the node's clock.
	Fresh bool
}

// Publish notes that this process is about to send a version.
func (t Tenure) Publish(v model.Version) Tenure {
	t.published = v
	if v.Compare(t.newest) > 0 {
		t.newest, t.holder, t.silent = v, t.Instance, time.Time{}
	}
	return t
}

// Told takes a node's word. One of a version that is older than what is known comes from a node that lags behind: it says only that
// nobody is known to live there. But of two processes in one epoch a node takes one only, however far the other has counted: a new epoch
// has to decide.
func (t Tenure) Told(w Word, now time.Time) Tenure {
	shared := w.Held.SameEpoch(t.newest) && w.Instance != t.Instance && t.holder == t.Instance
	switch {
	case w.Instance == "" || w.Held.Compare(t.newest) < 0 && !shared:
		return t.Untold(now)
	case w.Fresh:
		t.silent = time.Time{}
	default:
		t.silent = now
	}
	if t.holder = w.Instance; w.Held.Compare(t.newest) > 0 {
		t.newest = w.Held
	}
	return t
}

// Untold notes that a session has begun whose node knows nothing of the publisher, or does not tell: it may be long gone.
func (t Tenure) Untold(now time.Time) Tenure {
	if t.silent.IsZero() {
		t.silent = now.Add(Silence)
	}
	return t
}

// Superseded returns the process that has taken over from this one; ok is false when none has.
func (t Tenure) Superseded() (by string, ok bool) {
	if t.published.IsZero() || t.holder == t.Instance {
		return "", false
	}
	return t.holder, true
}

// May reports whether this process publishes now. If it does not, and nothing else comes to be known, it does from next on; zero is never.
func (t Tenure) May(now time.Time) (ok bool, next time.Time) {
	if _, superseded := t.Superseded(); !superseded {
		return true, time.Time{}
	}
	return !t.silent.IsZero() && !now.Before(t.silent), t.silent
}

// Published returns the last version that this process has sent; zero before the first.
func (t Tenure) Published() model.Version { return t.published }

// Newest returns the newest version that is known of the cluster: what is published next must be newer.
func (t Tenure) Newest() model.Version { return t.newest }
