package codec

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

func drawTime(t *rapid.T, label string) time.Time {
	s := rapid.Int64Range(0, 1<<33).Draw(t, label)
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}

func label() *rapid.Generator[string] {
	return rapid.StringMatching(`[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?`)
}

func namespaces() *rapid.Generator[[]string] {
	return rapid.SampledFrom([][]string{nil, {"*"}, {"shop", "data"}})
}

func sum() *rapid.Generator[[]byte] { return rapid.SliceOfN(rapid.Byte(), HashSize, HashSize) }

func TestStateTypesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		node := model.Node{
			Name: label().Draw(t, "node"), Region: label().Draw(t, "region"), GRPCAddress: "a:1", RESTAddress: "b:2", RaftAddress: "c:3",
			GossipAddress: "d:4", ProtocolMin: 1, ProtocolMax: rapid.Uint32Min(1).Draw(t, "max"), CommandMax: rapid.Uint32().Draw(t, "command"),
			Replica: rapid.Bool().Draw(t, "replica"),
		}
		same(t, node, NodeToProto, NodeFromProto)
		same(t, model.Token{
			ID: label().Draw(t, "id"), Kind: rapid.SampledFrom([]model.TokenKind{model.TokenCluster, model.TokenNode, model.TokenOperator}).Draw(t, "kind"),
			SecretHash: sum().Draw(t, "secret"), CreatedAt: drawTime(t, "created"), ExpiresAt: drawTime(t, "expires"), Cluster: label().Draw(t, "cluster"),
			ClusterPrefix: label().Draw(t, "prefix"), ExportNamespaces: namespaces().Draw(t, "exports"), BoundKey: sum().Draw(t, "bound"),
			BoundName: label().Draw(t, "name"), Revoked: rapid.Bool().Draw(t, "revoked"),
		}, TokenToProto, TokenFromProto)
		same(t, model.Cluster{
			Name: model.ClusterName(label().Draw(t, "cluster")), Incarnation: rapid.Uint64().Draw(t, "incarnation"), TrustDomain: "a.b",
			AgentKey: []byte("key"), Region: label().Draw(t, "region"), ExportNamespaces: namespaces().Draw(t, "exports"), JoinedAt: drawTime(t, "joined"),
		}, ClusterToProto, ClusterFromProto)
		same(t, model.SignedBundle{
			Statement:  rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "statement"),
			Signatures: []model.BundleSignature{{KeyHash: sum().Draw(t, "key"), Signature: []byte("s")}},
		}, SignedBundleToProto, SignedBundleFromProto)
	})
}

func same[M, P any](t *rapid.T, m M, to func(M) P, from func(P) (M, error)) {
	got, err := from(to(m))
	if err != nil {
		t.Fatalf("%#v: %v", m, err)
	}
	if !reflect.DeepEqual(got, m) {
		t.Fatalf("%#v became %#v", m, got)
	}
}

func TestStateTypesAreBounded(t *testing.T) {
	for name, change := range map[string]func(p *parts){
		"node name":         func(p *parts) { p.node.Name = "N" },
		"node region":       func(p *parts) { p.node.Region = "_" },
		"node address":      func(p *parts) { p.node.RaftAddress = long(MaxAddress) },
		"node protocols":    func(p *parts) { p.node.ProtocolMin = 1 },
		"token id":          func(p *parts) { p.token.ID = long(MaxTokenID) },
		"token without id":  func(p *parts) { p.token.ID = "" },
		"token kind":        func(p *parts) { p.token.Kind = "workload" },
		"token hash":        func(p *parts) { p.token.SecretHash = []byte("s") },
		"token key":         func(p *parts) { p.token.BoundKey = []byte("s") },
		"token name":        func(p *parts) { p.token.BoundName = long(63) },
		"token namespace":   func(p *parts) { p.token.ExportNamespaces = []string{"A"} },
		"token namespaces":  func(p *parts) { p.token.ExportNamespaces = make([]string, MaxNamespaces+1) },
		"cluster name":      func(p *parts) { p.cluster.Name = "" },
		"cluster domain":    func(p *parts) { p.cluster.TrustDomain = long(MaxTrustDomain) },
		"cluster key":       func(p *parts) { p.cluster.AgentKey = nil },
		"cluster region":    func(p *parts) { p.cluster.Region = long(63) },
		"cluster namespace": func(p *parts) { p.cluster.ExportNamespaces = []string{""} },
		"no statement":      func(p *parts) { p.bundle.Statement = nil },
		"large statement":   func(p *parts) { p.bundle.Statement = make([]byte, MaxStatement+1) },
		"signatures":        func(p *parts) { p.bundle.Signatures = make([]model.BundleSignature, MaxBundleSignatures+1) },
		"signature key":     func(p *parts) { p.bundle.Signatures = make([]model.BundleSignature, 1) },
	} {
		p := parts{
			node:    model.Node{Name: "n"},
			token:   model.Token{ID: "t", Kind: model.TokenNode, SecretHash: make([]byte, HashSize)},
			cluster: model.Cluster{Name: "c", TrustDomain: "d", AgentKey: []byte("k")},
			bundle:  model.SignedBundle{Statement: []byte("s")},
		}
		if err := p.read(); err != nil {
			t.Fatal(err)
		}
		change(&p)
		if p.read() == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// parts is one valid value of each type, for a test to spoil.
type parts struct {
	node    model.Node
	token   model.Token
	cluster model.Cluster
	bundle  model.SignedBundle
}

func (p parts) read() error {
	_, err := NodeFromProto(NodeToProto(p.node))
	if err == nil {
		_, err = TokenFromProto(TokenToProto(p.token))
	}
	if err == nil {
		_, err = ClusterFromProto(ClusterToProto(p.cluster))
	}
	if err == nil {
		_, err = SignedBundleFromProto(SignedBundleToProto(p.bundle))
	}
	return err
}

func long(limit int) string { return strings.Repeat("a", limit+1) }

func TestTimesOutOfRangeAreRefused(t *testing.T) {
	p := TokenToProto(model.Token{ID: "t", Kind: model.TokenNode, SecretHash: bytes.Repeat([]byte{1}, HashSize)})
	p.ExpiresAt = &timestamppb.Timestamp{Nanos: -1}
	if _, err := TokenFromProto(p); err == nil {
		t.Error("an impossible time was accepted")
	}
	if _, err := NodeFromProto((*hansev1.Node)(nil)); err == nil {
		t.Error("a missing node was accepted")
	}
}
