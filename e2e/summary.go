//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// summary is what a run did.
type summary struct {
	rounds, leaderKills, torn int
	tally                     tally
	// silences are each round's longest time without an acknowledged write.
	silences []time.Duration
}

// String is one line.
func (s summary) String() string {
	each := make([]string, len(s.silences))
	for i, d := range s.silences {
		each[i] = fmt.Sprint(d.Milliseconds())
	}
	return fmt.Sprintf("summary: %d writes acknowledged, %d reached nobody, %d of unknown fate; %d rounds of kill -9, %d of them of the leader, "+
		"%d with a torn log; longest time without an acknowledged write per round in ms: %s; at most %d",
		s.tally.acknowledged, s.tally.refused, s.tally.unknown, s.rounds, s.leaderKills, s.torn,
		strings.Join(each, " "), slices.Max(s.silences).Milliseconds())
}
