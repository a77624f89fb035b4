package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/source/vm"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/trust/bundle"
	"github.com/hanse-mesh/hanse/trust/token"
)

// federation is a node's API on a Unix socket, over a state that is applied without a log. Its clock stands still.
type federation struct {
	t       *testing.T
	clock   *clock.Fake
	catalog *catalog.Catalog
	socket  string
	// site is what the agent of cluster eu has registered.
	site *vm.Site
	// explanations is the folder of gateway/explain's scenarios.
	explanations string

	mu      sync.Mutex
	state   *state.State
	changed chan struct{}
}

// newFederation serves the federation of federation.fill.
func newFederation(t *testing.T) *federation {
	f := &federation{
		t: t, clock: clock.NewFake(start.Add(-lookEvery)), catalog: catalog.New(catalog.Limits{}), socket: filepath.Join(shortDir(t), adminSocketName),
		state: state.New(bundle.Accept), changed: make(chan struct{}),
	}
	explanations, err := filepath.Abs(filepath.Join("..", "..", "gateway", "explain", "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	f.explanations = explanations + "/"
	operator := f.token(model.TokenOperator, 1)
	f.fill(operator)
	eu := newPeer(t, "eu", 1)
	f.site, err = vm.New(vm.Config{
		Dir: t.TempDir(), TrustDomain: eu.TrustDomain, Cluster: eu.Name, Federation: "acme", Signer: siteSigner{eu.authority, f.clock}, Peer: sitePeer,
		Clock: f.clock, Declarable: []string{"shop"}, Region: "eu",
	})
	if err != nil {
		t.Fatal(err)
	}
	api := rest.New(rest.Config{
		Node: "n1", Version: "v1", Consensus: f, Catalog: f.catalog, Live: f, Agents: f, Mint: f.mint, BundleRule: bundle.Accept, Clock: f.clock,
		Logger: slog.New(slog.DiscardHandler),
	})
	named := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set(rest.RequestIDHeader, "request")
		api.ServeHTTP(w, r)
	})
	l, err := listenSocket(f.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- api.Run(ctx) }()
	f.letLook()
	go func() { done <- serveHTTP(ctx, l, named, ownedBy("ann", "n1")) }()
	t.Cleanup(func() { cancel(); <-done; <-done })
	return f
}

// lookEvery is how often a node looks what has happened.
const lookEvery = 2 * time.Second

// letLook has the node look for the first time: it notes what is wrong.
func (f *federation) letLook() {
	for range 2 {
		if err := f.clock.BlockUntil(patience(f.t), 1); err != nil {
			f.t.Fatal(err)
		}
		if f.clock.Now().Before(start) {
			f.clock.Advance(lookEvery)
		}
	}
}

// ownedBy takes all who come for the node's own user.
func ownedBy(user, node string) func(*http.Server) {
	return func(s *http.Server) {
		s.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { return rest.WithOwner(ctx, user, node) }
	}
}

func (f *federation) token(kind model.TokenKind, seed byte) token.Token {
	t, err := token.New(kind, bytes.NewReader(bytes.Repeat([]byte{seed}, 39)), "acme", bytes.Repeat([]byte{7}, 32), []string{"n1:7701"})
	if err != nil {
		f.t.Fatal(err)
	}
	return t
}

// mint makes the next token: its random part is the number of tokens.
func (f *federation) mint(kind model.TokenKind, v *state.View) (model.Token, string, error) {
	t := f.token(kind, byte(100+len(v.Tokens)))
	return model.Token{ID: t.ID, Kind: kind, SecretHash: token.Hash(t.Secret)}, t.String(), nil
}

// fill makes two nodes, two member clusters of which one is silent, and what they publish.
func (f *federation) fill(operator token.Token) {
	node := func(name, region string) model.Node {
		return model.Node{
			Name: name, Region: region, GRPCAddress: name + ":7700", RESTAddress: name + ":7701", RaftAddress: name + ":7702",
			GossipAddress: name + ":7703", ProtocolMin: model.ProtocolMin, ProtocolMax: model.ProtocolMax, CommandMax: model.CommandVersion,
		}
	}
	f.apply(state.InitFederation{Name: "acme", Root: []byte("root"), Node: node("n1", "eu"), OperatorToken: model.Token{
		ID: operator.ID, Kind: operator.Kind, SecretHash: token.Hash(operator.Secret), CreatedAt: start,
	}})
	f.apply(state.PutNode{Node: node("n2", "us")})
	eu, us := f.join("eu", 50), f.join("us", 51)
	f.publish(eu, start.Add(-2*time.Second),
		model.Record{Service: service("eu", "cart", 3, 4)}, model.Record{Service: service("eu", "pay", 1, 1)},
		model.Record{Gateways: []model.Gateway{{Name: "gw-1", Address: "192.0.2.1", Port: 7722, Locality: model.Locality{Region: "eu", Zone: "eu-a"}}}},
		model.Record{Status: &model.SiteStatus{AgentVersion: "v1", EarliestExpiry: start.Add(20 * time.Hour), Proxies: []model.ProxyStatus{
			{Workload: "cart-1", Connected: true, Ready: true, EnvoyVersion: "1.40.0"},
			{Workload: "pay-1", Nacks: []model.Nack{{TypeURL: "listener", Reason: "the port is taken", At: start}}},
		}}},
	)
	f.publish(us, start.Add(-6*time.Minute),
		model.Record{Service: service("us", "cart", 2, 2)},
		model.Record{Gateways: []model.Gateway{{Name: "gw-1", Address: "198.51.100.1", Port: 7722, Locality: model.Locality{Region: "us"}, Draining: true}}},
		model.Record{Verdicts: &model.VerdictSet{Cluster: "eu", Verdicts: []model.Verdict{{Gateway: "gw-1", Address: "192.0.2.1", Port: 7722, Bad: true, Since: start.Add(-time.Hour)}}}},
	)
}

func service(region, name string, ready, total uint32) *model.ServiceRecord {
	return &model.ServiceRecord{
		Service:    model.ServiceKey{Namespace: "shop", Name: name},
		Ports:      []model.Port{{Name: "http", Number: 8080, Protocol: model.ProtocolHTTP}},
		Identities: []string{model.WorkloadID(region+".example.org", "shop", name)},
		Capacity:   []model.Capacity{{Locality: model.Locality{Region: region, Zone: region + "-a"}, Ready: ready, Total: total}},
	}
}

func (f *federation) join(name string, seed byte) model.Cluster {
	t := f.token(model.TokenCluster, seed)
	f.apply(state.CreateToken{Token: model.Token{
		ID: t.ID, Kind: t.Kind, SecretHash: token.Hash(t.Secret), CreatedAt: start, ExpiresAt: start.Add(time.Hour), Cluster: name,
		ExportNamespaces: []string{"shop"},
	}})
	p := newPeer(f.t, name, 1)
	c := f.apply(state.JoinCluster{
		TokenID: t.ID, SecretHash: token.Hash(t.Secret), Cluster: p.Name, TrustDomain: p.TrustDomain, AgentKey: p.AgentKey, Region: name,
	}).Cluster
	f.apply(state.PutBundle{Cluster: p.Name, Bundle: p.bundle(f.t)})
	return c
}

func (f *federation) publish(from model.Cluster, at time.Time, records ...model.Record) {
	b := model.Batch{Origin: from.Name, To: model.Version{Incarnation: from.Incarnation, Epoch: 3, Seq: 14}, Full: true, ProducedAt: at, Instance: "instance-1"}
	for _, r := range records {
		r.Cluster, r.Version = from.Name, b.To
		data, err := codec.MarshalRecord(r)
		if err != nil {
			f.t.Fatal(err)
		}
		b.Upserts = append(b.Upserts, model.SignedRecord{Key: r.Key(), Record: data, Signature: []byte("signature")})
	}
	if out := f.catalog.Merge(b); out.Err != nil {
		f.t.Fatal(out.Err)
	}
}

// apply has the state run a command that must succeed.
func (f *federation) apply(c state.Command) state.Result {
	f.t.Helper()
	r, err := f.write(state.Entry{Version: 1, Command: c})
	if err != nil {
		f.t.Fatalf("%T: %v", c, err)
	}
	return r
}

func (f *federation) write(e state.Entry) (state.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e.At = f.clock.Now()
	r := f.state.Apply(f.state.View().Index+1, e)
	close(f.changed)
	f.changed = make(chan struct{})
	return r, errors.Join(r.Fatal, r.Err)
}

// Write, View, Watch, Barrier and Leader are the consensus of a node that is alone in it.

func (f *federation) Write(_ context.Context, e state.Entry) (state.Result, error) {
	e, err := e.Versioned(f.View().CommandVersion())
	if err != nil {
		return state.Result{}, err
	}
	r, _ := f.write(e)
	return r, r.Err
}

func (f *federation) View() *state.View {
	v, _ := f.Watch()
	return v
}

func (f *federation) Watch() (*state.View, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state.View(), f.changed
}

func (f *federation) Barrier(context.Context) error { return nil }

func (f *federation) Leader() (name, address string, ok bool) { return "n1", "n1:7702", true }

// Connected, Alive, Refused, Feed and Age are what the node sees of others.

func (f *federation) Connected() map[model.ClusterName]bool {
	return map[model.ClusterName]bool{"eu": true}
}
func (f *federation) Alive() map[string]bool             { return map[string]bool{"n1": true} }
func (f *federation) Refused(model.ClusterName) []string { return nil }
func (f *federation) Age() (time.Duration, bool)         { return 0, true }
func (f *federation) Feed(o catalog.Origin) rest.LiveFeed {
	return rest.LiveFeed{Age: f.clock.Now().Sub(o.ProducedAt)}
}
