// Package identity owns our own TLS: who a process is towards other parts of Hanse, and whom it believes.
//
// Every certificate is an X509-SVID of one trust domain: the federation's between nodes and agents, the cluster's between an agent
// and its proxies. Chains end with the root, so that who knows only the root's SHA-256 can verify them too. Connections use TLS 1.3
// and are verified here by SPIFFE ID, never by host name.
package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// Clock tells the time by which certificates are judged.
type Clock interface{ Now() time.Time }

// Credentials are an identity and what it trusts. Chain and Key may be missing together: then a process verifies others but cannot
// prove who it is.
type Credentials struct {
	// Chain is DER, the leaf first and the root last.
	Chain [][]byte
	Key   crypto.Signer
	// Roots are the trusted CA certificates, DER, of the one trust domain that peers must belong to.
	Roots [][]byte
}

// Source holds a process's current credentials. TLS configurations made from it follow each Set. It is safe for concurrent use.
type Source struct {
	clock Clock

	mu sync.RWMutex
	// held is replaced whole and never changed.
	held *held
}

type held struct {
	credentials Credentials
	certificate *tls.Certificate
	id          spiffeid.ID
	trust       trust
}

// NewSource returns a source without credentials: handshakes fail until Set was called.
func NewSource(clock Clock) *Source { return &Source{clock: clock} }

// Set replaces the credentials after checking that chain, key and roots belong together. It does not check times: a certificate
// that seems not to be valid may come from a clock that differs, and peers decide.
func (s *Source) Set(c Credentials) error {
	next, err := newHeld(c)
	if err != nil {
		return fmt.Errorf("set identity: %w", err)
	}
	s.mu.Lock()
	s.held = next
	s.mu.Unlock()
	return nil
}

// Get returns the credentials; ok is false before the first Set. The slices are shared: do not change them.
func (s *Source) Get() (c Credentials, ok bool) {
	h := s.current()
	if h == nil {
		return Credentials{}, false
	}
	return h.credentials, true
}

// ID is the identity held, zero without one.
func (s *Source) ID() spiffeid.ID {
	if h := s.current(); h != nil {
		return h.id
	}
	return spiffeid.ID{}
}

// Expiry is when the identity's certificate ends; zero without one.
func (s *Source) Expiry() time.Time {
	h := s.current()
	if h == nil || h.certificate == nil {
		return time.Time{}
	}
	return h.certificate.Leaf.NotAfter
}

func (s *Source) current() *held {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.held
}

func newHeld(c Credentials) (*held, error) {
	t, err := newTrust(c.Roots)
	if err != nil {
		return nil, err
	}
	h := &held{credentials: c, trust: t}
	if c.Key == nil && len(c.Chain) == 0 {
		return h, nil
	}
	certs, err := parseCertificates(c.Chain)
	switch {
	case err != nil:
		return nil, fmt.Errorf("own chain: %w", err)
	case c.Key == nil:
		return nil, errors.New("there is a certificate, but no key")
	}
	leaf := certs[0]
	if public, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || !public.Equal(c.Key.Public()) {
		return nil, errors.New("the key does not belong to the certificate")
	}
	if h.id, err = x509svid.IDFromCert(leaf); err != nil {
		return nil, fmt.Errorf("own certificate: %w", err)
	}
	if !h.id.MemberOf(t.domain) {
		return nil, fmt.Errorf("own certificate is of %s, the trusted roots of %s", h.id, t.domain)
	}
	h.certificate = &tls.Certificate{Certificate: c.Chain, PrivateKey: c.Key, Leaf: leaf}
	return h, nil
}

func parseCertificates(chain [][]byte) ([]*x509.Certificate, error) {
	if len(chain) == 0 || len(chain) > maxChain {
		return nil, fmt.Errorf("it has %d certificates, not 1 to %d", len(chain), maxChain)
	}
	certs := make([]*x509.Certificate, len(chain))
	for i, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", i, err)
		}
		certs[i] = c
	}
	return certs, nil
}
