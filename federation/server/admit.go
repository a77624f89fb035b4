package server

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// JoinCluster redeems a cluster token: the leader decides, and this node certifies the agent's key. Repeating it with the same key is
// safe.
func (s *Server) JoinCluster(ctx context.Context, r *hansev1.JoinClusterRequest) (*hansev1.JoinClusterResponse, error) {
	if _, err := joinClusterCommand(r, s.cfg.Clock.Now()); err != nil {
		return nil, err
	}
	decision, err := s.lead(ctx, &hansev1.ForwardRequest{Request: &hansev1.ForwardRequest_JoinCluster{JoinCluster: r}})
	if err != nil {
		s.cfg.Logger.Warn("cluster was not admitted", "cluster", r.GetCluster(), "token", r.GetTokenId(), "error", err)
		return nil, asStatus(err)
	}
	cluster, err := codec.ClusterFromProto(decision.GetCluster())
	if err != nil {
		return nil, status.Errorf(codes.Internal, "the leader's answer: %v", err)
	}
	chain, err := s.issueAgent(cluster.Name, r.GetCsr())
	if err != nil {
		return nil, err
	}
	view := s.view()
	s.cfg.Logger.Info("cluster admitted", "cluster", cluster.Name, "incarnation", cluster.Incarnation, "token", r.GetTokenId())
	return &hansev1.JoinClusterResponse{
		Federation:   view.Federation,
		Cluster:      decision.GetCluster(),
		Certificates: chain,
		Servers:      addresses(view.NodeList()),
	}, nil
}

// RenewAgent certifies the member's key again. The caller's certificate may have expired up to RenewGrace ago, so that an agent
// comes back by itself after a long outage.
func (s *Server) RenewAgent(ctx context.Context, r *hansev1.RenewAgentRequest) (*hansev1.RenewAgentResponse, error) {
	cluster, key, err := s.agentPeer(ctx, RenewGrace)
	if err != nil {
		return nil, err
	}
	if _, err := member(s.view(), cluster, key); err != nil {
		return nil, err
	}
	requested, err := provenKey("csr", r.GetCsr())
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(requested, key) {
		return nil, status.Errorf(codes.PermissionDenied, "the request is for another key than the one that cluster %s joined with: renew with that key", cluster)
	}
	chain, err := s.issueAgent(cluster, r.GetCsr())
	if err != nil {
		return nil, err
	}
	return &hansev1.RenewAgentResponse{Certificates: chain}, nil
}

func (s *Server) issueAgent(cluster model.ClusterName, csr []byte) ([][]byte, error) {
	chain, err := s.cfg.Issuer.IssueLeaf(Leaf{
		CSR: csr, SPIFFEID: model.AgentID(s.view().Federation, cluster), CommonName: string(cluster), TTL: AgentTTL, Now: s.cfg.Clock.Now(),
	})
	if err != nil {
		return nil, status.Errorf(codes.Internal, "node %s cannot certify agents: %v", s.cfg.Node.Name, err)
	}
	return chain, nil
}

// JoinNode redeems a node token: the leader records the node, and this node certifies its key and its issuing CA. The node comes
// into the Raft group when its Raft address answers: see Run.
func (s *Server) JoinNode(ctx context.Context, r *hansev1.JoinNodeRequest) (*hansev1.JoinNodeResponse, error) {
	command, err := redeemNodeCommand(r)
	if err != nil {
		return nil, err
	}
	if _, err := s.lead(ctx, &hansev1.ForwardRequest{Request: &hansev1.ForwardRequest_JoinNode{JoinNode: r}}); err != nil {
		s.cfg.Logger.Warn("node was not admitted", "node", command.Node.Name, "token", r.GetTokenId(), "error", err)
		return nil, asStatus(err)
	}
	view, now := s.view(), s.cfg.Clock.Now()
	dns, ips := hosts(command.Node)
	own, err := s.cfg.Issuer.IssueLeaf(Leaf{
		CSR: r.GetCsr(), SPIFFEID: model.NodeID(view.Federation, command.Node.Name), CommonName: command.Node.Name,
		DNSNames: dns, IPs: ips, TTL: NodeTTL, Now: now,
	})
	if err != nil {
		return nil, status.Errorf(codes.Internal, "node %s cannot certify nodes: %v", s.cfg.Node.Name, err)
	}
	issuing, err := s.cfg.Issuer.IssueCA(r.GetCaCsr(), fmt.Sprintf("%s issuing CA of %s", view.Federation, command.Node.Name), IssuingTTL, now)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "node %s cannot certify the new node's issuing CA: %v", s.cfg.Node.Name, err)
	}
	s.cfg.Logger.Info("node admitted", "node", command.Node.Name, "token", r.GetTokenId())
	answer := &hansev1.JoinNodeResponse{Federation: view.Federation, Certificates: own, CaCertificates: issuing, GossipKeys: s.cfg.GossipKeys}
	for _, n := range view.NodeList() {
		answer.Nodes = append(answer.Nodes, codec.NodeToProto(n))
	}
	return answer, nil
}

// hosts are the names and addresses under which a node is reached.
func hosts(n model.Node) (dns []string, ips []net.IP) {
	for _, address := range []string{n.GRPCAddress, n.RESTAddress, n.RaftAddress, n.GossipAddress} {
		host, _, err := net.SplitHostPort(address)
		if err != nil || host == "" {
			continue
		}
		ip := net.ParseIP(host)
		switch {
		case ip == nil && !slices.Contains(dns, host):
			dns = append(dns, host)
		case ip != nil && !slices.ContainsFunc(ips, ip.Equal):
			ips = append(ips, ip)
		}
	}
	return dns, ips
}

// GetBundle returns a trust domain's bundle as this node holds it, to members and nodes.
func (s *Server) GetBundle(ctx context.Context, r *hansev1.GetBundleRequest) (*hansev1.GetBundleResponse, error) {
	if cluster, key, err := s.agentPeer(ctx, 0); err == nil {
		if _, err := member(s.view(), cluster, key); err != nil {
			return nil, err
		}
	} else if _, nodeErr := s.nodePeer(ctx); nodeErr != nil {
		return nil, err
	}
	answer := &hansev1.GetBundleResponse{Node: s.cfg.Node.Name}
	if b, ok := s.view().Bundles[r.GetTrustDomain()]; ok {
		answer.Bundle = codec.SignedBundleToProto(b)
	}
	return answer, nil
}

// Sync serves the catalog to another node.
func (s *Server) Sync(stream hansev1.NodeService_SyncServer) error {
	if _, err := s.nodePeer(stream.Context()); err != nil {
		return err
	}
	return s.cfg.Sync(stream)
}
