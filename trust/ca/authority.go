// Package ca owns signing: a trust domain's root, the issuing CAs under it, and the certificates that they issue.
//
// A cluster has a self-signed root of its own. The federation's root certifies the first node's issuing CA and then leaves the
// servers; each node's issuing CA certifies those of the nodes that it admits. Keys are ECDSA P-256 and never leave the process that
// made them. All times are arguments.
package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

const (
	// Skew is how far before now a certificate's validity begins, for peers whose clocks are behind.
	Skew = time.Minute
	// RootTTL is how long a root lives when RootOptions name no time.
	RootTTL = 10 * 365 * 24 * time.Hour
	// MaxDepth bounds a chain, leaf and root included: verifiers refuse longer ones.
	MaxDepth = 10
)

// Authority is a CA that can sign: a key and the chain that leads from its certificate to its root. It is immutable and safe for
// concurrent use.
type Authority struct {
	key crypto.Signer
	// chain begins with the authority's own certificate and ends with the root; a root's chain is itself alone.
	chain [][]byte
	cert  *x509.Certificate
	td    spiffeid.TrustDomain
}

// RootOptions describe a new root. TTL defaults to RootTTL.
type RootOptions struct {
	TrustDomain string
	CommonName  string
	TTL         time.Duration
	Now         time.Time
}

// NewRoot makes a key and a self-signed root certificate for a trust domain.
func NewRoot(o RootOptions) (*Authority, error) {
	td, err := spiffeid.TrustDomainFromString(o.TrustDomain)
	if err != nil {
		return nil, fmt.Errorf("make root of %q: %w", o.TrustDomain, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make root of %s: %w", td, err)
	}
	if o.TTL == 0 {
		o.TTL = RootTTL
	}
	template, err := caTemplate(td, o.CommonName, o.Now.Add(-Skew), o.Now.Add(o.TTL))
	if err != nil {
		return nil, fmt.Errorf("make root of %s: %w", td, err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make root of %s: %w", td, err)
	}
	return NewAuthority(key, [][]byte{der})
}

// NewAuthority joins a key with the chain that was issued for it, its own certificate first and the root last. It checks that they
// belong together and that each certificate of the chain signed the one before it, but not the time.
func NewAuthority(key crypto.Signer, chain [][]byte) (*Authority, error) {
	certs, err := parseChain(chain)
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	own := certs[0]
	public, ok := own.PublicKey.(*ecdsa.PublicKey)
	if !ok || !public.Equal(key.Public()) {
		return nil, errors.New("load authority: the key does not belong to the certificate")
	}
	if len(own.URIs) != 1 {
		return nil, fmt.Errorf("load authority: the certificate has %d URI names, not one trust domain", len(own.URIs))
	}
	td, err := spiffeid.TrustDomainFromURI(own.URIs[0])
	if err != nil || td.IDString() != own.URIs[0].String() {
		return nil, fmt.Errorf("load authority: the certificate's name %q is not a trust domain", own.URIs[0])
	}
	return &Authority{key: key, chain: chain, cert: own, td: td}, nil
}

// Root is the root certificate of the authority's chain, DER.
func (a *Authority) Root() []byte { return a.chain[len(a.chain)-1] }

// Chain is the authority's own certificate and those above it, DER, the root last.
func (a *Authority) Chain() [][]byte { return slices.Clone(a.chain) }

// Signer is the authority's key, for statements that a CA key vouches for.
func (a *Authority) Signer() crypto.Signer { return a.key }

// TrustDomain is the name of the trust domain that the authority signs for.
func (a *Authority) TrustDomain() string { return a.td.Name() }

// NotAfter is when the authority's own certificate ends. Nothing that it issues lives longer.
func (a *Authority) NotAfter() time.Time { return a.cert.NotAfter }

func parseChain(chain [][]byte) ([]*x509.Certificate, error) {
	if len(chain) == 0 || len(chain) > MaxDepth {
		return nil, fmt.Errorf("the chain must have 1 to %d certificates, not %d", MaxDepth, len(chain))
	}
	certs := make([]*x509.Certificate, len(chain))
	for i, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the chain: %w", i, err)
		}
		if !c.IsCA || c.KeyUsage&x509.KeyUsageCertSign == 0 {
			return nil, fmt.Errorf("certificate %d of the chain is not a CA's", i)
		}
		certs[i] = c
	}
	for i, c := range certs {
		parent := certs[min(i+1, len(certs)-1)]
		if !bytes.Equal(c.RawIssuer, parent.RawSubject) || c.CheckSignatureFrom(parent) != nil {
			return nil, fmt.Errorf("certificate %d of the chain is not signed by the next one", i)
		}
	}
	return certs, nil
}

func caTemplate(td spiffeid.TrustDomain, commonName string, notBefore, notAfter time.Time) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	if commonName == "" {
		commonName = td.Name()
	}
	return &x509.Certificate{
		SerialNumber: serial,
		// The serial number makes the subject unique: path building never confuses two CAs of the same name.
		Subject:               pkix.Name{CommonName: commonName, SerialNumber: serial.Text(16), Organization: []string{"Hanse"}},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		URIs:                  []*url.URL{td.ID().URL()},
	}, nil
}

// newSerial is positive and has 127 random bits (RFC 5280 allows 20 octets).
func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	return serial.Add(serial, big.NewInt(1)), nil
}
