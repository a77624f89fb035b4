package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/trust/ca"
)

func joinRequest(t *testing.T, csr []byte, change func(*hansev1.JoinClusterRequest)) *hansev1.JoinClusterRequest {
	t.Helper()
	r := &hansev1.JoinClusterRequest{TokenId: "tok", Secret: secret, Cluster: "alpha", Csr: csr, UnixMillis: start.UnixMilli()}
	if change != nil {
		change(r)
	}
	return r
}

// refusedWith checks an error's code and that its text names what it should and not the secret.
func refusedWith(t *testing.T, err error, code codes.Code, say ...string) {
	t.Helper()
	if status.Code(err) != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	for _, want := range say {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), secret) {
		t.Errorf("error reveals the secret: %v", err)
	}
}

func TestClusterJoinsThroughAnyNode(t *testing.T) {
	f := newFederation(t)
	f.createToken("tok", model.TokenCluster, nil)
	key := newKey(t)
	var incarnation uint64
	for _, via := range []string{"n2", "n1", "n2"} {
		answer, err := hansev1.NewFederationServiceClient(f.dial(via, nil)).JoinCluster(f.ctx, joinRequest(t, csr(t, key), nil))
		if err != nil {
			t.Fatalf("via %s: %v", via, err)
		}
		if incarnation != 0 && answer.GetCluster().GetIncarnation() != incarnation {
			t.Fatalf("a repeated join made another member: incarnation %d, then %d", incarnation, answer.GetCluster().GetIncarnation())
		}
		incarnation = answer.GetCluster().GetIncarnation()
		if answer.GetFederation() != "acme" || answer.GetCluster().GetTrustDomain() != "alpha.acme" || len(answer.GetServers()) != 2 {
			t.Fatalf("answer %v", answer)
		}
		source := f.source(answer.GetCertificates(), key)
		if source.ID().String() != "spiffe://acme/agent/alpha" || !source.Expiry().Equal(start.Add(AgentTTL)) {
			t.Fatalf("certificate of %s until %s", source.ID(), source.Expiry())
		}
		if chain := answer.GetCertificates(); !bytes.Equal(chain[len(chain)-1], f.root.Root()) {
			t.Fatal("the chain does not end with the root")
		}
		if _, err := hansev1.NewFederationServiceClient(f.dial(via, source)).RenewAgent(f.ctx, &hansev1.RenewAgentRequest{Csr: csr(t, key)}); err != nil {
			t.Fatalf("the certificate does not count: %v", err)
		}
	}
	_, err := hansev1.NewFederationServiceClient(f.dial("n2", nil)).JoinCluster(f.ctx, joinRequest(t, csr(t, newKey(t)), nil))
	refusedWith(t, err, codes.PermissionDenied, "another key", "tok")
}

func TestJoinErrorsTellWhatIsWrong(t *testing.T) {
	f := newFederation(t)
	f.createToken("tok", model.TokenCluster, nil)
	f.createToken("old", model.TokenCluster, func(tok *model.Token) { tok.ExpiresAt = start.Add(time.Minute) })
	f.createToken("gone", model.TokenCluster, nil)
	f.propose(state.RevokeToken{ID: "gone"})
	f.createToken("node", model.TokenNode, nil)
	f.createToken("used", model.TokenCluster, nil)
	other := f.join("taken")
	good := csr(t, newKey(t))
	forged := bytes.Clone(good)
	forged[len(forged)-3] ^= 1
	long, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	curve := csr(t, long)
	client := hansev1.NewFederationServiceClient(f.dial("n2", nil))
	if _, err = client.JoinCluster(f.ctx, joinRequest(t, csr(t, other.key), func(r *hansev1.JoinClusterRequest) { r.TokenId, r.Cluster = "used", "a1" })); err != nil {
		t.Fatal(err)
	}
	f.clock.Advance(2 * time.Minute)
	before := f.raft.proposed()
	for name, c := range map[string]struct {
		change func(*hansev1.JoinClusterRequest)
		code   codes.Code
		say    []string
	}{
		"unknown token":        {func(r *hansev1.JoinClusterRequest) { r.TokenId = "nope" }, codes.PermissionDenied, []string{"nope", "not known"}},
		"wrong secret":         {func(r *hansev1.JoinClusterRequest) { r.Secret += "x" }, codes.PermissionDenied, []string{"tok", "secret is wrong"}},
		"expired":              {func(r *hansev1.JoinClusterRequest) { r.TokenId = "old" }, codes.PermissionDenied, []string{"expired at 2030-01-02T03:05:05Z"}},
		"revoked":              {func(r *hansev1.JoinClusterRequest) { r.TokenId = "gone" }, codes.PermissionDenied, []string{"revoked"}},
		"wrong kind":           {func(r *hansev1.JoinClusterRequest) { r.TokenId = "node" }, codes.PermissionDenied, []string{"node token", "cluster token"}},
		"used by another key":  {func(r *hansev1.JoinClusterRequest) { r.TokenId, r.Cluster = "used", "a1" }, codes.PermissionDenied, []string{"another key", "a1"}},
		"out of scope":         {func(r *hansev1.JoinClusterRequest) { r.Cluster = "beta" }, codes.PermissionDenied, []string{"begins with a", "beta"}},
		"bad name":             {func(r *hansev1.JoinClusterRequest) { r.Cluster = "Alpha!" }, codes.InvalidArgument, []string{"cluster"}},
		"bad domain":           {func(r *hansev1.JoinClusterRequest) { r.TrustDomain = "no good" }, codes.InvalidArgument, []string{"trust domain"}},
		"dots for a domain":    {func(r *hansev1.JoinClusterRequest) { r.TrustDomain = ".." }, codes.InvalidArgument, []string{"trust domain", "empty label"}},
		"as good as ours":      {func(r *hansev1.JoinClusterRequest) { r.TrustDomain = "acme." }, codes.InvalidArgument, []string{"trust domain", "empty label"}},
		"key on a wrong curve": {func(r *hansev1.JoinClusterRequest) { r.Csr = curve }, codes.InvalidArgument, []string{"csr", "P-521", "P-256"}},
		"no token":             {func(r *hansev1.JoinClusterRequest) { r.TokenId = "" }, codes.InvalidArgument, []string{"copy the token whole"}},
		"endless secret":       {func(r *hansev1.JoinClusterRequest) { r.Secret = strings.Repeat("x", 1000) }, codes.InvalidArgument, nil},
		"no proof of key":      {func(r *hansev1.JoinClusterRequest) { r.Csr = forged }, codes.InvalidArgument, []string{"csr"}},
		"no request":           {func(r *hansev1.JoinClusterRequest) { r.Csr = nil }, codes.InvalidArgument, []string{"csr"}},
		"clock behind":         {func(r *hansev1.JoinClusterRequest) { r.UnixMillis = start.Add(-time.Hour).UnixMilli() }, codes.FailedPrecondition, []string{"2030-01-02T02:04:05Z", "2030-01-02T03:06:05Z", "NTP"}},
		"clock ahead":          {func(r *hansev1.JoinClusterRequest) { r.UnixMillis = start.Add(8 * time.Minute).UnixMilli() }, codes.FailedPrecondition, []string{"NTP"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client.JoinCluster(f.ctx, joinRequest(t, good, c.change))
			refusedWith(t, err, c.code, c.say...)
		})
	}
	if after := f.raft.proposed(); after != before {
		t.Fatalf("refused joins wrote %d entries to the log", after-before)
	}
	if _, err := client.JoinCluster(f.ctx, joinRequest(t, good, nil)); err != nil {
		t.Fatalf("the good request must pass: %v", err)
	}
}

func TestJoinNeedsALeader(t *testing.T) {
	f := newFederation(t)
	f.createToken("tok", model.TokenCluster, nil)
	f.raft.lead("")
	_, err := hansev1.NewFederationServiceClient(f.dial("n1", nil)).JoinCluster(f.ctx, joinRequest(t, csr(t, newKey(t)), nil))
	refusedWith(t, err, codes.Unavailable, "no leader")
}

func TestRenewAgent(t *testing.T) {
	f := newFederation(t)
	a := f.join("alpha")
	stranger := f.identity("spiffe://acme/agent/alpha")
	renew := func(as *agent, key []byte) error {
		_, err := hansev1.NewFederationServiceClient(f.dial("n1", as.identity)).RenewAgent(f.ctx, &hansev1.RenewAgentRequest{Csr: key})
		return err
	}
	refusedWith(t, renew(a, csr(t, newKey(t))), codes.PermissionDenied, "another key")
	refusedWith(t, renew(&agent{identity: stranger}, csr(t, a.key)), codes.PermissionDenied, "key was replaced")
	refusedWith(t, renew(&agent{identity: f.nodes["n2"].identity}, csr(t, a.key)), codes.PermissionDenied, "not an agent")
	refusedWith(t, renew(&agent{}, csr(t, a.key)), codes.Unauthenticated)

	f.clock.Advance(AgentTTL + 29*day)
	f.renewNodes()
	if err := renew(a, csr(t, a.key)); err != nil {
		t.Fatalf("29 days after its end: %v", err)
	}
	_, err := hansev1.NewFederationServiceClient(f.dial("n1", a.identity)).GetBundle(f.ctx, &hansev1.GetBundleRequest{})
	refusedWith(t, err, codes.Unauthenticated, "expired at 2030-01-09T03:04:05Z", "2030-02-07T03:04:05Z", "clocks may differ")
	f.clock.Advance(2 * day)
	refusedWith(t, renew(a, csr(t, a.key)), codes.Unauthenticated, "expired")
	f.propose(state.RemoveCluster{Name: "alpha"})
	f.clock.Advance(-2 * day)
	refusedWith(t, renew(a, csr(t, a.key)), codes.PermissionDenied, "not a member")
}

// renewNodes gives the nodes certificates that are valid now.
func (f *federation) renewNodes() {
	f.t.Helper()
	for name, n := range f.nodes {
		fresh, _ := f.identity("spiffe://acme/server/" + name).Get()
		if err := n.identity.Set(fresh); err != nil {
			f.t.Fatal(err)
		}
	}
}

func TestNodeJoins(t *testing.T) {
	f := newFederation(t)
	f.createToken("tok", model.TokenNode, nil)
	key, caKey := newKey(t), newKey(t)
	node := model.Node{
		Name: "n3", GRPCAddress: "n3.example:7400", RaftAddress: "10.0.0.3:7402", GossipAddress: "10.0.0.3:7403", RESTAddress: "n3.example:7443",
		ProtocolMin: 1, ProtocolMax: 1, CommandMax: 1,
	}
	request := func() *hansev1.JoinNodeRequest {
		return &hansev1.JoinNodeRequest{TokenId: "tok", Secret: secret, Csr: csr(t, key), CaCsr: csr(t, caKey), Node: codec.NodeToProto(node)}
	}
	client := hansev1.NewNodeServiceClient(f.dial("n2", nil))
	for range 2 {
		answer, err := client.JoinNode(f.ctx, request())
		if err != nil {
			t.Fatal(err)
		}
		if len(answer.GetNodes()) != 3 || len(answer.GetGossipKeys()) != 1 || answer.GetFederation() != "acme" {
			t.Fatalf("answer %v", answer)
		}
		if id := f.source(answer.GetCertificates(), key).ID().String(); id != "spiffe://acme/server/n3" {
			t.Fatalf("certificate of %s", id)
		}
		leaf, err := x509.ParseCertificate(answer.GetCertificates()[0])
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(leaf.DNSNames, []string{"n3.example"}) || len(leaf.IPAddresses) != 1 || !leaf.NotAfter.Equal(start.Add(NodeTTL)) {
			t.Fatalf("names %v %v until %s", leaf.DNSNames, leaf.IPAddresses, leaf.NotAfter)
		}
		if _, err := ca.NewAuthority(caKey, answer.GetCaCertificates()); err != nil {
			t.Fatalf("the issuing CA cannot be used: %v", err)
		}
	}
	long, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*hansev1.JoinNodeRequest)
		code   codes.Code
		say    string
	}{
		"another key":    {func(r *hansev1.JoinNodeRequest) { r.Csr = csr(t, newKey(t)) }, codes.PermissionDenied, "another key"},
		"one key only":   {func(r *hansev1.JoinNodeRequest) { r.CaCsr = csr(t, key) }, codes.InvalidArgument, "a key each"},
		"no CA request":  {func(r *hansev1.JoinNodeRequest) { r.CaCsr = nil }, codes.InvalidArgument, "ca_csr"},
		"wrong secret":   {func(r *hansev1.JoinNodeRequest) { r.Secret = "x" }, codes.PermissionDenied, "secret is wrong"},
		"wrong CA curve": {func(r *hansev1.JoinNodeRequest) { r.CaCsr = csr(t, long) }, codes.InvalidArgument, "P-521"},
		"no node":        {func(r *hansev1.JoinNodeRequest) { r.Node = nil }, codes.InvalidArgument, "node"},
	} {
		r := request()
		c.change(r)
		_, err := client.JoinNode(f.ctx, r)
		t.Run(name, func(t *testing.T) { refusedWith(t, err, c.code, c.say) })
	}
}

func TestOnlyNodesMayForwardAndSync(t *testing.T) {
	f := newFederation(t)
	f.createToken("tok", model.TokenCluster, nil)
	forward := &hansev1.ForwardRequest{Request: &hansev1.ForwardRequest_JoinCluster{JoinCluster: joinRequest(t, csr(t, newKey(t)), nil)}}
	for name, c := range map[string]struct {
		as   *agent
		code codes.Code
	}{
		"anonymous":    {&agent{}, codes.Unauthenticated},
		"agent":        {f.join("alpine"), codes.PermissionDenied},
		"removed node": {&agent{identity: f.identity("spiffe://acme/server/n9")}, codes.PermissionDenied},
	} {
		client := hansev1.NewNodeServiceClient(f.dial("n1", c.as.identity))
		_, err := client.Forward(f.ctx, forward)
		if status.Code(err) != c.code {
			t.Errorf("%s forwards: %v", name, err)
		}
		stream, err := client.Sync(f.ctx)
		if err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != c.code {
			t.Errorf("%s syncs: %v", name, err)
		}
	}
	node := hansev1.NewNodeServiceClient(f.dial("n1", f.nodes["n2"].identity))
	if _, err := node.Forward(f.ctx, forward); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Forward(f.ctx, &hansev1.ForwardRequest{}); status.Code(err) != codes.Unimplemented {
		t.Fatalf("an unknown request: %v", err)
	}
	_, err := hansev1.NewNodeServiceClient(f.dial("n2", f.nodes["n1"].identity)).Forward(f.ctx, forward)
	refusedWith(t, err, codes.Unavailable, "not the leader")
}

func TestGarbageNeverPanics(t *testing.T) {
	f := newFederation(t)
	s := f.nodes["n1"].Server
	noise := rapid.SliceOfN(rapid.Byte(), 0, 200)
	text := rapid.StringN(0, 80, 300)
	rapid.Check(t, func(t *rapid.T) {
		cluster := &hansev1.JoinClusterRequest{
			TokenId: text.Draw(t, "token"), Secret: text.Draw(t, "secret"), Cluster: text.Draw(t, "cluster"), TrustDomain: text.Draw(t, "domain"),
			Region: text.Draw(t, "region"), Csr: noise.Draw(t, "csr"), UnixMillis: rapid.Int64().Draw(t, "clock"),
		}
		if _, err := s.JoinCluster(f.ctx, cluster); err == nil {
			t.Fatal("noise joined")
		}
		node := &hansev1.JoinNodeRequest{TokenId: cluster.TokenId, Secret: cluster.Secret, Csr: cluster.Csr, CaCsr: cluster.Csr, Node: &hansev1.Node{Name: cluster.Cluster}}
		if _, err := s.JoinNode(f.ctx, node); err == nil {
			t.Fatal("noise joined as a node")
		}
		bundle := &hansev1.PutBundle{Cluster: cluster.Cluster, Bundle: &hansev1.SignedBundle{Statement: cluster.Csr}}
		for _, r := range []*hansev1.ForwardRequest{
			{Request: &hansev1.ForwardRequest_PutBundle{PutBundle: bundle}}, {Request: &hansev1.ForwardRequest_PutBundle{}},
			{Request: &hansev1.ForwardRequest_JoinCluster{}}, {Request: &hansev1.ForwardRequest_JoinNode{}}, {}, nil,
		} {
			if _, err := s.decide(f.ctx, r); err == nil {
				t.Fatal("noise was decided")
			}
		}
	})
}
