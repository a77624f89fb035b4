package rest

import (
	"cmp"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
)

// observation is what a node sees at one moment, in a form in which two can be compared.
type observation struct {
	// leader is the last leader that was known.
	leader string
	// members are the federation's nodes, with 0, and clusters, with their incarnations.
	members    map[model.Ref]uint64
	conditions map[condition]wording
}

// condition is something that lasts. Two conditions are the same when they are equal: what changes while one lasts does not belong here.
type condition struct {
	Type    EventType
	Subject model.Ref
	// Detail tells several conditions of one type and subject apart.
	Detail string
}

// wording is what is said when a condition begins and when it ends.
type wording struct{ began, ended string }

// transitions say what happened between two observations, in a fixed order: what ended, what happened, what began.
func transitions(before, after observation) []Event {
	var out []Event
	for c, text := range before.conditions {
		// What is gone has not become better.
		if _, lasts := after.conditions[c]; !lasts && after.has(c.Subject) {
			out = append(out, Event{Type: c.Type, Phase: PhaseEnded, Subject: c.Subject, Message: text.ended})
		}
	}
	slices.SortFunc(out, compareEvents)
	out = append(out, comings(before, after)...)
	ended := len(out)
	for c, text := range after.conditions {
		if _, lasted := before.conditions[c]; !lasted {
			out = append(out, Event{Type: c.Type, Phase: PhaseBegan, Subject: c.Subject, Message: text.began})
		}
	}
	slices.SortFunc(out[ended:], compareEvents)
	return out
}

func compareEvents(a, b Event) int {
	return cmp.Or(strings.Compare(string(a.Type), string(b.Type)), strings.Compare(a.Subject.String(), b.Subject.String()), strings.Compare(a.Message, b.Message))
}

// has reports whether the subject of a condition is there; the federation always is.
func (o observation) has(subject model.Ref) bool {
	_, member := o.members[subject]
	return member || subject.Kind == kindFederation
}

// comings are the members that left and joined, and a new leader.
func comings(before, after observation) []Event {
	var out []Event
	for ref, incarnation := range before.members {
		if now, stays := after.members[ref]; !stays || now != incarnation {
			out = append(out, memberLeft(ref))
		}
	}
	slices.SortFunc(out, compareEvents)
	gone := len(out)
	for ref, incarnation := range after.members {
		if was, stayed := before.members[ref]; !stayed || was != incarnation {
			out = append(out, memberJoined(ref))
		}
	}
	slices.SortFunc(out[gone:], compareEvents)
	if after.leader != before.leader && before.leader != "" {
		out = append(out, Event{
			Type: EventLeaderChanged, Subject: model.Ref{Kind: model.KindNode, Name: after.leader},
			Message: "node " + after.leader + " leads, and no longer " + before.leader,
		})
	}
	return out
}

func memberLeft(ref model.Ref) Event {
	if ref.Kind == model.KindNode {
		return Event{Type: EventNodeLeft, Subject: ref, Message: "node " + ref.Name + " was removed from the federation"}
	}
	return Event{Type: EventClusterLeft, Subject: ref, Message: "cluster " + ref.Name + " is no member any more"}
}

func memberJoined(ref model.Ref) Event {
	if ref.Kind == model.KindNode {
		return Event{Type: EventNodeJoined, Subject: ref, Message: "node " + ref.Name + " has joined the federation"}
	}
	return Event{Type: EventClusterJoined, Subject: ref, Message: "cluster " + ref.Name + " has joined the federation"}
}
