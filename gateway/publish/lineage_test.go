package publish

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// TestLineageKnowsUpToWhenASetWasRight drives a class through sets and state indexes beside a plain list of what was in force.
func TestLineageKnowsUpToWhenASetWasRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l lineage
		truth, order := map[string]uint64{}, []string{}
		index, current := uint64(0), ""
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			index += rapid.Uint64Range(0, 2).Draw(t, "entries")
			if rapid.Bool().Draw(t, "changes") {
				current = fmt.Sprint(rapid.IntRange(0, 150).Draw(t, "set"))
				before := l
				l = l.give(current, index)
				if old, known := before.index("x"); known || old != 0 {
					t.Fatal("a set that was never given is known")
				}
			} else {
				l = l.confirm(index)
			}
			if current == "" {
				continue
			}
			truth[current] = index
			if len(order) == 0 || order[len(order)-1] != current {
				order = append(order, current)
			}
			for i, set := range order {
				got, ok := l.index(set)
				if recent := i >= len(order)-maxSets; recent && (!ok || got != truth[set]) || ok && got > truth[set] {
					t.Fatalf("set %s is known as of %d (%v), it was right up to %d", set, got, ok, truth[set])
				}
			}
			if len(l.sets) > maxSets {
				t.Fatalf("%d sets are remembered", len(l.sets))
			}
		}
	})
}

func TestLineageOfALogThatBeganAnew(t *testing.T) {
	l := lineage{}.give("a", 90).give("b", 91).restart(3)
	if i, ok := l.index("b"); !ok || i != 3 {
		t.Errorf("b is known as of %d, %v", i, ok)
	}
	if _, ok := l.index("a"); ok {
		t.Error("a is known as of a state that is no more")
	}
}
