package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/trust/bundle"
	"github.com/hanse-mesh/hanse/trust/ca"
	"github.com/hanse-mesh/hanse/trust/identity"
	"github.com/hanse-mesh/hanse/trust/token"
)

// restNode is a node of the federation example.org with its REST API on a real port and socket; its log is a state in memory.
type restNode struct {
	t        *testing.T
	clock    *clock.Fake
	root     *ca.Authority
	state    *state.State
	operator token.Token
	address  string
	socket   string
	api      http.Handler
}

// memoryLog is a log of one node.
type memoryLog struct {
	state *state.State
	now   func() time.Time
}

func (l memoryLog) Write(_ context.Context, e state.Entry) (state.Result, error) {
	e, err := e.Versioned(l.View().CommandVersion())
	if err != nil {
		return state.Result{}, err
	}
	e.At = l.now()
	r := l.state.Apply(l.View().Index+1, e)
	return r, r.Err
}
func (l memoryLog) View() *state.View                     { return l.state.View() }
func (l memoryLog) Watch() (*state.View, <-chan struct{}) { return l.state.View(), nil }
func (memoryLog) Barrier(context.Context) error           { return nil }
func (memoryLog) Leader() (name, address string, ok bool) { return "n1", "n1:7702", true }

// nothingLive is what a node sees that is alone.
type nothingLive struct{ rest.Live }

func (nothingLive) Alive() map[string]bool     { return nil }
func (nothingLive) Age() (time.Duration, bool) { return 0, true }

// newRestNode is a node that serves until the test ends.
func newRestNode(t *testing.T) *restNode {
	t.Helper()
	n := &restNode{t: t, clock: clock.NewFake(start)}
	var err error
	if n.root, err = ca.NewRoot(ca.RootOptions{TrustDomain: "example.org", Now: start}); err != nil {
		t.Fatal(err)
	}
	if n.operator, err = token.New(model.TokenOperator, rand.Reader, "example.org", pinOf(n.root.Root()), []string{"n1:7701"}); err != nil {
		t.Fatal(err)
	}
	n.state = state.New(bundle.Accept)
	node := model.Node{Name: "n1", Region: "eu", GRPCAddress: "n1:1", RESTAddress: "n1:2", RaftAddress: "n1:3", GossipAddress: "n1:4", ProtocolMin: 1, ProtocolMax: 1, CommandMax: model.CommandVersion}
	n.apply(state.InitFederation{Name: "example.org", Root: n.root.Root(), Node: node, OperatorToken: model.Token{
		ID: n.operator.ID, Kind: model.TokenOperator, SecretHash: token.Hash(n.operator.Secret), CreatedAt: start,
	}})
	n.serve(n.identityOf(model.NodeID("example.org", "n1")), node)
	return n
}

func (n *restNode) apply(c state.Command) {
	n.t.Helper()
	if r := n.state.Apply(n.state.View().Index+1, state.Entry{Version: model.CommandVersion, At: n.clock.Now(), Command: c}); r.Err != nil || r.Fatal != nil {
		n.t.Fatalf("%T: %v %v", c, r.Err, r.Fatal)
	}
}

// identityOf is a source with a certificate for id, signed by the federation's root.
func (n *restNode) identityOf(id string) *identity.Source {
	n.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		n.t.Fatal(err)
	}
	chain, err := n.root.Issue(ca.LeafRequest{PublicKey: key.Public(), SPIFFEID: id, TTL: time.Hour, Now: n.clock.Now()})
	if err != nil {
		n.t.Fatal(err)
	}
	src := identity.NewSource(n.clock)
	if err := setCredentials(src, key, chain); err != nil {
		n.t.Fatal(err)
	}
	return src
}

func (n *restNode) serve(src *identity.Source, node model.Node) {
	n.t.Helper()
	n.api = rest.New(rest.Config{
		Node: node.Name, Consensus: memoryLog{n.state, n.clock.Now}, Live: nothingLive{}, Catalog: struct{ rest.Catalog }{},
		Certificates: restCertificates{src, n.root}, BundleRule: bundle.Accept, Clock: n.clock, Logger: slog.New(slog.DiscardHandler),
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.t.Fatal(err)
	}
	dir := n.t.TempDir()
	n.address, n.socket = l.Addr().String(), filepath.Join(dir, adminSocketName)
	socket, err := listenSocket(n.socket)
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	parts := &serverParts{node: node}
	go func() {
		_ = serveHTTP(ctx, tls.NewListener(l, restTLS(src)), n.api)
		done <- struct{}{}
	}()
	go func() {
		_ = serveHTTP(ctx, socket, n.api, func(s *http.Server) { s.ConnContext = parts.ownerOfSocket })
		done <- struct{}{}
	}()
	n.t.Cleanup(func() {
		cancel()
		<-done
		<-done
	})
}

// ask sends a request by a transport and returns status and body.
func (n *restNode) ask(t *http.Transport, method, path, body, bearer string) (int, string) {
	n.t.Helper()
	t.DisableKeepAlives = true
	r, err := http.NewRequest(method, "https://"+n.address+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	if t.TLSClientConfig == nil {
		r.URL.Scheme = "http"
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := t.RoundTrip(r)
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// by is a transport that shows the certificates of a source, or none.
func (n *restNode) by(src *identity.Source) *http.Transport {
	config := identity.PinnedClientTLS(pinOf(n.root.Root()), identity.PinClock(n.clock))
	if src != nil {
		config = src.ClientTLS(nil)
	}
	config.NextProtos = []string{"http/1.1"}
	return &http.Transport{TLSClientConfig: config}
}

func (n *restNode) overSocket() *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", n.socket)
	}}
}

func TestTheRESTPortAsksForCertificatesAndNeedsNone(t *testing.T) {
	n := newRestNode(t)
	bind := `{"name":"readers","spec":{"role":"viewer","subjects":[{"kind":"certificate","name":"ann"}]}}`
	n.apply(state.PutPolicy{Kind: string(policy.KindRoleBinding), Name: "readers", JSON: []byte(bind)})
	ann := n.identityOf(model.OperatorID("example.org", "ann"))
	agent := n.identityOf(model.AgentID("example.org", "eu"))
	stranger := newRestNode(t).identityOf(model.OperatorID("example.org", "ann"))
	strangers := n.by(nil)
	held, _ := stranger.Get()
	strangers.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: held.Chain, PrivateKey: held.Key}, nil
	}
	for name, c := range map[string]struct {
		by     *http.Transport
		bearer string
		status int
		says   string
	}{
		"a token":                        {n.by(nil), n.operator.String(), http.StatusOK, "{"},
		"nothing":                        {n.by(nil), "", http.StatusUnauthorized, "no credential"},
		"an operator":                    {n.by(ann), "", http.StatusOK, "{"},
		"an agent":                       {n.by(agent), "", http.StatusUnauthorized, "agent/eu"},
		"a stranger":                     {strangers, "", http.StatusUnauthorized, "not trusted"},
		"a stranger who has got a token": {strangers, n.operator.String(), http.StatusOK, "{"},
	} {
		if status, text := n.ask(c.by, http.MethodGet, "/v1/export-rules", "", c.bearer); status != c.status || !strings.Contains(text, c.says) {
			t.Errorf("%s: %d %s, want %d with %q", name, status, text, c.status, c.says)
		}
	}
	// The server's own certificate ends later than this: only the operator's is expired.
	short := n.identityOf(model.OperatorID("example.org", "ann"))
	c, _ := short.Get()
	chain, err := n.root.Issue(ca.LeafRequest{PublicKey: c.Key.Public(), SPIFFEID: model.OperatorID("example.org", "ann"), TTL: time.Minute, Now: start})
	if err != nil {
		t.Fatal(err)
	}
	if err := setCredentials(short, c.Key, chain); err != nil {
		t.Fatal(err)
	}
	n.clock.Advance(2 * time.Minute)
	if status, text := n.ask(n.by(short), http.MethodGet, "/v1/export-rules", "", ""); status != http.StatusUnauthorized || !strings.Contains(text, "expired") {
		t.Errorf("an expired certificate: %d %s", status, text)
	}
}

func TestTheNodesOwnSocket(t *testing.T) {
	n := newRestNode(t)
	if info, err := os.Stat(n.socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info.Mode(), err)
	}
	// The bearer is what is left of a lost token.
	if status, text := n.ask(n.overSocket(), http.MethodGet, "/v1/export-rules", "", "lost"); status != http.StatusOK {
		t.Errorf("%d %s", status, text)
	}
	if status, text := n.ask(n.overSocket(), http.MethodDelete, "/v1/tokens/"+n.operator.ID, "", ""); status/100 != 2 {
		t.Fatalf("%d %s", status, text)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	log := n.state.View().Audit()
	if len(log) != 1 || log[0].Actor.Name != me.Username+"@n1" || log[0].Actor.Credential != "socket n1" || log[0].Actor.Address != "" {
		t.Errorf("the audit log: %+v", log)
	}
}

// spareToken is a token that a test may revoke.
func (n *restNode) spareToken() string {
	n.t.Helper()
	t, err := token.New(model.TokenOperator, rand.Reader, "example.org", pinOf(n.root.Root()), []string{"n1:7701"})
	if err != nil {
		n.t.Fatal(err)
	}
	n.apply(state.CreateToken{Token: model.Token{ID: t.ID, Kind: t.Kind, SecretHash: token.Hash(t.Secret), CreatedAt: start}})
	return t.ID
}

// What a node sends on comes with its certificate and the caller's own token, and tells where the caller is.
func TestForwardedRequestsKeepTheirSource(t *testing.T) {
	n := newRestNode(t)
	n.apply(state.PutNode{Node: model.Node{Name: "n2", Region: "eu", GRPCAddress: "n2:1", RESTAddress: "n2:2", RaftAddress: "n2:3", GossipAddress: "n2:4", ProtocolMin: 1, ProtocolMax: 1, CommandMax: model.CommandVersion}})
	for name, c := range map[string]struct{ id, want string }{
		"a node":            {model.NodeID("example.org", "n2"), "198.51.100.7:4711"},
		"a node of no name": {model.NodeID("example.org", "n9"), "127.0.0.1"},
	} {
		f := &forwarder{identity: n.identityOf(c.id), federation: "example.org", logger: slog.New(slog.DiscardHandler)}
		r := httptest.NewRequest(http.MethodDelete, "/v1/tokens/"+n.spareToken(), nil)
		r.Header.Set("Authorization", "Bearer "+n.operator.String())
		r.Header.Set("Hanse-Source-Address", "198.51.100.7:4711")
		w := httptest.NewRecorder()
		f.forward(w, r, model.Node{Name: "n1", RESTAddress: n.address})
		log := n.state.View().Audit()
		if w.Code/100 != 2 || len(log) == 0 || !strings.HasPrefix(log[len(log)-1].Actor.Address, c.want) {
			t.Errorf("%s: %d %s, the audit log: %+v", name, w.Code, w.Body, log)
		}
		f.to(model.Node{Name: "n1", RESTAddress: n.address}).CloseIdleConnections()
	}
}
