package server

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/trust/bundle"
	"github.com/hanse-mesh/hanse/trust/ca"
)

func (f *federation) putRule(name, json string) {
	f.t.Helper()
	f.propose(state.PutPolicy{Kind: "ExportRule", Name: name, JSON: []byte(`{"name":"` + name + `","spec":` + json + `}`)})
}

const toAll = `{"from":["*"],"namespaces":["shop"],"to":["*"]}`

func TestSessionIsRefused(t *testing.T) {
	f := newFederation(t)
	a := f.join("alpha")
	with := func(change func(*hansev1.SessionHello)) *hansev1.SessionHello {
		h := f.hello(a, "i1")
		change(h)
		return h
	}
	for name, c := range map[string]struct {
		as    *agent
		hello *hansev1.SessionHello
		code  codes.Code
		say   []string
		waits bool
	}{
		"another key":         {&agent{name: "alpha", identity: f.identity("spiffe://acme/agent/alpha")}, f.hello(a, "i1"), codes.PermissionDenied, []string{"alpha", "key was replaced"}, true},
		"not a member":        {&agent{name: "gone", identity: f.identity("spiffe://acme/agent/gone")}, f.hello(&agent{name: "gone"}, "i1"), codes.PermissionDenied, []string{"gone", "not a member"}, true},
		"a node":              {f.asAgent("n2"), f.hello(a, "i1"), codes.PermissionDenied, []string{"not an agent"}, false},
		"anonymous":           {&agent{}, f.hello(a, "i1"), codes.Unauthenticated, nil, false},
		"another's name":      {a, with(func(h *hansev1.SessionHello) { h.Cluster = "beta" }), codes.PermissionDenied, []string{"beta", "alpha"}, false},
		"too new":             {a, with(func(h *hansev1.SessionHello) { h.ProtocolMin = 9; h.ProtocolMax = 9 }), codes.FailedPrecondition, []string{"9 to 9", fmt.Sprintf("1 to %d", model.ProtocolMax), "upgrade"}, false},
		"no instance":         {a, with(func(h *hansev1.SessionHello) { h.Instance = "" }), codes.InvalidArgument, []string{"instance"}, false},
		"no hello but nought": {a, nil, codes.InvalidArgument, []string{"hello"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			f.clock.forget()
			l := f.open(t, "n1", c.as, c.hello)
			if c.waits {
				f.clock.fire(f.ctx, t, memberWait)
			}
			refusedWith(t, l.ended(), c.code, c.say...)
		})
	}
	f.clock.forget()
	silent, err := hansev1.NewFederationServiceClient(f.dial("n1", a.identity)).Session(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	f.clock.fire(f.ctx, t, helloWait)
	_, err = silent.Recv()
	refusedWith(t, err, codes.DeadlineExceeded, "hello")
}

func (f *federation) asAgent(node string) *agent { return &agent{identity: f.nodes[node].identity} }

func TestSessionWaitsForAMembershipNotHeardOfYet(t *testing.T) {
	f := newFederation(t)
	key := newKey(t)
	chain, err := f.root.Issue(ca.LeafRequest{PublicKey: key.Public(), SPIFFEID: "spiffe://acme/agent/alpha", TTL: day, Now: start})
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{name: "alpha", key: key, identity: f.source(chain, key)}
	l := f.open(t, "n2", a, f.hello(a, "i1"))
	f.createToken("tok", model.TokenCluster, nil)
	f.propose(state.JoinCluster{TokenID: "tok", SecretHash: f.token("tok", model.TokenCluster, nil).SecretHash, Cluster: "alpha", AgentKey: pkix(t, key)})
	l.until("the state", func() bool { return l.state != nil })
}

func TestStateComesWithoutTokensAndFollows(t *testing.T) {
	f := newFederation(t)
	l := f.connect(t, "n1", f.join("alpha"), "i1")
	f.join("beta")
	l.until("beta in the state", func() bool { return len(l.state.GetClusters()) == 2 })
	if len(l.state.GetTokens()) != 0 {
		t.Fatalf("an agent was told of tokens: %v", l.state.GetTokens())
	}
	if s := f.nodes["n1"].Sessions(); len(s) != 1 || s[0].Cluster != "alpha" || s[0].Instance != "i1" || s[0].AgentVersion != "v1" || !s[0].Since.Equal(start) {
		t.Fatalf("sessions %+v", s)
	}
	f.propose(state.RemoveCluster{Name: "alpha"})
	refusedWith(t, l.ended(), codes.PermissionDenied, "not a member")
}

func TestBundleReachesTheState(t *testing.T) {
	f := newFederation(t)
	a := f.join("alpha")
	l := f.connect(t, "n2", a, "i1")
	root, err := ca.NewRoot(ca.RootOptions{TrustDomain: "alpha.acme", Now: start})
	if err != nil {
		t.Fatal(err)
	}
	put := func(domain string, sequence uint64, authority *ca.Authority) model.SignedBundle {
		t.Helper()
		s, err := bundle.Sign(model.Bundle{TrustDomain: domain, Sequence: sequence, Roots: [][]byte{authority.Root()}}, authority.Signer())
		if err != nil {
			t.Fatal(err)
		}
		l.send(&hansev1.SessionRequest{Message: &hansev1.SessionRequest_Bundle{Bundle: codec.SignedBundleToProto(s)}})
		return s
	}
	put("alpha.acme", 2, root)
	l.until("the bundle", func() bool { return len(l.state.GetBundles()) == 1 })
	answer, err := hansev1.NewFederationServiceClient(f.dial("n1", a.identity)).GetBundle(f.ctx, &hansev1.GetBundleRequest{TrustDomain: "alpha.acme"})
	if err != nil || answer.GetBundle() == nil || answer.GetNode() != "n1" {
		t.Fatalf("%v, %v", answer, err)
	}
	if _, err := hansev1.NewFederationServiceClient(f.dial("n1", nil)).GetBundle(f.ctx, &hansev1.GetBundleRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Fatalf("a stranger asks: %v", err)
	}
	other, err := ca.NewRoot(ca.RootOptions{TrustDomain: "alpha.acme", Now: start})
	if err != nil {
		t.Fatal(err)
	}
	put("alpha.acme", 3, other)
	refused := find(l, (*hansev1.SessionResponse).GetRefused).GetRefusals()
	if len(refused) != 1 || refused[0].GetKey() != bundleKey || !strings.Contains(refused[0].GetReason(), "operator") {
		t.Fatalf("refusals %v", refused)
	}
}

func TestBundleWaitsForALeader(t *testing.T) {
	f := newFederation(t)
	l := f.connect(t, "n1", f.join("alpha"), "i1")
	f.raft.lead("")
	root, err := ca.NewRoot(ca.RootOptions{TrustDomain: "alpha.acme", Now: start})
	if err != nil {
		t.Fatal(err)
	}
	s, err := bundle.Sign(model.Bundle{TrustDomain: "alpha.acme", Sequence: 1, Roots: [][]byte{root.Root()}}, root.Signer())
	if err != nil {
		t.Fatal(err)
	}
	l.send(&hansev1.SessionRequest{Message: &hansev1.SessionRequest_Bundle{Bundle: codec.SignedBundleToProto(s)}})
	f.clock.waitFor(f.ctx, t, bundleRetry)
	f.raft.lead("n1")
	f.clock.Advance(bundleRetry)
	l.until("the bundle", func() bool { return len(l.state.GetBundles()) == 1 })
}

func TestSessionsEndWithTheServer(t *testing.T) {
	f := newFederation(t)
	l := f.connect(t, "n1", f.join("alpha"), "i1")
	l.publish(nil, l.service("secret", "vault"))
	find(l, (*hansev1.SessionResponse).GetRefused)
	ctx, cancel := context.WithCancel(f.ctx)
	cancel()
	if err := f.nodes["n1"].Run(ctx); err != nil {
		t.Fatal(err)
	}
	refusedWith(t, l.ended(), codes.Unavailable, "stopping")
	if o := f.store.Origins(); len(o) != 1 {
		t.Fatal("the end of a session withdrew what it had published")
	}
}
