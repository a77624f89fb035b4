package server

import (
	"context"
	"slices"
	"time"
)

const (
	// votersEvery is how often the leader looks for nodes that are not voters yet.
	votersEvery   = 2 * time.Second
	reachableWait = 2 * time.Second
	addVoterWait  = 15 * time.Second
)

// ensureVoters makes every node of the state a voter, once its Raft address answers: adding one that does not would weaken the
// quorum for as long as it is away. Only the leader acts.
func (s *Server) ensureVoters(ctx context.Context) error {
	for {
		if s.leads() {
			s.addVoters(ctx)
		}
		timer := s.cfg.Clock.NewTimer(votersEvery)
		select {
		case <-timer.C():
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

func (s *Server) addVoters(ctx context.Context) {
	voters := s.cfg.Voters()
	for _, n := range s.view().NodeList() {
		if slices.Contains(voters, n.Name) || ctx.Err() != nil {
			continue
		}
		log := s.cfg.Logger.With("node", n.Name, "address", n.RaftAddress)
		if err := within(ctx, reachableWait, func(ctx context.Context) error { return s.cfg.Reachable(ctx, n.RaftAddress) }); err != nil {
			log.Debug("node is not a voter yet: its raft address does not answer", "err", err)
			continue
		}
		if err := within(ctx, addVoterWait, func(ctx context.Context) error { return s.cfg.Consensus.AddVoter(ctx, n.Name, n.RaftAddress) }); err != nil {
			log.Warn("node could not be made a voter; it is tried again", "err", err)
			continue
		}
		log.Info("node is a voter now")
	}
}

func within(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return f(ctx)
}
