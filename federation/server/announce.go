package server

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/federation/state"
)

// Announce makes this node's entry in the replicated state true, by way of the leader: its addresses and the commands that it can apply
// may have changed since it joined. A node that the state does not hold stays out of it: it was removed, or its join is under way.
func (s *Server) Announce(ctx context.Context) error {
	held, ok := s.view().Nodes[s.cfg.Node.Name]
	if !ok || held == s.cfg.Node {
		return nil
	}
	_, err := s.lead(ctx, &hansev1.ForwardRequest{Request: &hansev1.ForwardRequest_PutNode{
		PutNode: &hansev1.PutNode{Node: codec.NodeToProto(s.cfg.Node)},
	}})
	return err
}

// speaksForItself refuses a node's word about another one: an entry has no credential but the caller's certificate.
func speaksForItself(caller string, r *hansev1.ForwardRequest) error {
	if q, ok := r.GetRequest().(*hansev1.ForwardRequest_PutNode); ok && q.PutNode.GetNode().GetName() != caller {
		return status.Errorf(codes.PermissionDenied, "node %s may announce itself only, not %.80q", caller, q.PutNode.GetNode().GetName())
	}
	return nil
}

func putNodeCommand(r *hansev1.PutNode) (state.PutNode, error) {
	n, err := codec.NodeFromProto(r.GetNode())
	if err != nil {
		return state.PutNode{}, status.Errorf(codes.InvalidArgument, "node: %v", err)
	}
	return state.PutNode{Node: n}, nil
}
