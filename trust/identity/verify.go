package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// maxChain bounds the chains that are looked at, leaf and root included.
const maxChain = 10

// trust is the roots of one trust domain.
type trust struct {
	roots  *x509.CertPool
	domain spiffeid.TrustDomain
}

func newTrust(roots [][]byte) (trust, error) {
	certs, err := parseCertificates(roots)
	if err != nil {
		return trust{}, fmt.Errorf("trusted roots: %w", err)
	}
	t := trust{roots: x509.NewCertPool()}
	for _, c := range certs {
		domain, err := rootDomain(c)
		switch {
		case err != nil:
			return trust{}, fmt.Errorf("trusted roots: %w", err)
		case !t.domain.IsZero() && t.domain != domain:
			return trust{}, fmt.Errorf("trusted roots are of %s and of %s: give those of one trust domain", t.domain, domain)
		}
		t.domain = domain
		t.roots.AddCert(c)
	}
	return t, nil
}

func rootDomain(c *x509.Certificate) (spiffeid.TrustDomain, error) {
	id, err := x509svid.IDFromCert(c)
	switch {
	case err != nil:
		return spiffeid.TrustDomain{}, fmt.Errorf("root certificate %q: %w", c.Subject.CommonName, err)
	case !c.IsCA || id.Path() != "":
		return spiffeid.TrustDomain{}, fmt.Errorf("certificate of %s is not a trust domain's root", id)
	}
	return id.TrustDomain(), nil
}

// verify checks a peer's chain by the X509-SVID standard, except whether now lies within the leaf's time: see checkTime.
func (t trust) verify(certs []*x509.Certificate, now time.Time) (spiffeid.ID, error) {
	if len(certs) == 0 || len(certs) > maxChain {
		return spiffeid.ID{}, fmt.Errorf("peer presented %d certificates, not 1 to %d", len(certs), maxChain)
	}
	leaf := certs[0]
	id, err := x509svid.IDFromCert(leaf)
	switch {
	case err != nil:
		return spiffeid.ID{}, fmt.Errorf("peer's certificate: %w", err)
	case id.Path() == "" || leaf.IsCA || leaf.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0:
		return spiffeid.ID{}, fmt.Errorf("peer's certificate of %s is a signing certificate", id)
	case leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return spiffeid.ID{}, fmt.Errorf("peer's certificate of %s has no key usage for signatures", id)
	case !id.MemberOf(t.domain):
		return spiffeid.ID{}, fmt.Errorf("peer is %s, which is not of trust domain %s", id, t.domain)
	}
	between := x509.NewCertPool()
	for _, c := range certs[1:] {
		between.AddCert(c)
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots:         t.roots,
		Intermediates: between,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		// A chain is judged as of a moment at which its leaf is valid, so that a leaf's own time can be judged apart.
		CurrentTime: within(leaf, now),
	})
	if err != nil {
		return spiffeid.ID{}, fmt.Errorf("certificate of %s is not trusted: %w", id, err)
	}
	return id, nil
}

// checkTime judges a leaf's time; it may have expired up to grace ago.
func checkTime(leaf *x509.Certificate, now time.Time, grace time.Duration) error {
	switch {
	case now.Before(leaf.NotBefore):
		return &TimeError{Certificate: name(leaf), Bound: leaf.NotBefore, Now: now}
	case now.After(leaf.NotAfter.Add(grace)):
		return &TimeError{Certificate: name(leaf), Bound: leaf.NotAfter, Now: now, Expired: true}
	}
	return nil
}

// TimeError says that a certificate is not valid yet or no more, by the clock of the one who judges it.
type TimeError struct {
	Certificate string
	// Bound is the end of validity that Now is beyond.
	Bound, Now time.Time
	Expired    bool
}

// Error names both times, because the fault is often a clock's.
func (e *TimeError) Error() string {
	what := "is not valid before"
	if e.Expired {
		what = "expired at"
	}
	return fmt.Sprintf("certificate of %s %s %s, and the clock here says %s: clocks may differ (synchronise them with NTP), or it was not renewed in time",
		e.Certificate, what, e.Bound.UTC().Format(time.RFC3339), e.Now.UTC().Format(time.RFC3339))
}

func within(c *x509.Certificate, now time.Time) time.Time {
	switch {
	case now.Before(c.NotBefore):
		return c.NotBefore
	case now.After(c.NotAfter):
		return c.NotAfter
	}
	return now
}

func name(c *x509.Certificate) string {
	if len(c.URIs) == 1 {
		return c.URIs[0].String()
	}
	return c.Subject.CommonName
}

var errNoCertificate = errors.New("no identity yet: join first")
