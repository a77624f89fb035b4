package server

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/state"
)

// MaxVoters is how many nodes may vote. Seven survive the loss of any three; every voter more makes each write wait for one more disk,
// and each election for one more answer. Nodes beyond them are replicas, which do all but vote.
const MaxVoters = 7

const (
	// groupEvery is how often the leader looks for nodes that the Raft group lacks.
	groupEvery    = 2 * time.Second
	reachableWait = 2 * time.Second
	addNodeWait   = 15 * time.Second
)

// GroupMember is a node as the Raft configuration holds it.
type GroupMember struct {
	// Address is the Raft address under which the others reach it.
	Address string
	Voter   bool
}

// keepGroup brings the nodes of the state into the Raft group, each in its role, once its Raft address answers: a voter that does not
// would weaken the quorum for as long as it is away. Nodes that the state has forgotten leave the group. Only the leader acts.
func (s *Server) keepGroup(ctx context.Context) error {
	for {
		if s.leads() {
			s.completeGroup(ctx)
		}
		timer := s.cfg.Clock.NewTimer(groupEvery)
		select {
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

func (s *Server) completeGroup(ctx context.Context) {
	group := s.cfg.Group()
	var lacking []model.Node
	for _, n := range s.view().NodeList() {
		if held, in := group[n.Name]; groupLacks(n, held, in) {
			lacking = append(lacking, n)
		}
	}
	for _, n := range s.answering(ctx, lacking) {
		if ctx.Err() != nil || !s.leads() {
			return
		}
		s.bringIn(ctx, n)
	}
	s.dismissForgotten(ctx, group)
}

// dismissForgotten has those leave the group whom the state does not know. The state is younger than the group was when it was read: who
// joins stands in the state first.
func (s *Server) dismissForgotten(ctx context.Context, group map[string]GroupMember) {
	view := s.view()
	if view.Federation == "" {
		return
	}
	for name := range group {
		if _, known := view.Nodes[name]; known || name == s.cfg.Node.Name {
			continue
		}
		if err := within(ctx, addNodeWait, func(ctx context.Context) error { return s.cfg.Dismiss(ctx, name) }); err != nil {
			s.cfg.Logger.Warn("removed node could not be taken out of the raft group; it is tried again", "node", name, "error", err)
			continue
		}
		s.cfg.Logger.Info("node has left the raft group", "node", name)
	}
}

// groupLacks reports whether the group must change for a node: it is not in it, or has moved, or should vote. It never asks for a vote
// to be taken away, or for a replica to get one.
func groupLacks(n model.Node, held GroupMember, in bool) bool {
	return !in || held.Address != n.RaftAddress || !n.Replica && !held.Voter
}

// answering tries all the nodes at once, so that those that are down do not hold up the others, and returns those that answer.
func (s *Server) answering(ctx context.Context, nodes []model.Node) []model.Node {
	errs := make([]error, len(nodes))
	var tries sync.WaitGroup
	for i, n := range nodes {
		tries.Go(func() {
			errs[i] = within(ctx, reachableWait, func(ctx context.Context) error { return s.cfg.Reachable(ctx, n.RaftAddress) })
		})
	}
	tries.Wait()
	var out []model.Node
	for i, n := range nodes {
		if errs[i] == nil {
			out = append(out, n)
			continue
		}
		s.cfg.Logger.Debug("node is not in the raft group yet: its raft address does not answer", "node", n.Name, "address", n.RaftAddress, "error", errs[i])
	}
	return out
}

func (s *Server) bringIn(ctx context.Context, n model.Node) {
	add := s.cfg.Consensus.AddVoter
	if n.Replica {
		add = s.cfg.Consensus.AddReplica
	}
	log := s.cfg.Logger.With("node", n.Name, "role", n.Role(), "address", n.RaftAddress)
	if err := within(ctx, addNodeWait, func(ctx context.Context) error { return add(ctx, n.Name, n.RaftAddress) }); err != nil {
		log.Warn("node could not be brought into the raft group; it is tried again", "error", err)
		return
	}
	log.Info("node is in the raft group")
}

// enoughVoters refuses a new voter beyond MaxVoters. It is the leader's rule and not the state's, so that a later build may set another
// bound, and it comes before the token is used, so that the same token is good for the replica.
func enoughVoters(view *state.View, command state.Command) error {
	join, ok := command.(state.RedeemNodeToken)
	if _, repeated := view.Nodes[join.Node.Name]; !ok || join.Node.Replica || repeated {
		return nil
	}
	voters := view.Voters()
	if voters < MaxVoters {
		return nil
	}
	return status.Errorf(codes.FailedPrecondition,
		"the federation has %d voting nodes, and more would make each change slower and none safer: start node %s with --replica, which does all but vote (this token stays good)",
		voters, join.Node.Name)
}

func within(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return f(ctx)
}
