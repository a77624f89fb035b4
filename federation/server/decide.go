package server

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/trust/bundle"
)

// catchUp bounds how long an answer waits until this node has applied what the leader decided.
const catchUp = 5 * time.Second

// Forward decides, as the leader, a request that another node received. The request carries its own credential: nothing that the
// forwarding node says is believed, but for its own entry.
func (s *Server) Forward(ctx context.Context, r *hansev1.ForwardRequest) (*hansev1.ForwardResponse, error) {
	caller, err := s.nodePeer(ctx)
	if err != nil {
		return nil, err
	}
	if err := speaksForItself(caller, r); err != nil {
		return nil, err
	}
	if !s.leads() {
		return nil, status.Errorf(codes.Unavailable, "node %s is not the leader: leadership has just moved, try again", s.cfg.Node.Name)
	}
	answer, err := s.decide(ctx, r)
	return answer, asStatus(err)
}

// lead has the leader decide a request: this node itself, or by Forward.
func (s *Server) lead(ctx context.Context, r *hansev1.ForwardRequest) (*hansev1.ForwardResponse, error) {
	if s.leads() {
		return s.decide(ctx, r)
	}
	name, _, ok := s.cfg.Consensus.Leader()
	if !ok {
		return nil, status.Error(codes.Unavailable, "the federation has no leader at this moment: a majority of its nodes must be up to change it; try again")
	}
	node, ok := s.view().Nodes[name]
	if !ok {
		return nil, status.Errorf(codes.Unavailable, "the leader %s is not known here yet: try again", name)
	}
	conn, err := s.cfg.DialNode(ctx, node.GRPCAddress)
	if err != nil {
		return nil, fmt.Errorf("reach the leader %s: %w", name, err)
	}
	defer func() { _ = conn.Close() }()
	answer, err := hansev1.NewNodeServiceClient(conn).Forward(ctx, r)
	if err != nil {
		return nil, err
	}
	s.waitFor(ctx, answer.GetIndex())
	return answer, nil
}

func (s *Server) leads() bool {
	name, _, ok := s.cfg.Consensus.Leader()
	return ok && name == s.cfg.Node.Name
}

func (s *Server) decide(ctx context.Context, r *hansev1.ForwardRequest) (*hansev1.ForwardResponse, error) {
	command, err := s.command(r)
	if err != nil {
		return nil, err
	}
	// A refusal and a repetition change nothing, and callers without an identity must not be able to fill the log with them: what the
	// command would do is tried on a copy first.
	view := s.view()
	if err := enoughVoters(view, command); err != nil {
		return nil, err
	}
	result := state.Restore(view, bundle.Accept).Apply(view.Index+1, state.Entry{Version: view.CommandVersion(), At: s.cfg.Clock.Now(), Command: command})
	if result.Err == nil && result.Fatal == nil && result.Changed {
		result, err = s.cfg.Consensus.Propose(ctx, command)
	} else {
		result.Index = view.Index
	}
	for _, e := range []error{err, result.Err, result.Fatal} {
		if e != nil {
			return nil, e
		}
	}
	answer := &hansev1.ForwardResponse{Index: result.Index}
	if result.Cluster.Name != "" {
		answer.Cluster = codec.ClusterToProto(result.Cluster)
	}
	return answer, nil
}

func (s *Server) command(r *hansev1.ForwardRequest) (state.Command, error) {
	switch q := r.GetRequest().(type) {
	case *hansev1.ForwardRequest_JoinCluster:
		return joinClusterCommand(q.JoinCluster, s.cfg.Clock.Now())
	case *hansev1.ForwardRequest_JoinNode:
		return redeemNodeCommand(q.JoinNode)
	case *hansev1.ForwardRequest_PutBundle:
		return putBundleCommand(q.PutBundle)
	case *hansev1.ForwardRequest_PutNode:
		return putNodeCommand(q.PutNode)
	default:
		return nil, status.Error(codes.Unimplemented, "this node does not know the forwarded request: upgrade it")
	}
}

// waitFor waits a while until this node has applied an index, so that a member finds itself known where it joined. It is a courtesy:
// what follows holds without it.
func (s *Server) waitFor(ctx context.Context, index uint64) {
	s.waitUntil(ctx, catchUp, func(v *state.View) bool { return v.Index >= index })
}

func (s *Server) waitUntil(ctx context.Context, limit time.Duration, done func(*state.View) bool) *state.View {
	timer := s.cfg.Clock.NewTimer(limit)
	defer timer.Stop()
	for {
		view, changed := s.cfg.Consensus.Watch()
		if done(view) {
			return view
		}
		select {
		case <-changed:
		case <-timer.C():
			return view
		case <-ctx.Done():
			return view
		}
	}
}

// addresses lists where agents reach the nodes.
func addresses(nodes []model.Node) []string {
	out := make([]string, 0, len(nodes))
	for _, n := range nodes {
		out = append(out, n.GRPCAddress)
	}
	return out
}
