package consensus

import (
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hanse-mesh/hanse/federation/state"
)

// Status is how the node stands in the group.
type Status struct {
	// Role is one of leader, follower, candidate, shutdown.
	Role string `json:"role"`
	// Leader is the leader's name; empty when none is known.
	Leader       string `json:"leader"`
	Term         uint64 `json:"term"`
	LastIndex    uint64 `json:"lastIndex"`
	CommitIndex  uint64 `json:"commitIndex"`
	AppliedIndex uint64 `json:"appliedIndex"`
	// LastContact is when the node last heard of the leader; zero on the leader itself and before the first time.
	LastContact time.Time `json:"lastContact,omitzero"`
	// Peers are all members of the group, this node with them.
	Peers []Peer `json:"peers"`
}

// Peer is a member of the group.
type Peer struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Voter   bool   `json:"voter"`
}

// View returns the state as far as this node has applied it. On a follower it can be behind the leader.
func (n *Node) View() *state.View { return n.fsm.current.Load().view }

// Watch returns the view and a channel that is closed when there is a newer one.
func (n *Node) Watch() (*state.View, <-chan struct{}) {
	p := n.fsm.current.Load()
	return p.view, p.changed
}

// IsLeader reports whether this node believes that it leads. It may have lost the leadership without knowing it yet: Barrier makes sure.
func (n *Node) IsLeader() bool { return n.raft.State() == raft.Leader }

// Leader returns the name and raft address of the leader that the node knows.
func (n *Node) Leader() (name, address string, ok bool) {
	a, id := n.raft.LeaderWithID()
	return string(id), string(a), id != ""
}

// LeaderContact is when this node last heard of its leader, now on the leader itself; false when it has not yet.
func (n *Node) LeaderContact() (time.Time, bool) {
	if n.IsLeader() {
		return n.cfg.Clock.Now(), true
	}
	at := n.raft.LastContact()
	return at, !at.IsZero()
}

// Status reports how the node stands in the group.
func (n *Node) Status() Status {
	leader, _, _ := n.Leader()
	s := Status{
		Role:         strings.ToLower(n.raft.State().String()),
		Leader:       leader,
		Term:         n.raft.CurrentTerm(),
		LastIndex:    n.raft.LastIndex(),
		CommitIndex:  n.raft.CommitIndex(),
		AppliedIndex: n.raft.AppliedIndex(),
	}
	if !n.IsLeader() {
		s.LastContact = n.raft.LastContact()
	}
	for _, server := range n.raft.GetConfiguration().Configuration().Servers {
		s.Peers = append(s.Peers, Peer{Name: string(server.ID), Address: string(server.Address), Voter: server.Suffrage == raft.Voter})
	}
	return s
}
