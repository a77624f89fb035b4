package verdict

import "time"

// Own is what an agent's own probes of one address have shown. The zero value is an address that was not probed yet.
type Own struct {
	State State
	// Since is when State was last reached; zero while Unknown.
	Since time.Time
	// LastError is why the last probe failed; empty when it succeeded.
	LastError string
	// Connect is how long the last TCP connection took to stand: one round trip. A probe that failed later has one too.
	Connect time.Duration
	// RTT is how long the last successful probe took: TCP, TLS and an answer.
	RTT time.Duration
	// usual is Connect without the outliers that lost packets make; zero before the first connection.
	usual time.Duration
	// streak counts the latest outcomes that agree with each other and not with State.
	streak int
	Path
}

// Outcome is the result of one probe; Err is empty when it succeeded.
type Outcome struct {
	Err string
	// Connect is zero when no connection stood.
	Connect time.Duration
	RTT     time.Duration
	// RoundTrip is the shortest of the connection's round trips; zero when none is known. One that is long once is a path that is long.
	RoundTrip time.Duration
	// Resent says that this side had to send something again.
	Resent bool
}

// Thresholds say how many outcomes in a row change the state; values below 1 count as 1.
type Thresholds struct {
	Bad, Good int
}

// DefaultThresholds never let a single failure condemn an address: a refused connection is what a gateway that restarts shows for a
// moment.
var DefaultThresholds = Thresholds{Bad: 2, Good: 1}

// Step is the verdict after one more outcome at a time.
func Step(v Own, o Outcome, th Thresholds, at time.Time) Own {
	to, need := Good, th.Good
	if o.Err != "" {
		to, need = Bad, th.Bad
	} else {
		v.RTT = o.RTT
	}
	if o.Connect > 0 {
		v.Connect, v.usual = o.Connect, smooth(v.usual, o.Connect)
	}
	switch {
	case v.State == to:
		v.streak = 0
	case (v.LastError != "") != (o.Err != ""):
		v.streak = 1
	default:
		v.streak++
	}
	v.LastError, v.Path = o.Err, v.step(o, at)
	if v.State != to && v.streak >= need {
		v.State, v.Since, v.streak = to, at, 0
	}
	return v
}

// smooth follows a shorter round trip at once and a longer one by an eighth: one lost SYN adds a whole second, a longer path stays.
func smooth(usual, connect time.Duration) time.Duration {
	if usual == 0 || connect < usual {
		return connect
	}
	return usual + (connect-usual)/8
}

// Doubtful reports whether the last outcome contradicts the state, or the path may have become worse: then the next probe should not
// wait long.
func (v Own) Doubtful() bool { return v.streak > 0 || v.doubtful() }

// Pace is how often an address is probed.
type Pace struct {
	// Steady is the time from the beginning of a probe to that of the next while nothing is in doubt, Raised while something is. No
	// address is probed more often than once in Raised, whatever others say.
	Steady, Raised time.Duration
}

// DefaultPace finds a gateway that refuses connections after 0.8 s on average and 1.4 s at most.
var DefaultPace = Pace{Steady: time.Second, Raised: 250 * time.Millisecond}

// Pause is the time from the beginning of an address's last probe to that of the next.
func (p Pace) Pause(v Own, suspicious bool) time.Duration {
	if suspicious || v.Doubtful() {
		return min(p.Steady, p.Raised)
	}
	return p.Steady
}

// Patience is how long a probe may take. A probe takes three round trips: one for TCP, one for TLS, one for the answer. Each of its
// two parts is given six times the round trip, which leaves room for one lost packet: a retransmission comes after three round trips
// (RFC 6298, 2: the first RTT + 4 × RTT/2). So a gateway 300 ms away is not taken for dead, and one that is near and hangs is found
// out by two probes of Answer, the second of which follows at once.
type Patience struct {
	// Connect is the least time for a connection to stand. It should exceed a second, after which a lost SYN is sent again.
	Connect time.Duration
	// Answer is the least time from the connection to the answer.
	Answer time.Duration
	// Max bounds each part, and is what a connection to an address gets that never answered.
	Max time.Duration
}

// DefaultPatience finds a near gateway that hangs after 2.3 s on average and 2.9 s at most, and one whose packets vanish after 2.9 s and
// 3.5 s.
var DefaultPatience = Patience{Connect: 1200 * time.Millisecond, Answer: 900 * time.Millisecond, Max: 3 * time.Second}

// trips is how many round trips each part of a probe is given.
const trips = 6

// ForConnect is how long the connection to an address may take.
func (p Patience) ForConnect(v Own) time.Duration {
	if v.usual == 0 {
		return max(p.Connect, p.Max)
	}
	return clamp(trips*v.usual, p.Connect, p.Max)
}

// ForAnswer is how long the rest of a probe may take whose connection took connect. It goes by this probe's own round trip: a path
// that has just become longer must not look like a gateway that hangs.
func (p Patience) ForAnswer(connect time.Duration) time.Duration {
	return clamp(trips*connect, p.Answer, p.Max)
}

// clamp keeps d between least and most; least wins when they cross.
func clamp(d, least, most time.Duration) time.Duration { return max(least, min(d, most)) }
