//go:build e2e

package e2e

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/uplink"
	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/trust/ca"
	"github.com/hanse-mesh/hanse/trust/identity"
	"github.com/hanse-mesh/hanse/trust/records"
	"github.com/hanse-mesh/hanse/trust/token"
)

// publishedNamespace is where the publishers' services stand.
const publishedNamespace = "shop"

// publisher is a member's agent as the federation sees it: it has a session with a node, moves to another one when that ends, and
// publishes one service whose ready capacity counts its changes.
type publisher struct {
	cluster model.Cluster
	uplink  *uplink.Uplink

	mu    sync.Mutex
	count uint32
}

// startPublisher makes a member whose agent prefers one node; it ends with the test.
func startPublisher(t *testing.T, ctx context.Context, f *federation, name string, home int) *publisher {
	t.Helper()
	cluster, key, own := newMember(t, ctx, f, name, f.nodes[home])
	servers := make([]string, len(f.nodes))
	for i := range servers {
		servers[i] = f.nodes[(home+i)%len(f.nodes)].grpc
	}
	p := &publisher{cluster: cluster, uplink: uplink.New(uplink.Config{
		Cluster: cluster.Name, Instance: name, AgentVersion: "e2e",
		Servers: func() []string { return slices.Clone(servers) },
		Dial: func(_ context.Context, address string) (*grpc.ClientConn, error) {
			return dialNode(address, own.ClientTLS(identity.MatchNode(federationName, "")))
		},
		Sign:   func(r model.Record) (model.SignedRecord, error) { return records.Sign(key, r) },
		Epochs: &epochs{}, Handler: deaf{}, Clock: clock.Real{}, Logger: slog.New(slog.DiscardHandler),
	})}
	p.change()
	p.uplink.SetComplete()
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = p.uplink.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return p
}

// newMember lets a cluster join at a node, and returns it with its key and certificate.
func newMember(t *testing.T, ctx context.Context, f *federation, name string, n *node) (model.Cluster, crypto.Signer, *identity.Source) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var joined *hansev1.JoinClusterResponse
	text := f.newToken(ctx, n, rest.NewToken{Kind: model.TokenCluster, Cluster: name, ExportNamespaces: []string{"*"}})
	f.eventually(ctx, 30*time.Second, name+" joins", func() (err error) {
		joined, err = joinCluster(ctx, text, n, name, key)
		return err
	})
	cluster, err := codec.ClusterFromProto(joined.GetCluster())
	if err != nil {
		t.Fatal(err)
	}
	chain, own := joined.GetCertificates(), identity.NewSource(clock.Real{})
	if err := own.Set(identity.Credentials{Chain: chain, Key: key, Roots: chain[len(chain)-1:]}); err != nil {
		t.Fatal(err)
	}
	return cluster, key, own
}

// joinCluster redeems a token for a cluster at a node.
func joinCluster(ctx context.Context, text string, n *node, name string, key crypto.Signer) (*hansev1.JoinClusterResponse, error) {
	t, err := token.Parse(text)
	if err != nil {
		return nil, err
	}
	csr, err := ca.CSR(key, name)
	if err != nil {
		return nil, err
	}
	conn, err := dialNode(n.grpc, identity.PinnedClientTLS(t.Pin))
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	return hansev1.NewFederationServiceClient(conn).JoinCluster(ctx, &hansev1.JoinClusterRequest{
		TokenId: t.ID, Secret: t.Secret, Cluster: name, Region: n.region, Csr: csr, UnixMillis: time.Now().UnixMilli(),
	})
}

// newToken makes a token at a node and returns its text. It waits for a leader.
func (f *federation) newToken(ctx context.Context, n *node, want rest.NewToken) string {
	f.t.Helper()
	var text string
	f.eventually(ctx, 30*time.Second, n.name+" makes a token", func() (err error) {
		text, err = n.tryToken(ctx, want)
		return err
	})
	return text
}

func (n *node) tryToken(ctx context.Context, want rest.NewToken) (string, error) {
	r, err := n.api.do(ctx, http.MethodPost, "/v1/tokens", want)
	if err != nil {
		return "", err
	}
	if r.status != http.StatusCreated {
		return "", fmt.Errorf("token at %s: status %d: %s", n.name, r.status, r.body)
	}
	var made rest.CreatedToken
	err = json.Unmarshal(r.body, &made)
	return made.Text, err
}

func dialNode(address string, config *tls.Config) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 2 * time.Second, Timeout: 3 * time.Second, PermitWithoutStream: true}))
}

// change publishes the next value.
func (p *publisher) change() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	home := model.Locality{Region: p.cluster.Region}
	p.uplink.Publish([]model.Record{{Cluster: p.cluster.Name, Service: &model.ServiceRecord{
		Service:    model.ServiceKey{Namespace: publishedNamespace, Name: "web"},
		Ports:      []model.Port{{Name: "http", Number: 80, Protocol: model.ProtocolHTTP}},
		Identities: []string{"spiffe://" + p.cluster.TrustDomain + "/ns/" + publishedNamespace + "/sa/web"},
		Capacity:   []model.Capacity{{Locality: home, Ready: p.count, Total: p.count}},
	}}}, nil)
}

// published is the last value.
func (p *publisher) published() uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// epochs are in memory: a publisher lives once.
type epochs struct{ last uint64 }

func (e *epochs) LoadEpoch() (uint64, error)    { return e.last, nil }
func (e *epochs) StoreEpoch(epoch uint64) error { e.last = epoch; return nil }

// deaf ignores what the federation says.
type deaf struct{}

func (deaf) State(*hansev1.State)            {}
func (deaf) Import(model.Batch) bool         { return false }
func (deaf) OriginDropped(model.ClusterName) {}
func (deaf) Refused([]uplink.Refusal)        {}
func (deaf) Connected(string, bool)          {}
