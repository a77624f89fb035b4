package rest

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
)

func genObservation() *rapid.Generator[observation] {
	return rapid.Custom(func(t *rapid.T) observation {
		o := observation{leader: rapid.SampledFrom([]string{"n1", "n2"}).Draw(t, "leader"), members: map[model.Ref]uint64{}, conditions: map[condition]wording{}}
		for _, ref := range []model.Ref{{Kind: model.KindNode, Name: "a"}, {Kind: model.KindCluster, Name: "a"}, {Kind: model.KindCluster, Name: "b"}} {
			if !rapid.Bool().Draw(t, "member") {
				continue
			}
			o.members[ref] = 0
			if ref.Kind == model.KindCluster {
				o.members[ref] = rapid.Uint64Range(1, 2).Draw(t, "incarnation")
			}
			for _, c := range rapid.SliceOfN(rapid.SampledFrom([]EventType{EventFeedSilent, EventNack}), 0, 3).Draw(t, "conditions") {
				detail := rapid.SampledFrom([]string{"", "x"}).Draw(t, "detail")
				o.note(c, ref, detail, fmt.Sprint(c, ref, detail), fmt.Sprint(c, ref, detail))
			}
		}
		return o
	})
}

// Law: who knows what was, and what happened, knows what is. Nothing is said of what is as it was, and the order does not depend on chance.
func TestEventsLeadFromOneObservationToTheNext(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, after := genObservation().Draw(t, "before"), genObservation().Draw(t, "after")
		events := transitions(before, after)
		if again := transitions(before, after); !slices.Equal(events, again) {
			t.Fatalf("%v, and again %v", events, again)
		}
		if same := transitions(after, after); len(same) != 0 {
			t.Fatalf("nothing happened, and it says %v", same)
		}
		members, lasting := maps.Clone(before.members), map[string]bool{}
		for _, w := range before.conditions {
			lasting[w.began] = true
		}
		for _, e := range events {
			switch {
			case e.Type == EventClusterLeft, e.Type == EventNodeLeft:
				delete(members, e.Subject)
			case e.Type == EventClusterJoined, e.Type == EventNodeJoined:
				members[e.Subject] = after.members[e.Subject]
			case e.Phase == PhaseEnded:
				delete(lasting, e.Message)
			case e.Phase == PhaseBegan:
				lasting[e.Message] = true
			}
		}
		if !maps.Equal(members, after.members) {
			t.Fatalf("members are %v, want %v after %v", members, after.members, events)
		}
		for c, w := range before.conditions {
			if _, there := after.members[c.Subject]; !there {
				delete(lasting, w.began)
			}
		}
		want := map[string]bool{}
		for _, w := range after.conditions {
			want[w.began] = true
		}
		if !maps.Equal(lasting, want) {
			t.Fatalf("lasting are %v, want %v after %v", lasting, want, events)
		}
	})
}

func TestTextsAreTheSameWhenOnlyNumbersDiffer(t *testing.T) {
	const text = "%d of 20 services of cluster us1 vanished at once; held until 2026-03-01T12:00:%02dZ; confirm it"
	if a, b := withoutNumbers(fmt.Sprintf(text, 11, 0)), withoutNumbers(fmt.Sprintf(text, 12, 30)); a != b || a != "of services of cluster us1 vanished at once; held until confirm it" {
		t.Errorf("%q and %q", a, b)
	}
}
