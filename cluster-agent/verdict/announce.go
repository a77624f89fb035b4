package verdict

import (
	"maps"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

const (
	// Refrain is how often an address whose verdict keeps changing is heard of: two changes go at once, further ones wait until one
	// per Refrain is not exceeded.
	Refrain = time.Second
	// MaxPerCluster bounds the addresses of one cluster that are told of, so that the record stays within its size.
	MaxPerCluster = 256
)

// Finding is an agent's own verdict on one address.
type Finding struct {
	Address
	State State
	// Since is when State was reached.
	Since time.Time
}

// Announced is what an agent tells of its own verdicts. The zero value has told nothing. It is a value: Step returns the next one and
// leaves its receiver as it was.
type Announced struct {
	entries map[Address]announcement
}

type announcement struct {
	// told is what is said of the address; Unknown is nothing.
	told  State
	since time.Time
	// spent is the time up to which the address has used up its changes, one per Refrain.
	spent time.Time
}

// Step takes all of the agent's findings, each address once, and returns what to tell: one set per judged cluster, sorted by cluster.
// Addresses that are not judged are left out. next is when Step must be called again with whatever the findings are by then; zero when
// nothing waits.
func (a Announced) Step(findings []Finding, now time.Time) (to Announced, sets []model.VerdictSet, next time.Time) {
	to.entries = make(map[Address]announcement, len(findings))
	consider := func(address Address, state State, since time.Time) {
		e := a.entries[address]
		if e.told != state {
			if wait := e.spent.Add(-Refrain); now.Before(wait) {
				next = earlier(next, wait)
			} else {
				e = announcement{told: state, since: since, spent: later(e.spent, now).Add(Refrain)}
			}
		}
		// What says nothing is remembered as long as it could say too much.
		if e.told != Unknown || now.Before(e.spent) {
			to.entries[address] = e
		}
	}
	for _, f := range findings {
		consider(f.Address, f.State, f.Since)
	}
	seen := make(map[Address]bool, len(findings))
	for _, f := range findings {
		seen[f.Address] = true
	}
	for address := range a.entries {
		if !seen[address] {
			consider(address, Unknown, time.Time{})
		}
	}
	return to, to.sets(), next
}

// sets gathers what is told by judged cluster.
func (a Announced) sets() []model.VerdictSet {
	var out []model.VerdictSet
	for _, address := range slices.SortedFunc(maps.Keys(a.entries), Address.Compare) {
		e := a.entries[address]
		if e.told == Unknown {
			continue
		}
		if len(out) == 0 || out[len(out)-1].Cluster != address.Cluster {
			out = append(out, model.VerdictSet{Cluster: address.Cluster})
		}
		set := &out[len(out)-1]
		if len(set.Verdicts) < MaxPerCluster {
			set.Verdicts = append(set.Verdicts, model.Verdict{
				Gateway: address.Gateway, Address: address.IP.String(), Port: address.Port, Bad: e.told == Bad, Since: e.since,
			})
		}
	}
	return out
}

// earlier is the earlier of two times; a zero one is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
