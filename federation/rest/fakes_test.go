package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/trust/bundle"
	"github.com/hanse-mesh/hanse/trust/oidc"
	"github.com/hanse-mesh/hanse/trust/token"
)

var (
	start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	pin   = bytes.Repeat([]byte{7}, 32)
)

// group is a federation of two nodes, "lead" and "follow", with one replicated state that is applied without a log.
type group struct {
	t     *testing.T
	clock *clock.Fake
	// mu guards state, changed, stale and forwarded.
	mu    sync.Mutex
	state *state.State
	// changed is closed when there is a newer state.
	changed chan struct{}
	catalog *catalog.Catalog
	live    *live
	// leader is the leader's name as every node knows it; empty is none.
	leader string
	// stale is what the follower holds, when it lags.
	stale *state.View
	// proposeErr and barrierErr are failures of the log.
	proposeErr, barrierErr error
	barriers               int
	nodes                  map[string]http.Handler
	agents                 map[string]*agents
	forwarded              []*http.Request
	// onForward, when set, is called before a request is sent on.
	onForward func()
	operator  token.Token
	people    *people
	// logs is what both nodes have logged.
	logs   bytes.Buffer
	logger *slog.Logger
}

func newGroup(t *testing.T) *group {
	g := &group{
		t: t, clock: clock.NewFake(start), catalog: catalog.New(catalog.Limits{}), leader: "lead", nodes: map[string]http.Handler{}, agents: map[string]*agents{"lead": {}, "follow": {}},
		changed: make(chan struct{}),
		live:    &live{connected: map[model.ClusterName]bool{}, alive: map[string]bool{}, refused: map[model.ClusterName][]string{}},
	}
	g.live.now, g.live.feeds = g.clock.Now, map[model.ClusterName]rest.LiveFeed{}
	g.logger = slog.New(slog.NewJSONHandler(&g.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	g.people = newPeople(t, g.clock)
	g.state = state.New(bundle.Accept)
	g.operator = g.token(model.TokenOperator, 1)
	g.apply(state.InitFederation{Name: "acme", Root: []byte("root"), Node: node("lead", "eu"), OperatorToken: kept(g.operator)})
	g.apply(state.PutNode{Node: node("follow", "us")})
	g.serve(rest.Limits{})
	return g
}

// serve makes the nodes' handlers anew.
func (g *group) serve(limits rest.Limits) {
	for _, name := range []string{"lead", "follow"} {
		g.nodes[name] = rest.New(rest.Config{
			Node: name, Version: "v0", Consensus: member{g, name}, Catalog: g.catalog, Live: g.live, Agents: g.agents[name], Forward: g.forward, Mint: g.mint,
			Certificates: g.people, Providers: oidc.New(oidc.Config{Clock: g.clock, Logger: g.logger}),
			Limits: limits, BundleRule: bundle.Accept, Clock: g.clock, Logger: g.logger,
		})
	}
}

func node(name, region string) model.Node {
	return model.Node{
		Name: name, Region: region, GRPCAddress: name + ":7700", RESTAddress: name + ":7701", RaftAddress: name + ":7702", GossipAddress: name + ":7703",
		ProtocolMin: 1, ProtocolMax: 1, CommandMax: model.CommandVersion,
	}
}

// token makes a token whose random part is seed.
func (g *group) token(kind model.TokenKind, seed byte) token.Token {
	g.t.Helper()
	t, err := token.New(kind, bytes.NewReader(bytes.Repeat([]byte{seed}, 39)), "acme", pin, []string{"lead:7701"})
	if err != nil {
		g.t.Fatal(err)
	}
	return t
}

func kept(t token.Token) model.Token {
	return model.Token{ID: t.ID, Kind: t.Kind, SecretHash: token.Hash(t.Secret), CreatedAt: start}
}

// apply has the state run a command that must succeed.
func (g *group) apply(c state.Command) state.Result {
	g.t.Helper()
	r := g.run(state.Entry{Version: 1, At: g.clock.Now(), Command: c})
	if r.Fatal != nil || r.Err != nil {
		g.t.Fatalf("%T: %v %v", c, r.Fatal, r.Err)
	}
	return r
}

// run has the state run an entry and tells those who watch it.
func (g *group) run(e state.Entry) state.Result {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.state.Apply(g.state.View().Index+1, e)
	g.published()
	return r
}

func (g *group) published() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// lag has the follower hold an old view, or with nil the newest.
func (g *group) lag(v *state.View) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stale = v
	g.published()
}

// forward sends a request on as a node does: over a connection of its own, on which it shows its own certificate.
func (g *group) forward(w http.ResponseWriter, r *http.Request, to model.Node) {
	g.mu.Lock()
	g.forwarded = append(g.forwarded, r.Clone(context.Background()))
	g.mu.Unlock()
	if g.onForward != nil {
		g.onForward()
	}
	sent := r.Clone(context.Background())
	sent.RemoteAddr = "10.0.0.2:40000"
	g.people.shows(model.NodeID("acme", "follow"))(sent)
	g.nodes[to.Name].ServeHTTP(w, sent)
}

// mint makes tokens with the seeds 100, 101, …
func (g *group) mint(kind model.TokenKind, v *state.View) (model.Token, string, error) {
	t := g.token(kind, byte(100+len(v.Tokens)))
	return kept(t), t.String(), nil
}

// member is the consensus as one node of the group knows it.
type member struct {
	g    *group
	name string
}

func (m member) Write(_ context.Context, e state.Entry) (state.Result, error) {
	if m.g.proposeErr != nil {
		return state.Result{}, m.g.proposeErr
	}
	if m.name != m.g.leader {
		return state.Result{}, errors.New("not the leader")
	}
	e, err := e.Versioned(m.View().CommandVersion())
	if err != nil {
		return state.Result{}, err
	}
	e.At = m.g.clock.Now()
	r := m.g.run(e)
	return r, r.Err
}

func (m member) View() *state.View {
	v, _ := m.Watch()
	return v
}

func (m member) Watch() (*state.View, <-chan struct{}) {
	m.g.mu.Lock()
	defer m.g.mu.Unlock()
	if m.name == "follow" && m.g.stale != nil {
		return m.g.stale, m.g.changed
	}
	return m.g.state.View(), m.g.changed
}

func (m member) Barrier(context.Context) error {
	m.g.barriers++
	return m.g.barrierErr
}

func (m member) Leader() (name, address string, ok bool) {
	return m.g.leader, m.g.leader + ":7702", m.g.leader != ""
}

type live struct {
	now       func() time.Time
	age       time.Duration
	connected map[model.ClusterName]bool
	alive     map[string]bool
	refused   map[model.ClusterName][]string
	// feeds is what is said of feeds besides their age.
	feeds map[model.ClusterName]rest.LiveFeed
}

func (l *live) Connected() map[model.ClusterName]bool      { return l.connected }
func (l *live) Alive() map[string]bool                     { return l.alive }
func (l *live) Refused(cluster model.ClusterName) []string { return l.refused[cluster] }
func (l *live) Age() (time.Duration, bool)                 { return l.age, l.age >= 0 }
func (l *live) Feed(o catalog.Origin) rest.LiveFeed {
	f := l.feeds[o.Name]
	f.Age = l.now().Sub(o.ProducedAt)
	return f
}

// answer is what a node answered.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
}

// do sends a request with the operator's token; change may alter it first.
func (g *group) do(node, method, target, body string, change ...func(*http.Request)) answer {
	g.t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, in)
	r.Header.Set("Authorization", "Bearer "+g.operator.String())
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	g.nodes[node].ServeHTTP(w, r)
	a := answer{g.t, w.Code, w.Header(), w.Body.Bytes()}
	a.conforms(r)
	return a
}

func authorization(value string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Del("Authorization")
		if value != "" {
			r.Header.Set("Authorization", value)
		}
	}
}

// ok checks for success and decodes the body into out, if that is not nil.
func (a answer) ok(status int, out any) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	if out == nil {
		return a
	}
	in := json.NewDecoder(bytes.NewReader(a.body))
	in.DisallowUnknownFields()
	if err := in.Decode(out); err != nil {
		a.t.Fatalf("%v in %s", err, a.body)
	}
	return a
}

// problem checks for an RFC 9457 problem of the status that says each of the texts.
func (a answer) problem(status int, says ...string) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		a.t.Errorf("content type %q", got)
	}
	var p struct {
		Title, Detail string
		Status        int
	}
	if err := json.Unmarshal(a.body, &p); err != nil || p.Status != status || p.Title == "" {
		a.t.Errorf("%v: not a problem of status %d: %s", err, status, a.body)
	}
	for _, text := range says {
		if !strings.Contains(string(a.body), text) {
			a.t.Errorf("the problem does not say %q: %s", text, a.body)
		}
	}
	return a
}

func decode(t *testing.T, data []byte, out any) {
	t.Helper()
	if err := json.Unmarshal(data, out); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
}

// names are the names of items, in their order.
func names[T any](items []T, name func(T) string) []string {
	var out []string
	for _, item := range items {
		out = append(out, name(item))
	}
	return out
}

// joined makes a cluster a member in its own region, with shop as the one namespace that it may export.
func joined(g *group, name string, seed byte) model.Cluster {
	g.t.Helper()
	join := g.token(model.TokenCluster, 50+seed)
	made := kept(join)
	made.Cluster, made.ExportNamespaces, made.ExpiresAt = name, []string{"shop"}, g.clock.Now().Add(time.Hour)
	g.apply(state.CreateToken{Token: made})
	return g.apply(state.JoinCluster{
		TokenID: join.ID, SecretHash: token.Hash(join.Secret), Cluster: model.ClusterName(name), AgentKey: []byte{seed}, Region: name,
	}).Cluster
}

// publish puts records of a cluster into the catalog, as its agent produced them at a time.
func publish(g *group, from model.Cluster, at time.Time, records ...model.Record) {
	g.t.Helper()
	b := model.Batch{Origin: from.Name, To: model.Version{Incarnation: from.Incarnation, Epoch: 3, Seq: 14}, Full: true, ProducedAt: at, Instance: "i1"}
	for _, r := range records {
		r.Cluster, r.Version = from.Name, b.To
		data, err := codec.MarshalRecord(r)
		if err != nil {
			g.t.Fatal(err)
		}
		b.Upserts = append(b.Upserts, model.SignedRecord{Key: r.Key(), Record: data, Signature: []byte("signature")})
	}
	if out := g.catalog.Merge(b); out.Err != nil || !out.Changed {
		g.t.Fatalf("publish: %+v", out)
	}
}

func encode(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
