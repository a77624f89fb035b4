package identity

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"fmt"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/hanse-mesh/hanse/internal/clock"
)

// PinOption changes what PinnedClientTLS accepts.
type PinOption func(*pinned)

type pinned struct {
	clock Clock
	match func(spiffeid.ID) error
}

// PinClock judges times by another clock than the machine's.
func PinClock(c Clock) PinOption { return func(p *pinned) { p.clock = c } }

// PinMatch accepts other identities than the control plane's.
func PinMatch(match func(spiffeid.ID) error) PinOption { return func(p *pinned) { p.match = match } }

// PinnedClientTLS is for a client that has no identity yet and knows its peers by the SHA-256 of their root certificate (DER): the
// presented chain must end with that root. Only the control plane is accepted, so that a workload's certificate under the same root
// cannot pose as it.
func PinnedClientTLS(pin []byte, options ...PinOption) *tls.Config {
	p := pinned{clock: clock.Real{}, match: controlPlane}
	for _, o := range options {
		o(&p)
	}
	c := base()
	c.InsecureSkipVerify = true // VerifyConnection does it by the pin.
	c.VerifyConnection = func(state tls.ConnectionState) error {
		certs := state.PeerCertificates
		if len(certs) == 0 {
			return ErrNoPeer
		}
		root := certs[len(certs)-1]
		if sum := sha256.Sum256(root.Raw); !bytes.Equal(sum[:], pin) {
			return fmt.Errorf("the server's root certificate has SHA-256 %x, but the token pins %x: this is not the one that issued the token", sum, pin)
		}
		t, err := newTrust([][]byte{root.Raw})
		if err != nil {
			return err
		}
		return t.accept(certs, p.clock.Now(), p.match, false)
	}
	return c
}

// RootedClientTLS is for a client that has no identity yet and holds the roots of its peers' trust domain (DER), which load reads for each
// connection: they may change while it waits. As with PinnedClientTLS, only the control plane is accepted.
func RootedClientTLS(load func() ([][]byte, error), options ...PinOption) *tls.Config {
	p := pinned{clock: clock.Real{}, match: controlPlane}
	for _, o := range options {
		o(&p)
	}
	c := base()
	c.InsecureSkipVerify = true // VerifyConnection does it by the roots.
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return ErrNoPeer
		}
		roots, err := load()
		if err != nil {
			return err
		}
		t, err := newTrust(roots)
		if err != nil {
			return err
		}
		return t.accept(state.PeerCertificates, p.clock.Now(), p.match, false)
	}
	return c
}
