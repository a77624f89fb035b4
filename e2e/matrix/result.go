// Package matrix owns the fault matrix: three regions as real processes behind a network that can be slowed, lossy and cut, calls from
// one region to another, every way to die, and what that costs the calls. What judges and prints is here for all builds; what runs is
// built with the tag e2e.
package matrix

import (
	"fmt"
	"slices"
	"time"
)

// Result is a run of the matrix.
type Result struct {
	// Rate is calls per second and protocol; the protocols of a pass run at once.
	Rate int `json:"rate"`
	// Idle is the share of the machine's processors that was idle under a pass's load before its first fault, from 0 to 1.
	Idle map[string]float64 `json:"idle"`
	// RoundTrips are in milliseconds, by pair of regions.
	RoundTrips map[string]int64 `json:"roundTrips"`
	Rows       []RowResult      `json:"rows"`
	// Lost counts frames that the network lost without being told to.
	Lost int64 `json:"lost"`
}

// add puts a row of one pass beside what the other passes found of the same fault.
func (r *Result) add(row RowResult) {
	for i := range r.Rows {
		if held := &r.Rows[i]; held.Name == row.Name {
			held.Calls = append(held.Calls, row.Calls...)
			held.Broken = append(held.Broken, row.Broken...)
			held.Hold, held.Steady = max(held.Hold, row.Hold), max(held.Steady, row.Steady)
			held.Turns = max(held.Turns, row.Turns)
			if row.Sessions.Open > 0 {
				held.Sessions = row.Sessions
			}
			return
		}
	}
	r.Rows = append(r.Rows, row)
}

// whole reports whether as many rows as there are have been run, each with all protocols.
func (r Result) whole(rows int) bool {
	return len(r.Rows) == rows && !slices.ContainsFunc(r.Rows, func(row RowResult) bool { return len(row.Calls) != len(Protocols) })
}

// RowResult is what one fault cost.
type RowResult struct {
	Name  string `json:"name"`
	Bound Bound  `json:"bound"`
	// EndsSessions says that the fault takes the way of old TCP sessions: they must be closed within 5 s.
	EndsSessions bool `json:"endsSessions"`
	// Hold is how long the fault lasted, Steady how long after its end everything was as before, in seconds.
	Hold   float64 `json:"hold"`
	Steady float64 `json:"steady"`
	// Calls are by protocol: "HTTP", "gRPC", "TCP".
	Calls    []CallResult  `json:"calls"`
	Sessions SessionResult `json:"sessions"`
	// Turns are how often the faulty workload's part in the calls went or came back while it flapped.
	Turns  int      `json:"turns,omitempty"`
	Broken []string `json:"broken,omitempty"`
}

// Bound is what a row must keep.
type Bound string

// The bounds.
const (
	// Recovers allows no failed call that was due later than 3 s after the fault.
	Recovers Bound = "recovers"
	// Unharmed allows no failed call at all.
	Unharmed Bound = "unharmed"
	// UnharmedSafe allows no failed GET at all; what must not be sent twice may fail as in Recovers.
	UnharmedSafe Bound = "unharmed, if it may be repeated"
)

// Late is how long after the fault calls may still fail.
const Late = 3 * time.Second

// CallResult is what became of one protocol's calls, from the fault until everything was as before. For TCP it counts calls on new
// connections.
type CallResult struct {
	Protocol string `json:"protocol"`
	Calls    int    `json:"calls"`
	Failed   int    `json:"failed"`
	// FailedPosts are those of Failed that must not be sent twice.
	FailedPosts int `json:"failedPosts"`
	// FailedLate are those of Failed that were due later than 3 s after the fault.
	FailedLate int `json:"failedLate"`
	Slow       int `json:"slow"`
	// Recovery is when the last failing or slow call was due, in seconds after the fault; 0 when there was none.
	Recovery float64 `json:"recovery"`
	Worst    float64 `json:"worst"`
	// Before and During say who answered.
	Before map[string]int `json:"before"`
	During map[string]int `json:"during"`
	Sample string         `json:"sample,omitempty"`
	// Kept is, for TCP, the same of calls on kept connections, which no bound covers.
	Kept *CallResult `json:"kept,omitempty"`
}

// SessionResult is what became of TCP sessions that were open before the fault.
type SessionResult struct {
	Open int `json:"open"`
	// Lived answered at the end as they did before.
	Lived int `json:"lived"`
	// Closed were closed by the other side, the last of them LastClosed seconds after the fault.
	Closed     int     `json:"closed"`
	LastClosed float64 `json:"lastClosed"`
	// Stuck neither answered nor were closed within 5 s of the fault.
	Stuck int `json:"stuck"`
}

// String says what became of the sessions.
func (s SessionResult) String() string {
	text := fmt.Sprintf("%d old sessions: %d go on", s.Open, s.Lived)
	if s.Closed > 0 {
		text += fmt.Sprintf(", %d closed within %.1f s", s.Closed, s.LastClosed)
	}
	if s.Stuck > 0 {
		text += fmt.Sprintf(", %d stuck", s.Stuck)
	}
	return text
}

// sessionBound is how long after a fault a session may be neither closed nor answering.
const sessionBound = 5 * time.Second
