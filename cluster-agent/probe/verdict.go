package probe

import "time"

// State is what is known of a gateway's address.
type State int

// The states. Unknown counts as healthy: what has not been tried yet must not be avoided.
const (
	Unknown State = iota
	Good
	Bad
)

// String returns "unknown", "good" or "bad".
func (s State) String() string {
	switch s {
	case Good:
		return "good"
	case Bad:
		return "bad"
	default:
		return "unknown"
	}
}

// Verdict is what the probes of one address have shown.
type Verdict struct {
	State State
	// Since is when State was last reached; zero while Unknown.
	Since time.Time
	// LastError is why the last probe failed; empty when it succeeded.
	LastError string
	// RTT is how long the last successful probe took.
	RTT time.Duration
	// streak counts the latest outcomes that agree with each other and not with State.
	streak int
}

// Outcome is the result of one probe; Err is empty when it succeeded.
type Outcome struct {
	Err string
	RTT time.Duration
}

// Thresholds say how many outcomes in a row change the state; values below 1 count as 1.
type Thresholds struct {
	Bad, Good int
}

// Step is the verdict after one more outcome at a time. A single failure never condemns an address when Bad is 2: a refused
// connection is what a gateway that restarts shows for a moment.
func Step(v Verdict, o Outcome, th Thresholds, at time.Time) Verdict {
	to, need := Good, th.Good
	if o.Err != "" {
		to, need = Bad, th.Bad
	} else {
		v.RTT = o.RTT
	}
	switch {
	case v.State == to:
		v.streak = 0
	case (v.LastError != "") != (o.Err != ""):
		v.streak = 1
	default:
		v.streak++
	}
	v.LastError = o.Err
	if v.State != to && v.streak >= need {
		v.State, v.Since, v.streak = to, at, 0
	}
	return v
}

// Doubtful reports whether the last outcome contradicts the state: then the next probe should not wait long.
func (v Verdict) Doubtful() bool { return v.streak > 0 }
