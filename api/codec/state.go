package codec

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// Bounds on what the replicated state takes from outside.
const (
	// MaxAddress is the longest "host:port", in bytes: a DNS name of 253 and a port.
	MaxAddress = 260
	// MaxTrustDomain is the longest trust domain name, in bytes (SPIFFE ID 2.1).
	MaxTrustDomain = 255
	// MaxTokenID is the longest token identifier, in bytes.
	MaxTokenID = 64
	// MaxTokenLabel is the longest label of a token, in bytes.
	MaxTokenLabel = 128
	// MaxPublicKey is the largest public key, PKIX DER, in bytes.
	MaxPublicKey = 2048
	// MaxNamespaces is how many namespaces a token or a cluster may name.
	MaxNamespaces = 256
	// MaxBundleSignatures is how many keys may vouch for one bundle.
	MaxBundleSignatures = 16
	// MaxSignature is the largest signature, in bytes.
	MaxSignature = 1024
	// HashSize is the size of a SHA-256, in bytes.
	HashSize = 32
)

// NodeToProto encodes a federation node.
func NodeToProto(n model.Node) *hansev1.Node {
	return &hansev1.Node{
		Name:          n.Name,
		Region:        n.Region,
		GrpcAddress:   n.GRPCAddress,
		RestAddress:   n.RESTAddress,
		RaftAddress:   n.RaftAddress,
		GossipAddress: n.GossipAddress,
		ProtocolMin:   n.ProtocolMin,
		ProtocolMax:   n.ProtocolMax,
		CommandMax:    n.CommandMax,
		Replica:       n.Replica,
	}
}

// NodeFromProto decodes a federation node.
func NodeFromProto(p *hansev1.Node) (model.Node, error) {
	n := model.Node{
		Name:          p.GetName(),
		Region:        p.GetRegion(),
		GRPCAddress:   p.GetGrpcAddress(),
		RESTAddress:   p.GetRestAddress(),
		RaftAddress:   p.GetRaftAddress(),
		GossipAddress: p.GetGossipAddress(),
		ProtocolMin:   p.GetProtocolMin(),
		ProtocolMax:   p.GetProtocolMax(),
		CommandMax:    p.GetCommandMax(),
		Replica:       p.GetReplica(),
	}
	if err := model.ValidateLabel("node", n.Name); err != nil {
		return model.Node{}, err
	}
	if n.Region != "" {
		if err := model.ValidateLabel("region", n.Region); err != nil {
			return model.Node{}, fmt.Errorf("node %s: %w", n.Name, err)
		}
	}
	for _, a := range []string{n.GRPCAddress, n.RESTAddress, n.RaftAddress, n.GossipAddress} {
		if len(a) > MaxAddress {
			return model.Node{}, fmt.Errorf("node %s: address is longer than %d characters", n.Name, MaxAddress)
		}
	}
	if n.ProtocolMin > n.ProtocolMax {
		return model.Node{}, fmt.Errorf("node %s: protocol_min %d is above protocol_max %d", n.Name, n.ProtocolMin, n.ProtocolMax)
	}
	return n, nil
}

// TokenToProto encodes a token as it is kept, hashed.
func TokenToProto(t model.Token) *hansev1.Token {
	return &hansev1.Token{
		Id:               t.ID,
		Kind:             string(t.Kind),
		SecretHash:       t.SecretHash,
		ExpiresAt:        timeToProto(t.ExpiresAt),
		CreatedAt:        timeToProto(t.CreatedAt),
		Cluster:          t.Cluster,
		ClusterPrefix:    t.ClusterPrefix,
		ExportNamespaces: t.ExportNamespaces,
		BoundKey:         t.BoundKey,
		BoundName:        t.BoundName,
		Revoked:          t.Revoked,
		Role:             string(t.Role),
		Namespaces:       t.Namespaces,
		Label:            t.Label,
	}
}

// TokenFromProto decodes a token as it is kept, hashed.
func TokenFromProto(p *hansev1.Token) (model.Token, error) {
	t := model.Token{
		ID:               p.GetId(),
		Kind:             model.TokenKind(p.GetKind()),
		SecretHash:       p.GetSecretHash(),
		Cluster:          p.GetCluster(),
		ClusterPrefix:    p.GetClusterPrefix(),
		ExportNamespaces: p.GetExportNamespaces(),
		BoundKey:         p.GetBoundKey(),
		BoundName:        p.GetBoundName(),
		Revoked:          p.GetRevoked(),
		Role:             model.Role(p.GetRole()),
		Namespaces:       p.GetNamespaces(),
		Label:            p.GetLabel(),
	}
	if t.ID == "" || len(t.ID) > MaxTokenID {
		return model.Token{}, fmt.Errorf("token id has %d characters: it must have 1 to %d", len(t.ID), MaxTokenID)
	}
	kinds := []model.TokenKind{model.TokenCluster, model.TokenNode, model.TokenOperator}
	if !slices.Contains(kinds, t.Kind) {
		return model.Token{}, fmt.Errorf("token %s: kind %.20q is not one of cluster, node, operator", t.ID, t.Kind)
	}
	if err := checkHash("secret_hash", t.SecretHash); err != nil {
		return model.Token{}, fmt.Errorf("token %s: %w", t.ID, err)
	}
	if len(t.BoundKey) > 0 {
		if err := checkHash("bound_key", t.BoundKey); err != nil {
			return model.Token{}, fmt.Errorf("token %s: %w", t.ID, err)
		}
	}
	for _, name := range []string{t.Cluster, t.ClusterPrefix, t.BoundName} {
		if len(name) > 63 {
			return model.Token{}, fmt.Errorf("token %s: name is longer than 63 characters", t.ID)
		}
	}
	var err error
	if t.ExpiresAt, err = timeFromProto("expires_at", p.GetExpiresAt()); err != nil {
		return model.Token{}, fmt.Errorf("token %s: %w", t.ID, err)
	}
	if t.CreatedAt, err = timeFromProto("created_at", p.GetCreatedAt()); err != nil {
		return model.Token{}, fmt.Errorf("token %s: %w", t.ID, err)
	}
	for _, list := range [][]string{t.ExportNamespaces, t.Namespaces} {
		if err := checkNamespaces(list); err != nil {
			return model.Token{}, fmt.Errorf("token %s: %w", t.ID, err)
		}
	}
	if t.Role != "" && !slices.Contains(model.Roles(), t.Role) {
		return model.Token{}, fmt.Errorf("token %s: role %.20q is not one of viewer, operator, admin", t.ID, t.Role)
	}
	if len(t.Label) > MaxTokenLabel {
		return model.Token{}, fmt.Errorf("token %s: label is longer than %d bytes", t.ID, MaxTokenLabel)
	}
	return t, nil
}

// ClusterToProto encodes a member cluster.
func ClusterToProto(c model.Cluster) *hansev1.Cluster {
	return &hansev1.Cluster{
		Name:             string(c.Name),
		Incarnation:      c.Incarnation,
		TrustDomain:      c.TrustDomain,
		AgentKey:         c.AgentKey,
		Region:           c.Region,
		ExportNamespaces: c.ExportNamespaces,
		JoinedAt:         timeToProto(c.JoinedAt),
	}
}

// ClusterFromProto decodes a member cluster.
func ClusterFromProto(p *hansev1.Cluster) (model.Cluster, error) {
	c := model.Cluster{
		Incarnation:      p.GetIncarnation(),
		TrustDomain:      p.GetTrustDomain(),
		AgentKey:         p.GetAgentKey(),
		Region:           p.GetRegion(),
		ExportNamespaces: p.GetExportNamespaces(),
	}
	var err error
	if c.Name, err = model.ParseClusterName(p.GetName()); err != nil {
		return model.Cluster{}, err
	}
	switch {
	case c.TrustDomain == "" || len(c.TrustDomain) > MaxTrustDomain:
		return model.Cluster{}, fmt.Errorf("cluster %s: trust domain must have 1 to %d characters", c.Name, MaxTrustDomain)
	case len(c.AgentKey) == 0 || len(c.AgentKey) > MaxPublicKey:
		return model.Cluster{}, fmt.Errorf("cluster %s: agent key must have 1 to %d bytes", c.Name, MaxPublicKey)
	case len(c.Region) > 63:
		return model.Cluster{}, fmt.Errorf("cluster %s: region is longer than 63 characters", c.Name)
	}
	if c.JoinedAt, err = timeFromProto("joined_at", p.GetJoinedAt()); err != nil {
		return model.Cluster{}, fmt.Errorf("cluster %s: %w", c.Name, err)
	}
	if err := checkNamespaces(c.ExportNamespaces); err != nil {
		return model.Cluster{}, fmt.Errorf("cluster %s: %w", c.Name, err)
	}
	return c, nil
}

// SignedBundleToProto encodes a bundle; the statement's bytes stay as they were signed.
func SignedBundleToProto(b model.SignedBundle) *hansev1.SignedBundle {
	p := &hansev1.SignedBundle{Statement: b.Statement}
	for _, s := range b.Signatures {
		p.Signatures = append(p.Signatures, &hansev1.BundleSignature{KeyHash: s.KeyHash, Signature: s.Signature})
	}
	return p
}

// SignedBundleFromProto decodes a bundle without judging its statement or signatures: trust/bundle does that.
func SignedBundleFromProto(p *hansev1.SignedBundle) (model.SignedBundle, error) {
	b := model.SignedBundle{Statement: p.GetStatement()}
	switch {
	case len(b.Statement) == 0:
		return model.SignedBundle{}, fmt.Errorf("bundle has no statement")
	case len(b.Statement) > MaxStatement:
		return model.SignedBundle{}, fmt.Errorf("bundle statement has %d bytes, more than the %d allowed", len(b.Statement), MaxStatement)
	case len(p.GetSignatures()) > MaxBundleSignatures:
		return model.SignedBundle{}, fmt.Errorf("bundle has %d signatures, more than the %d allowed", len(p.GetSignatures()), MaxBundleSignatures)
	}
	for _, s := range p.GetSignatures() {
		if err := checkHash("key_hash", s.GetKeyHash()); err != nil {
			return model.SignedBundle{}, fmt.Errorf("bundle signature: %w", err)
		}
		if len(s.GetSignature()) > MaxSignature {
			return model.SignedBundle{}, fmt.Errorf("bundle signature has %d bytes, more than the %d allowed", len(s.GetSignature()), MaxSignature)
		}
		b.Signatures = append(b.Signatures, model.BundleSignature{KeyHash: s.GetKeyHash(), Signature: s.GetSignature()})
	}
	return b, nil
}

func checkHash(field string, h []byte) error {
	if len(h) != HashSize {
		return fmt.Errorf("%s has %d bytes: a SHA-256 has %d", field, len(h), HashSize)
	}
	return nil
}

func checkNamespaces(names []string) error {
	if len(names) > MaxNamespaces {
		return fmt.Errorf("%d export namespaces are more than the %d allowed", len(names), MaxNamespaces)
	}
	for _, n := range names {
		if n == "*" {
			continue
		}
		if err := model.ValidateLabel("export namespace", n); err != nil {
			return err
		}
	}
	return nil
}

// timeToProto leaves a zero time unset, so that "no end" survives the wire.
func timeToProto(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func timeFromProto(field string, p *timestamppb.Timestamp) (time.Time, error) {
	if p == nil {
		return time.Time{}, nil
	}
	if err := p.CheckValid(); err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", field, err)
	}
	return p.AsTime(), nil
}
