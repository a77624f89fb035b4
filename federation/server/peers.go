package server

import (
	"bytes"
	"context"
	"crypto/x509"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/state"
)

// agentPeer returns the cluster for which the caller's certificate speaks and the key (PKIX DER) that it is for.
func (s *Server) agentPeer(ctx context.Context, grace time.Duration) (model.ClusterName, []byte, error) {
	id, cert, err := s.cfg.Peers.VerifyPeer(ctx, grace)
	if err != nil {
		return "", nil, status.Errorf(codes.Unauthenticated, "agent's certificate: %v", err)
	}
	federation := s.view().Federation
	if federation == "" {
		return "", nil, errBehind
	}
	cluster, ok := model.ClusterOfID(federation, id.String())
	if !ok {
		return "", nil, status.Errorf(codes.PermissionDenied, "%s is not an agent of this federation", id)
	}
	return cluster, publicKey(cert), nil
}

// nodePeer returns the name of the calling node and refuses callers that are not nodes of the federation at this moment.
func (s *Server) nodePeer(ctx context.Context) (string, error) {
	id, _, err := s.cfg.Peers.VerifyPeer(ctx, 0)
	if err != nil {
		return "", status.Errorf(codes.Unauthenticated, "node's certificate: %v", err)
	}
	view := s.view()
	name, ok := model.NodeOfID(view.Federation, id.String())
	if !ok {
		return "", status.Errorf(codes.PermissionDenied, "%s is not a node: only nodes may call this", id)
	}
	if _, member := view.Nodes[name]; !member {
		return "", status.Errorf(codes.PermissionDenied, "node %s is not in the federation: it was removed, or this node has not heard of it yet", name)
	}
	return name, nil
}

// errBehind is the answer of a node that has just started and does not know yet who is a member.
var errBehind = status.Error(codes.Unavailable, "this node has not caught up with the federation yet: ask another one, or try again")

// deny turns a denial into errBehind while no leader is known: what this node holds may be old.
func (s *Server) deny(err error) error {
	if _, _, ok := s.cfg.Consensus.Leader(); err != nil && !ok {
		return errBehind
	}
	return err
}

// member finds the cluster whose agent holds the key. Only the key that the replicated state holds counts.
func member(view *state.View, cluster model.ClusterName, key []byte) (model.Cluster, error) {
	m, ok := view.Clusters[cluster]
	switch {
	case !ok:
		return model.Cluster{}, status.Errorf(codes.PermissionDenied, "cluster %s is not a member of federation %s: it was removed; join again with a new token", cluster, view.Federation)
	case !bytes.Equal(m.AgentKey, key):
		return model.Cluster{}, status.Errorf(codes.PermissionDenied, "cluster %s is a member with another agent's key: this agent's key was replaced", cluster)
	}
	return m, nil
}

func publicKey(cert *x509.Certificate) []byte { return cert.RawSubjectPublicKeyInfo }
