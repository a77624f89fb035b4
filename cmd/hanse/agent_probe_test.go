package main

import (
	"bufio"
	"context"
	"crypto"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/trust/ca"
	"github.com/hanse-mesh/hanse/trust/identity"
)

// sincePeer is a peer whose certificates are valid by the machine's clock, which TLS goes by.
func sincePeer(t *testing.T, name string, incarnation uint64) peer {
	t.Helper()
	p := newPeer(t, name, incarnation)
	var err error
	if p.authority, err = ca.NewRoot(ca.RootOptions{TrustDomain: p.TrustDomain, CommonName: name, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	return p
}

// certificate is one of the peer's own CA, for a service account of Hanse itself.
func (p peer) certificate(t *testing.T, account string) tls.Certificate {
	t.Helper()
	key, err := identity.LoadOrCreateKey(t.TempDir() + "/key")
	if err != nil {
		t.Fatal(err)
	}
	chain, err := p.authority.Issue(ca.LeafRequest{
		PublicKey: key.Public(), SPIFFEID: model.WorkloadID(p.TrustDomain, model.SystemNamespace, account), TTL: time.Hour, Now: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: chain, PrivateKey: key}
}

func TestAProbeWantsTheGatewaysOwnAnswer(t *testing.T) {
	own, us, stranger := sincePeer(t, "eu", 1), sincePeer(t, "us", 2), sincePeer(t, "us", 2)
	s := newSite(t, t.TempDir(), own)
	s.State(view(t, own, us).Proto(false))
	if err := s.introduce(us.bundle(t), true, false); err != nil {
		t.Fatal(err)
	}
	a := &agentParts{core: s.siteCore, siteIdentity: identity.NewSource(clock.Real{})}
	mine := own.certificate(t, model.AgentServiceAccount)
	if err := setCredentials(a.siteIdentity, mine.PrivateKey.(crypto.Signer), mine.Certificate); err != nil {
		t.Fatal(err)
	}
	const good = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	for name, c := range map[string]struct {
		certificate tls.Certificate
		cluster     model.ClusterName
		// answer is what the gateway says after the request; empty when it hangs.
		answer string
		want   string
	}{
		"answers":          {us.certificate(t, model.GatewayServiceAccount), "us", good, ""},
		"refuses":          {us.certificate(t, model.GatewayServiceAccount), "us", "HTTP/1.1 503 Unavailable\r\n\r\n", `the gateway answers "HTTP/1.1 503"`},
		"hangs":            {us.certificate(t, model.GatewayServiceAccount), "us", "", "timeout"},
		"another workload": {us.certificate(t, model.AgentServiceAccount), "us", good, "the gateway is spiffe://us.example.org/"},
		"another CA":       {stranger.certificate(t, model.GatewayServiceAccount), "us", good, "could not verify"},
		"unknown cluster":  {us.certificate(t, model.GatewayServiceAccount), "ap", good, "no bundle of cluster ap is believed yet"},
	} {
		t.Run(name, func(t *testing.T) {
			gateway := serveGateway(t, c.certificate, c.answer)
			conn, err := dialGateway(patience(t), gateway)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			ctx := patience(t)
			if c.answer == "" {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
				defer cancel()
			}
			err = a.greetGateway(ctx, conn, "gateway.us.example.org", c.cluster)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// serveGateway stands in for a gateway's Envoy until the test ends, for one connection.
func serveGateway(t *testing.T, certificate tls.Certificate, answer string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		raw, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = raw.Close() }()
		conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13})
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		if answer != "" {
			_, _ = io.WriteString(conn, answer)
			return
		}
		// A gateway that hangs does so until the prober has given up.
		_, _ = io.Copy(io.Discard, conn)
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().(*net.TCPAddr).AddrPort()
}
