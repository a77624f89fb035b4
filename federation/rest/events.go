package rest

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/api/model"
)

// EventType says what happened.
type EventType string

// The types of events. Those in the first group happen; the others begin and end.
const (
	EventClusterJoined EventType = "ClusterJoined"
	EventClusterLeft   EventType = "ClusterLeft"
	EventNodeJoined    EventType = "NodeJoined"
	EventNodeLeft      EventType = "NodeLeft"
	EventLeaderChanged EventType = "LeaderChanged"

	EventNoLeader           EventType = "NoLeader"
	EventNodeDead           EventType = "NodeDead"
	EventAgentConnected     EventType = "AgentConnected"
	EventFeedSilent         EventType = "FeedSilent"
	EventFeedStale          EventType = "FeedStale"
	EventSlowedDown         EventType = "SlowedDown"
	EventConflict           EventType = "Conflict"
	EventRecordRefused      EventType = "RecordRefused"
	EventRemovalsHeld       EventType = "RemovalsHeld"
	EventDropped            EventType = "Dropped"
	EventNack               EventType = "Nack"
	EventGatewayUnreachable EventType = "GatewayUnreachable"
)

// Phase says which end of what lasts an event is; it is empty for what happens in a moment.
type Phase string

// The phases.
const (
	PhaseBegan Phase = "began"
	PhaseEnded Phase = "ended"
)

// Event is something that an operator would want to have seen, as one node saw it.
type Event struct {
	// Sequence rises with each event of a node, also over its restarts.
	Sequence uint64    `json:"sequence"`
	At       time.Time `json:"at"`
	Type     EventType `json:"type" enum:"ClusterJoined,ClusterLeft,NodeJoined,NodeLeft,LeaderChanged,NoLeader,NodeDead,AgentConnected,FeedSilent,FeedStale,SlowedDown,Conflict,RecordRefused,RemovalsHeld,Dropped,Nack,GatewayUnreachable"`
	Phase    Phase     `json:"phase,omitempty" enum:"began,ended" doc:"Absent for what happens in a moment"`
	Subject  model.Ref `json:"subject"`
	Message  string    `json:"message"`
}

const eventsDescription = `What the answering node has seen happen, oldest first. The events are its own: each node sees for itself, keeps the last 1,000 in memory and
forgets them when it restarts. It looks every two seconds; what begins and ends in between is not seen. To follow, ask again with "after" set to
the sequence of the last event.`

// EventFilter chooses events.
type EventFilter struct {
	After uint64    `query:"after" maximum:"9007199254740991" doc:"Only events with a higher sequence"`
	Type  EventType `query:"type" enum:"ClusterJoined,ClusterLeft,NodeJoined,NodeLeft,LeaderChanged,NoLeader,NodeDead,AgentConnected,FeedSilent,FeedStale,SlowedDown,Conflict,RecordRefused,RemovalsHeld,Dropped,Nack,GatewayUnreachable" doc:"Only events of this type"`
	Kind  string    `query:"kind" enum:"Cluster,Node,Federation" doc:"Only events about objects of this kind"`
	Name  string    `query:"name" maxLength:"253" doc:"Only events about objects of this name"`
}

func (f EventFilter) admits(e Event) bool {
	return e.Sequence > f.After && cmp.Or(f.Type, e.Type) == e.Type &&
		cmp.Or(f.Kind, e.Subject.Kind) == e.Subject.Kind && cmp.Or(f.Name, e.Subject.Name) == e.Subject.Name
}

func (f EventFilter) texts() []string {
	return []string{strconv.FormatUint(f.After, 10), string(f.Type), f.Kind, f.Name}
}

func (s *service) registerEvents(api huma.API) {
	const path = "/v1/events"
	op := described(operation("Events", "list-events", http.MethodGet, path, "List what this node has seen happen, oldest first"), eventsDescription)
	huma.Register(api, op, func(_ context.Context, in *struct {
		ReadOptions
		PageOptions
		EventFilter
	}) (*struct{ Body List[Event] }, error) {
		found, err := page(keep(s.journal.list(), in.admits), eventKey, in.PageOptions, path, in.texts()...)
		return &struct{ Body List[Event] }{found}, err
	})
}

func eventKey(e Event) string { return fmt.Sprintf("%020d", e.Sequence) }

// maxEvents is how many events a node remembers.
const maxEvents = 1000

// journal holds a node's last events. It is safe for concurrent use.
type journal struct {
	mu     sync.Mutex
	events []Event
	last   uint64
}

// startJournal returns an empty journal. Its sequence begins with the time in milliseconds: a client that follows goes on when the node has
// restarted, as no node sees a thousand events a second for long.
func startJournal(now time.Time) *journal { return &journal{last: uint64(max(0, now.UnixMilli()))} }

// add numbers events and keeps them.
func (j *journal) add(now time.Time, events []Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range events {
		j.last++
		e.Sequence, e.At = j.last, now
		j.events = append(j.events, e)
	}
	j.events = j.events[max(0, len(j.events)-maxEvents):]
}

// list returns the events, oldest first.
func (j *journal) list() []Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.events[:len(j.events):len(j.events)]
}
