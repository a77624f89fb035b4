package server

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"log/slog"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/trust/ca"
	"github.com/hanse-mesh/hanse/trust/identity"
	"github.com/hanse-mesh/hanse/trust/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

const (
	day    = 24 * time.Hour
	secret = "a-secret-that-nobody-should-see"
)

// tapClock is a fake clock that tells which timers are made.
type tapClock struct {
	*clock.Fake
	made chan time.Duration
}

func (c tapClock) NewTimer(d time.Duration) clock.Timer {
	t := c.Fake.NewTimer(d)
	select {
	case c.made <- d:
	default:
	}
	return t
}

// forget drops the timers that were made so far.
func (c tapClock) forget() {
	for len(c.made) > 0 {
		<-c.made
	}
}

// fire waits until a timer of the duration was made, and lets it run out.
func (c tapClock) fire(ctx context.Context, t *testing.T, d time.Duration) {
	t.Helper()
	c.waitFor(ctx, t, d)
	c.Advance(d)
}

func (c tapClock) waitFor(ctx context.Context, t *testing.T, d time.Duration) {
	t.Helper()
	for {
		select {
		case made := <-c.made:
			if made == d {
				return
			}
		case <-ctx.Done():
			t.Fatalf("nobody waits for %s", d)
		}
	}
}

type issuer struct{ *ca.Authority }

func (i issuer) IssueLeaf(l Leaf) ([][]byte, error) {
	return i.Issue(ca.LeafRequest{CSR: l.CSR, SPIFFEID: l.SPIFFEID, CommonName: l.CommonName, DNSNames: l.DNSNames, IPs: l.IPs, TTL: l.TTL, Now: l.Now})
}

func (i issuer) IssueCA(csr []byte, name string, ttl time.Duration, now time.Time) ([][]byte, error) {
	return i.Intermediate(csr, ca.IntermediateOptions{CommonName: name, TTL: ttl, Now: now})
}

// federation is two nodes, n1 (the leader) and n2, that share one state and one catalog.
type federation struct {
	t     *testing.T
	ctx   context.Context
	clock tapClock
	raft  *raft
	store *store
	root  *ca.Authority
	nodes map[string]*node
}

type node struct {
	*Server
	model.Node
	identity *identity.Source
}

func newFederation(t *testing.T) *federation {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	c := tapClock{clock.NewFake(start), make(chan time.Duration, 1024)}
	root, err := ca.NewRoot(ca.RootOptions{TrustDomain: "acme", Now: start})
	if err != nil {
		t.Fatal(err)
	}
	f := &federation{t: t, ctx: ctx, clock: c, raft: newRaft(c.Now), store: newStore(), root: root, nodes: map[string]*node{}}
	n1 := f.start("n1")
	f.propose(state.InitFederation{Name: "acme", Root: root.Root(), Node: n1.Node, OperatorToken: f.token("op", model.TokenOperator, nil)})
	f.propose(state.PutNode{Node: f.start("n2").Node})
	f.raft.lead("n1")
	return f
}

func (f *federation) start(name string) *node {
	f.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	n := &node{identity: f.identity("spiffe://acme/server/" + name), Node: model.Node{
		Name: name, GRPCAddress: l.Addr().String(), RaftAddress: name + ".example:1", ProtocolMin: 1, ProtocolMax: 1, CommandMax: 1,
	}}
	n.Server = New(Config{
		Node: n.Node, Consensus: f.raft, Store: f.store, Subscribe: f.store.subscribe, Issuer: issuer{f.subordinate()}, Peers: n.identity,
		DialNode: func(_ context.Context, address string) (*grpc.ClientConn, error) {
			return grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(n.identity.ClientTLS(identity.MatchNode("acme", "")))))
		},
		Sync:  func(hansev1.NodeService_SyncServer) error { return status.Error(codes.OK, "") },
		Group: f.raft.Group, Dismiss: f.raft.dismiss,
		Reachable:  func(context.Context, string) error { return nil },
		GossipKeys: [][]byte{[]byte("gossip key")},
		Clock:      f.clock, Logger: slog.New(slog.DiscardHandler),
	})
	g := grpc.NewServer(grpc.Creds(credentials.NewTLS(n.identity.ServerTLS(identity.ServerOptions{DeferTime: true}))))
	n.Register(g)
	done := make(chan struct{})
	go func() { defer close(done); _ = g.Serve(l) }()
	f.t.Cleanup(func() { g.Stop(); <-done })
	f.nodes[name] = n
	return n
}

func (f *federation) subordinate() *ca.Authority {
	f.t.Helper()
	key := newKey(f.t)
	chain, err := f.root.Intermediate(csr(f.t, key), ca.IntermediateOptions{TTL: IssuingTTL, Now: f.clock.Now()})
	if err != nil {
		f.t.Fatal(err)
	}
	a, err := ca.NewAuthority(key, chain)
	if err != nil {
		f.t.Fatal(err)
	}
	return a
}

// identity certifies a fresh key for an ID, for seven days.
func (f *federation) identity(id string) *identity.Source {
	f.t.Helper()
	key := newKey(f.t)
	chain, err := f.root.Issue(ca.LeafRequest{PublicKey: key.Public(), SPIFFEID: id, TTL: 7 * day, Now: f.clock.Now()})
	if err != nil {
		f.t.Fatal(err)
	}
	return f.source(chain, key)
}

func (f *federation) source(chain [][]byte, key crypto.Signer) *identity.Source {
	f.t.Helper()
	s := identity.NewSource(f.clock)
	if err := s.Set(identity.Credentials{Chain: chain, Key: key, Roots: [][]byte{f.root.Root()}}); err != nil {
		f.t.Fatal(err)
	}
	return s
}

func (f *federation) propose(c state.Command) state.Result {
	f.t.Helper()
	r, err := f.raft.Propose(f.ctx, c)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

func (f *federation) token(id string, kind model.TokenKind, change func(*model.Token)) model.Token {
	tok := model.Token{ID: id, Kind: kind, SecretHash: token.Hash(secret), CreatedAt: start, ExpiresAt: start.Add(day)}
	if kind == model.TokenCluster {
		tok.ClusterPrefix, tok.ExportNamespaces = "a", []string{"shop"}
	}
	if change != nil {
		change(&tok)
	}
	return tok
}

func (f *federation) createToken(id string, kind model.TokenKind, change func(*model.Token)) {
	f.t.Helper()
	f.propose(state.CreateToken{Token: f.token(id, kind, change)})
}

// dial connects to a node; without an identity the client knows the root only.
func (f *federation) dial(to string, as *identity.Source) *grpc.ClientConn {
	f.t.Helper()
	if as == nil {
		as = f.source(nil, nil)
	}
	conn, err := grpc.NewClient(f.nodes[to].GRPCAddress, grpc.WithTransportCredentials(credentials.NewTLS(as.ClientTLS(nil))))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// agent is a member cluster's agent with its key and certificate.
type agent struct {
	name     model.ClusterName
	key      *ecdsa.PrivateKey
	cluster  model.Cluster
	identity *identity.Source
}

// join makes a member without a call: its export namespace is shop.
func (f *federation) join(name string) *agent {
	f.t.Helper()
	f.createToken("tok-"+name, model.TokenCluster, func(tok *model.Token) { tok.ClusterPrefix, tok.Cluster = "", name })
	return f.rejoin("tok-"+name, name)
}

// rejoin makes a member with a new key by a token.
func (f *federation) rejoin(tokenID, name string) *agent {
	f.t.Helper()
	key := newKey(f.t)
	r := f.propose(state.JoinCluster{TokenID: tokenID, SecretHash: token.Hash(secret), Cluster: model.ClusterName(name), AgentKey: pkix(f.t, key)})
	chain, err := f.root.Issue(ca.LeafRequest{PublicKey: key.Public(), SPIFFEID: model.AgentID("acme", model.ClusterName(name)), TTL: AgentTTL, Now: f.clock.Now()})
	if err != nil {
		f.t.Fatal(err)
	}
	return &agent{name: model.ClusterName(name), key: key, cluster: r.Cluster, identity: f.source(chain, key)}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func csr(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := ca.CSR(key, "test")
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func pkix(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func serviceKey(name string) string {
	return model.RecordKey(model.ServiceKey{Namespace: "shop", Name: name})
}
