package identity

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"

	"github.com/hanse-mesh/hanse/internal/clock"
)

// A server that defers lets everybody through the handshake, and says afterwards who it was or why it was nobody.
func TestDeferredCertificates(t *testing.T) {
	fed, other := newIssuer(t, "acme"), newIssuer(t, "acme")
	now := start.Add(8 * day)
	c := clock.NewFake(now)
	node := newSource(t, c, fed, "spiffe://acme/server/n1", now)
	anonymous := NewSource(c)
	if err := anonymous.Set(Credentials{Roots: [][]byte{fed.Root()}}); err != nil {
		t.Fatal(err)
	}
	// whoever shows a certificate without asking the server what it wants.
	whoever := func(s *Source) *tls.Config {
		return &tls.Config{InsecureSkipVerify: true, GetClientCertificate: s.ClientTLS(nil).GetClientCertificate}
	}
	for name, x := range map[string]struct {
		client *tls.Config
		id     string
		say    string
	}{
		"an operator":            {whoever(newSource(t, c, fed, "spiffe://acme/operator/ann", now)), "spiffe://acme/operator/ann", ""},
		"another root's":         {whoever(newSource(t, c, other, "spiffe://acme/operator/ann", now)), "", "not trusted"},
		"another domain's":       {whoever(newSource(t, c, newIssuer(t, "evil"), "spiffe://evil/operator/ann", now)), "", "not of trust domain acme"},
		"one that has expired":   {whoever(newSource(t, c, fed, "spiffe://acme/operator/ann", start)), "", "expired"},
		"one that begins later":  {whoever(newSource(t, c, fed, "spiffe://acme/operator/ann", now.Add(day))), "", "is not valid before"},
		"nobody":                 {anonymous.ClientTLS(nil), "", ErrNoPeer.Error()},
		"a node by its own rule": {newSource(t, c, fed, "spiffe://acme/server/n2", now).ClientTLS(nil), "spiffe://acme/server/n2", ""},
	} {
		t.Run(name, func(t *testing.T) {
			state, clientErr, serverErr := handshake(t, x.client, node.ServerTLS(ServerOptions{DeferCertificate: true}))
			if clientErr != nil || serverErr != nil {
				t.Fatalf("client: %v, server: %v", clientErr, serverErr)
			}
			id, err := node.VerifyState(state)
			if got := id.String(); got != x.id || (err == nil) != (x.say == "") {
				t.Fatalf("%q, %v", got, err)
			}
			if err != nil && !strings.Contains(err.Error(), x.say) {
				t.Errorf("error %q does not say %q", err, x.say)
			}
		})
	}
	if _, err := NewSource(c).VerifyState(tls.ConnectionState{}); !errors.Is(err, ErrNoPeer) {
		t.Errorf("without anything: %v", err)
	}
	if config := NewSource(c).ServerTLS(ServerOptions{DeferCertificate: true}); config.ClientCAs != nil {
		t.Error("a source without roots names some")
	}
}
