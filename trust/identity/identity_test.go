package identity

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/trust/ca"
)

var start = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

const day = 24 * time.Hour

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newIssuer returns an issuing CA below a root of the trust domain.
func newIssuer(t *testing.T, domain string) *ca.Authority {
	t.Helper()
	root, err := ca.NewRoot(ca.RootOptions{TrustDomain: domain, Now: start})
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	csr, err := ca.CSR(key, "issuing")
	if err != nil {
		t.Fatal(err)
	}
	chain, err := root.Intermediate(csr, ca.IntermediateOptions{TTL: 365 * day, Now: start})
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := ca.NewAuthority(key, chain)
	if err != nil {
		t.Fatal(err)
	}
	return issuer
}

func newSource(t *testing.T, c Clock, issuer *ca.Authority, id string, issuedAt time.Time) *Source {
	t.Helper()
	key := newKey(t)
	chain, err := issuer.Issue(ca.LeafRequest{PublicKey: key.Public(), SPIFFEID: id, TTL: 7 * day, Now: issuedAt})
	if err != nil {
		t.Fatal(err)
	}
	s := NewSource(c)
	if err := s.Set(Credentials{Chain: chain, Key: key, Roots: [][]byte{issuer.Root()}}); err != nil {
		t.Fatal(err)
	}
	return s
}

// handshake returns what each side made of it, and the server's view of the connection.
func handshake(t *testing.T, client, server *tls.Config) (state tls.ConnectionState, clientErr, serverErr error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	a, b := net.Pipe()
	defer func() { _ = a.Close(); _ = b.Close() }()
	done := make(chan struct{})
	s := tls.Server(b, server)
	go func() {
		defer close(done)
		if serverErr = s.HandshakeContext(ctx); serverErr == nil {
			// In TLS 1.3 a client learns only afterwards whether its certificate was accepted.
			_, serverErr = s.Write([]byte{1})
		} else {
			_ = b.Close()
		}
	}()
	client = client.Clone()
	client.ServerName = "ignored"
	c := tls.Client(a, client)
	if clientErr = c.HandshakeContext(ctx); clientErr == nil {
		_, clientErr = c.Read(make([]byte, 1))
	} else {
		_ = a.Close()
	}
	<-done
	return s.ConnectionState(), clientErr, serverErr
}

func TestMutualTLS(t *testing.T) {
	fed, other := newIssuer(t, "acme"), newIssuer(t, "evil")
	c := clock.NewFake(start)
	node := newSource(t, c, fed, "spiffe://acme/server/n1", start)
	agent := newSource(t, c, fed, "spiffe://acme/agent/alpha", start)
	stranger := newSource(t, c, other, "spiffe://evil/server/n1", start)
	anonymous := NewSource(c)
	if err := anonymous.Set(Credentials{Roots: [][]byte{fed.Root()}}); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		client, server *tls.Config
		ok             bool
		say            string
	}{
		"agent to node":             {agent.ClientTLS(nil), node.ServerTLS(ServerOptions{RequireClient: true}), true, ""},
		"anonymous, allowed":        {anonymous.ClientTLS(nil), node.ServerTLS(ServerOptions{}), true, ""},
		"anonymous, refused":        {anonymous.ClientTLS(nil), node.ServerTLS(ServerOptions{RequireClient: true}), false, "certificate"},
		"server of another domain":  {agent.ClientTLS(nil), stranger.ServerTLS(ServerOptions{}), false, "not of trust domain acme"},
		"client of another domain":  {&tls.Config{InsecureSkipVerify: true, GetClientCertificate: stranger.ClientTLS(nil).GetClientCertificate}, node.ServerTLS(ServerOptions{}), false, "not of trust domain acme"},
		"another node is expected":  {agent.ClientTLS(MatchNode("acme", "n2")), node.ServerTLS(ServerOptions{}), false, "spiffe://acme/server/n2"},
		"this node is expected":     {agent.ClientTLS(MatchNode("acme", "n1")), node.ServerTLS(ServerOptions{}), true, ""},
		"an operator as a server":   {agent.ClientTLS(nil), newSource(t, c, fed, "spiffe://acme/operator/o", start).ServerTLS(ServerOptions{}), false, "neither a federation node"},
		"nodes only":                {agent.ClientTLS(nil), node.ServerTLS(ServerOptions{Match: MatchNode("acme", "")}), false, "expected"},
		"TLS 1.2":                   {&tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}, node.ServerTLS(ServerOptions{}), false, "version"},
		"a server without identity": {agent.ClientTLS(nil), anonymous.ServerTLS(ServerOptions{}), false, "join first"},
	} {
		t.Run(name, func(t *testing.T) {
			_, clientErr, serverErr := handshake(t, x.client, x.server)
			err := errors.Join(clientErr, serverErr)
			if (err == nil) != x.ok {
				t.Fatalf("client: %v, server: %v", clientErr, serverErr)
			}
			if err != nil && !strings.Contains(err.Error(), x.say) {
				t.Fatalf("error %q does not say %q", err, x.say)
			}
		})
	}
}

func TestPin(t *testing.T) {
	fed, c := newIssuer(t, "acme"), clock.NewFake(start)
	pin := sha256.Sum256(fed.Root())
	wrong := sha256.Sum256([]byte("another root"))
	serve := func(id string) *tls.Config { return newSource(t, c, fed, id, start).ServerTLS(ServerOptions{}) }
	rootless := newSource(t, c, fed, "spiffe://acme/server/n1", start)
	rootless.held.certificate.Certificate = rootless.held.certificate.Certificate[:2]
	// A liar appends the true root to a chain of another.
	liar := newSource(t, c, newIssuer(t, "acme"), "spiffe://acme/server/n1", start)
	liar.held.certificate.Certificate[2] = fed.Root()
	for name, x := range map[string]struct {
		pin    []byte
		server *tls.Config
		option []PinOption
		ok     bool
	}{
		"node":                   {pin[:], serve("spiffe://acme/server/n1"), nil, true},
		"site's agent":           {pin[:], serve(model.WorkloadID("acme", model.SystemNamespace, model.AgentServiceAccount)), nil, true},
		"a workload poses":       {pin[:], serve("spiffe://acme/ns/shop/sa/agent"), nil, false},
		"a path that looks like": {pin[:], serve("spiffe://acme/ns/hanse-system/sa/agent/x"), nil, false},
		"another root":           {wrong[:], serve("spiffe://acme/server/n1"), nil, false},
		"no pin":                 {nil, serve("spiffe://acme/server/n1"), nil, false},
		"root not presented":     {pin[:], rootless.ServerTLS(ServerOptions{}), nil, false},
		"true root, false chain": {pin[:], liar.ServerTLS(ServerOptions{}), nil, false},
		"own match":              {pin[:], serve("spiffe://acme/server/n1"), []PinOption{PinMatch(MatchNode("acme", "n2"))}, false},
		"clock is behind":        {pin[:], serve("spiffe://acme/server/n1"), []PinOption{PinClock(clock.NewFake(start.Add(-time.Hour)))}, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, clientErr, _ := handshake(t, PinnedClientTLS(x.pin, append([]PinOption{PinClock(c)}, x.option...)...), x.server)
			if (clientErr == nil) != x.ok {
				t.Fatalf("client: %v", clientErr)
			}
		})
	}
}

func TestTimesAreJudgedAndNamed(t *testing.T) {
	fed := newIssuer(t, "acme")
	c := clock.NewFake(start)
	node := newSource(t, c, fed, "spiffe://acme/server/n1", start.Add(20*day))
	agent := newSource(t, clock.NewFake(start), fed, "spiffe://acme/agent/alpha", start)

	_, clientErr, _ := handshake(t, agent.ClientTLS(nil), node.ServerTLS(ServerOptions{}))
	var early *TimeError
	if !errors.As(clientErr, &early) || early.Expired {
		t.Fatalf("a certificate from the future: %v", clientErr)
	}
	for _, want := range []string{"2030-01-22T03:03:05Z", "2030-01-02T03:04:05Z", "clocks may differ"} {
		if !strings.Contains(early.Error(), want) {
			t.Errorf("error %q does not say %q", early, want)
		}
	}

	c.Advance(20 * day)
	lax := newSource(t, clock.NewFake(start.Add(20*day)), fed, "spiffe://acme/agent/alpha", start)
	_, _, serverErr := handshake(t, lax.ClientTLS(nil), node.ServerTLS(ServerOptions{}))
	var late *TimeError
	if !errors.As(serverErr, &late) || !late.Expired {
		t.Fatalf("an expired certificate: %v", serverErr)
	}
	state, clientErr, serverErr := handshake(t, lax.ClientTLS(nil), node.ServerTLS(ServerOptions{DeferTime: true}))
	if clientErr != nil || serverErr != nil {
		t.Fatalf("time was to be judged later: %v, %v", clientErr, serverErr)
	}
	ctx := peer.NewContext(context.Background(), &peer.Peer{AuthInfo: credentials.TLSInfo{State: state}})
	if _, _, err := node.VerifyPeer(ctx, 0); !errors.As(err, &late) {
		t.Fatalf("without grace: %v", err)
	}
	if id, _, err := node.VerifyPeer(ctx, 30*day); err != nil || id.Path() != "/agent/alpha" {
		t.Fatalf("within grace: %v, %v", id, err)
	}
	c.Advance(30 * day)
	if _, _, err := node.VerifyPeer(ctx, 30*day); !errors.As(err, &late) {
		t.Fatalf("after grace: %v", err)
	}
}

func TestPeerID(t *testing.T) {
	fed, c := newIssuer(t, "acme"), clock.NewFake(start)
	node := newSource(t, c, fed, "spiffe://acme/server/n1", start)
	agent := newSource(t, c, fed, "spiffe://acme/agent/alpha", start)
	state, _, _ := handshake(t, agent.ClientTLS(nil), node.ServerTLS(ServerOptions{}))
	ctx := peer.NewContext(context.Background(), &peer.Peer{AuthInfo: credentials.TLSInfo{State: state}})
	id, cert, err := PeerID(ctx)
	if err != nil || id.String() != "spiffe://acme/agent/alpha" || cert == nil {
		t.Fatalf("got %v, %v", id, err)
	}
	for name, ctx := range map[string]context.Context{
		"no peer":        context.Background(),
		"no TLS":         peer.NewContext(context.Background(), &peer.Peer{}),
		"no certificate": peer.NewContext(context.Background(), &peer.Peer{AuthInfo: credentials.TLSInfo{}}),
	} {
		if _, _, err := PeerID(ctx); !errors.Is(err, ErrNoPeer) {
			t.Errorf("%s: %v, want ErrNoPeer", name, err)
		}
		if _, _, err := node.VerifyPeer(ctx, 0); !errors.Is(err, ErrNoPeer) {
			t.Errorf("%s: %v, want ErrNoPeer", name, err)
		}
	}
}

func TestConfigurationsFollowSet(t *testing.T) {
	c := clock.NewFake(start)
	fed := newIssuer(t, "acme")
	node, agent := newSource(t, c, fed, "spiffe://acme/server/n1", start), newSource(t, c, fed, "spiffe://acme/agent/alpha", start)
	server, client := node.ServerTLS(ServerOptions{RequireClient: true}), agent.ClientTLS(nil)
	renewed := newSource(t, c, fed, "spiffe://acme/agent/alpha", start.Add(day))
	next, _ := renewed.Get()
	if err := agent.Set(next); err != nil {
		t.Fatal(err)
	}
	c.Advance(day)
	state, _, _ := handshake(t, client, server)
	if len(state.PeerCertificates) == 0 || !bytes.Equal(state.PeerCertificates[0].Raw, next.Chain[0]) {
		t.Fatal("the configuration did not follow the renewal")
	}
	if want := start.Add(8 * day); !agent.Expiry().Equal(want) {
		t.Fatalf("expires %s, want %s", agent.Expiry(), want)
	}
	if agent.ID().String() != "spiffe://acme/agent/alpha" {
		t.Fatalf("identity is %s", agent.ID())
	}
}

func TestSetRefusesWhatDoesNotBelongTogether(t *testing.T) {
	fed, other := newIssuer(t, "acme"), newIssuer(t, "evil")
	good, _ := newSource(t, clock.NewFake(start), fed, "spiffe://acme/server/n1", start).Get()
	for name, bad := range map[string]Credentials{
		"another's key":        {Chain: good.Chain, Key: newKey(t), Roots: good.Roots},
		"no key":               {Chain: good.Chain, Roots: good.Roots},
		"no roots":             {Chain: good.Chain, Key: good.Key},
		"roots of another":     {Chain: good.Chain, Key: good.Key, Roots: [][]byte{other.Root()}},
		"roots of two domains": {Chain: good.Chain, Key: good.Key, Roots: [][]byte{fed.Root(), other.Root()}},
		"a leaf as a root":     {Chain: good.Chain, Key: good.Key, Roots: good.Chain[:1]},
		"garbage":              {Chain: [][]byte{{1, 2}}, Key: good.Key, Roots: good.Roots},
	} {
		s := NewSource(clock.NewFake(start))
		if err := s.Set(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, ok := s.Get(); ok {
			t.Errorf("%s: kept", name)
		}
	}
}

func TestLeafRulesOfTheStandard(t *testing.T) {
	key := newKey(t)
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: start, NotAfter: start.Add(day),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, URIs: []*url.URL{{Scheme: "spiffe", Host: "acme"}},
	}
	sign := func(c *x509.Certificate) *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, c, root, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	anchor := sign(root)
	trusted, err := newTrust([][]byte{anchor.Raw})
	if err != nil {
		t.Fatal(err)
	}
	id := func(path string) *url.URL { return &url.URL{Scheme: "spiffe", Host: "acme", Path: path} }
	for name, x := range map[string]struct {
		change func(*x509.Certificate)
		ok     bool
	}{
		"good":           {func(*x509.Certificate) {}, true},
		"no usage named": {func(c *x509.Certificate) { c.ExtKeyUsage = nil }, true},
		"two URI names":  {func(c *x509.Certificate) { c.URIs = append(c.URIs, id("/server/n2")) }, false},
		"no URI name":    {func(c *x509.Certificate) { c.URIs = nil }, false},
		"a web URI":      {func(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "https", Host: "acme", Path: "/x"}} }, false},
		"no path":        {func(c *x509.Certificate) { c.URIs = []*url.URL{id("")} }, false},
		"CA":             {func(c *x509.Certificate) { c.IsCA = true }, false},
		"may sign":       {func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }, false},
		"may sign lists": {func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCRLSign }, false},
		"no key usage":   {func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }, false},
	} {
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(2), NotBefore: start, NotAfter: start.Add(time.Hour), BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
			URIs: []*url.URL{id("/server/n1")},
		}
		x.change(leaf)
		got, err := trusted.verify([]*x509.Certificate{sign(leaf), anchor}, start)
		if (err == nil) != x.ok {
			t.Errorf("%s: %v", name, err)
		}
		if x.ok && got != spiffeid.RequireFromString("spiffe://acme/server/n1") {
			t.Errorf("%s: identity %s", name, got)
		}
	}
}
