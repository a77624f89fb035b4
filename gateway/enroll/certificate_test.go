package enroll

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/cluster-agent/source/vm"
	"github.com/hanse-mesh/hanse/internal/clock"
)

func TestEnrolsOnceAndLoadsAfterwards(t *testing.T) {
	a := newAgent(t)
	store, key := &memory{}, newKey(t)
	p := a.enrolled(func(c *Config) { c.Store, c.Key = store, key })
	leaf, err := x509.ParseCertificate(p.chain[0])
	if err != nil {
		t.Fatal(err)
	}
	if id := leaf.URIs[0].String(); id != "spiffe://hamburg.example/ns/shop/sa/default" || leaf.Subject.CommonName != "vm-1" {
		t.Errorf("certificate is for %s, %s", id, leaf.Subject)
	}
	// Without a token and without an agent: the stored certificate is enough.
	a.stop()
	p = a.proxy(func(c *Config) { c.Store, c.Key = store, key })
	if err := p.Ensure(a.ctx); err != nil {
		t.Fatal(err)
	}
	if chain := receiveFrom(t, a.ctx, p.certificates); !leaf.Equal(parse(t, chain[0])) {
		t.Error("another certificate than the stored one is in use")
	}
}

func parse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestStoredCertificateThatIsOfNoUse(t *testing.T) {
	a := newAgent(t)
	good := &memory{}
	key := newKey(t)
	a.enrolled(func(c *Config) { c.Store, c.Key = good, key })
	cases := map[string]func(*Config){
		"nothing":          func(c *Config) { c.Store = &memory{} },
		"another key":      func(c *Config) { c.Key = newKey(t) },
		"another workload": func(c *Config) { c.Workload = "vm-2" },
		"expired":          func(c *Config) { c.Clock = clock.NewFake(time.Now().Add(25 * time.Hour)) },
		"no roots":         func(c *Config) { c.Store = &memory{chain: good.chain} },
		"junk":             func(c *Config) { c.Store = &memory{chain: [][]byte{[]byte("junk")}, roots: good.roots} },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			p := a.proxy(func(c *Config) {
				c.Store, c.Key = &memory{chain: good.chain, roots: good.roots}, key
				change(c)
			})
			if err := p.Ensure(a.ctx); err == nil || !strings.Contains(err.Error(), "no valid certificate and no token") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestRefusalsReturnAtOnceInTheAgentsWords(t *testing.T) {
	a := newAgent(t)
	used := a.token(vm.TokenSpec{Namespace: "shop"})
	if err := a.proxy(func(c *Config) { used(c); c.Workload = "vm-9" }).Ensure(a.ctx); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Config)
		code   codes.Code
		says   string
	}{
		"unknown token": {func(c *Config) { c.TokenID = "0" }, codes.NotFound, "unknown"},
		"used up":       {used, codes.PermissionDenied, "used up (1 of 1, by vm-9)"},
	} {
		err := a.proxy(c.change).Ensure(a.ctx)
		if status.Code(err) != c.code || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "rpc error") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestEnrolmentWaitsForTheAgent(t *testing.T) {
	a := newAgent(t)
	token := a.token(vm.TokenSpec{Namespace: "shop"})
	a.stop()
	p := a.proxy(token)
	done := make(chan error, 1)
	go func() { done <- p.Ensure(a.ctx) }()
	for range 3 {
		receiveFrom(t, a.ctx, p.pinned)
	}
	a.start()
	if err := receiveFrom(t, a.ctx, done); err != nil {
		t.Error(err)
	}
}

func TestEnrolmentEndsWithItsContext(t *testing.T) {
	a := newAgent(t)
	token := a.token(vm.TokenSpec{Namespace: "shop"})
	ctx, cancel := context.WithCancel(a.ctx)
	p := a.proxy(func(c *Config) {
		token(c)
		c.ConnectPinned = func(context.Context) (*grpc.ClientConn, error) {
			cancel()
			return nil, errors.New("no route to the agent")
		}
	})
	if err := p.Ensure(ctx); err == nil || !strings.Contains(err.Error(), "no route to the agent") {
		t.Errorf("got %v", err)
	}
}

func TestUnwritableStoreDoesNotStopTheProxy(t *testing.T) {
	a := newAgent(t)
	a.enrolled(func(c *Config) { c.Store = &memory{fail: errors.New("disk full")} })
}

func TestAnswerForAnotherKeyIsRefused(t *testing.T) {
	a := newAgent(t)
	p := a.enrolled(nil)
	chain, _, err := a.ca.sign(newKey(t).Public(), "spiffe://hamburg.example/ns/shop/sa/default", "vm-1", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ chain, roots [][]byte }{
		"another key": {chain, a.ca.Roots()}, "empty": {nil, a.ca.Roots()}, "junk": {[][]byte{{1}}, a.ca.Roots()},
		"junk root": {p.chain, [][]byte{{1}}}, "too many": {make([][]byte, maxCertificates+1), a.ca.Roots()},
	} {
		if err := p.accept(c.chain, c.roots); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if len(p.certificates) != 0 {
		t.Error("a useless answer replaced the certificate")
	}
}

func TestRenewsFromAThirdOfTheLifeOn(t *testing.T) {
	a := newAgent(t)
	c := clock.NewFake(time.Now())
	p := a.enrolled(func(cfg *Config) { cfg.Clock = c })
	first := p.chain[0]
	a.background(p.RunRenewal)
	never := func() bool { return len(p.certificates) > 0 }
	a.advance(c, 8*time.Hour-2*longestNap, never)
	if err := c.BlockUntil(a.ctx, 1); err != nil || never() {
		t.Fatalf("renewed before a third of its life (%v)", err)
	}
	a.advance(c, time.Hour, never)
	if second := receiveFrom(t, a.ctx, p.certificates)[0]; string(first) == string(second) {
		t.Error("the renewed certificate is the old one")
	}
}

func TestRenewalKeepsTheOldOneWhileTheAgentIsAway(t *testing.T) {
	a := newAgent(t)
	c := clock.NewFake(time.Now())
	store := &memory{}
	p := a.enrolled(func(cfg *Config) { cfg.Clock, cfg.Store = c, store })
	a.background(p.RunRenewal)
	a.stop()
	a.advance(c, 10*time.Hour, func() bool { return false })
	if len(p.certificates) != 0 || store.saves != 1 {
		t.Fatal("the certificate changed without an agent")
	}
	a.start()
	a.advance(c, 10*time.Hour, func() bool { return len(p.certificates) > 0 })
	receiveFrom(t, a.ctx, p.certificates)
}

// A machine that slept longer than its certificate lives comes back with the token that it enrolled with.
func TestExpiredCertificateIsReplacedByEnrolling(t *testing.T) {
	a := newAgent(t)
	c := clock.NewFake(time.Now())
	p := a.enrolled(func(cfg *Config) { cfg.Clock = c })
	receiveFrom(t, a.ctx, p.pinned)
	c.Advance(25 * time.Hour)
	a.background(p.RunRenewal)
	receiveFrom(t, a.ctx, p.certificates)
	receiveFrom(t, a.ctx, p.pinned)
}
