package enroll

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/internal/backoff"
)

const (
	// callTimeout bounds one request to the agent.
	callTimeout = 10 * time.Second
	// maxCertificates bounds a chain and a set of roots.
	maxCertificates = 32
	// longestNap bounds how long a renewal sleeps before it looks at the clock again: timers stand still while a virtual machine is
	// suspended, certificates do not.
	longestNap = time.Minute
	// soonestRenewal keeps a clock that disagrees with the agent's from renewing without a pause.
	soonestRenewal = 5 * time.Second
	// tellAgain is how often a proxy that waits for its agent says so.
	tellAgain = 10 * time.Second
)

// certificate is what the client knows of the one in use.
type certificate struct {
	expiry  time.Time
	renewAt time.Time
}

// Ensure loads the stored certificate, or enrols with the token when there is none for this key and workload or it has run out. It
// tries until the agent answers or ctx ends; a refusal returns at once, in the agent's words. A pod goes on after a refusal: what it waits for
// may be repaired beside it, and to end would only have it started again.
func (c *Client) Ensure(ctx context.Context) error {
	chain, roots, err := c.cfg.Store.Load()
	if err != nil {
		c.cfg.Logger.Warn("the stored certificate cannot be read: enrolling anew", "error", err)
	}
	if leaf, err := c.check(chain, roots); err == nil && leaf.Subject.CommonName == c.cfg.Workload && c.cfg.Clock.Now().Before(leaf.NotAfter) {
		life := leaf.NotAfter.Sub(leaf.NotBefore)
		c.use(chain, roots, certificate{expiry: leaf.NotAfter, renewAt: leaf.NotBefore.Add(life/3 + jitter(life))})
		return nil
	}
	if !c.hasToken() {
		return fmt.Errorf("enrol workload %q: there is no valid certificate and no token: mint a workload token at the site's agent and give it to this proxy", c.cfg.Workload)
	}
	pauses := backoff.Backoff{Min: 100 * time.Millisecond, Max: 5 * time.Second}
	var last error
	var told time.Time
	for {
		err := c.enroll(ctx)
		switch {
		case err == nil:
			return nil
		case isFinal(err) && !c.isPod():
			return fmt.Errorf("enrol workload %q: %w", c.cfg.Workload, plain{err})
		case ctx.Err() == nil || last == nil:
			last = plain{err}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("enrol workload %q: no certificate came in time: %w", c.cfg.Workload, last)
		}
		if now := c.cfg.Clock.Now(); now.Sub(told) >= tellAgain {
			c.cfg.Logger.Warn("not enrolled yet", "workload", c.cfg.Workload, "error", plain{err})
			told = now
		}
		if c.isPod() && isSlow(err) {
			c.reject(err)
		}
		c.pause(ctx, pauses.Next(), nil)
	}
}

// RunRenewal renews the certificate from a third of its life on, and keeps the old one until the agent has given a new one. One that
// ran out meanwhile, as in a machine that slept, is replaced by enrolling again with the token. It returns nil when ctx ends.
func (c *Client) RunRenewal(ctx context.Context) error {
	pauses := backoff.Backoff{Min: time.Second, Max: time.Minute}
	for {
		if !c.sleepUntilDue(ctx) {
			return nil
		}
		err := c.renew(ctx)
		if err == nil {
			pauses.Reset()
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		c.cfg.Logger.Warn("certificate not renewed: the present one stays in use", "workload", c.cfg.Workload,
			"expires", c.certificate().expiry, "error", plain{err})
		if !c.pause(ctx, pauses.Next(), nil) {
			return nil
		}
	}
}

func (c *Client) sleepUntilDue(ctx context.Context) bool {
	for ctx.Err() == nil {
		// Round strips the monotonic reading, which stands still while the machine sleeps.
		left := c.certificate().renewAt.Sub(c.cfg.Clock.Now().Round(0))
		if left <= 0 {
			return true
		}
		c.pause(ctx, min(left, longestNap), nil)
	}
	return false
}

func (c *Client) renew(ctx context.Context) error {
	if c.hasToken() && !c.cfg.Clock.Now().Before(c.certificate().expiry) {
		return c.enroll(ctx)
	}
	err := c.prolong(ctx)
	if c.mayEnrolAnew(err) {
		return c.enroll(ctx)
	}
	return err
}

// prolong has the present certificate replaced by one for the same key.
func (c *Client) prolong(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	csr, err := c.csr()
	if err != nil {
		return err
	}
	conn, err := c.cfg.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	r, err := hansev1.NewSiteServiceClient(conn).Renew(ctx, &hansev1.RenewRequest{Csr: csr})
	if err != nil {
		return err
	}
	return c.accept(r.GetCertificates(), r.GetRoots())
}

func (c *Client) enroll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	csr, err := c.csr()
	if err != nil {
		return err
	}
	conn, err := c.cfg.ConnectPinned(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	req := &hansev1.EnrollRequest{TokenId: c.cfg.TokenID, Secret: c.cfg.TokenSecret, Workload: c.cfg.Workload, Csr: csr}
	if c.isPod() {
		if req.ServiceAccountToken, err = c.cfg.ServiceAccountToken(); err != nil {
			return err
		}
	}
	r, err := hansev1.NewSiteServiceClient(conn).Enroll(ctx, req)
	if err != nil {
		return err
	}
	return c.accept(r.GetCertificates(), r.GetRoots())
}

// isPod reports whether the proxy stands in a pod and proves itself by its service account.
func (c *Client) isPod() bool { return c.cfg.ServiceAccountToken != nil }

func (c *Client) hasToken() bool { return c.isPod() || c.cfg.TokenID != "" }

// mayEnrolAnew reports whether an agent that does not know the certificate's holder can be shown the token again. An agent forgets pods that
// are away, and what it held when it lost its own disk.
func (c *Client) mayEnrolAnew(err error) bool { return c.isPod() && isUnknown(err) }

func (c *Client) reject(err error) {
	if c.cfg.OnRejected != nil {
		c.cfg.OnRejected(plain{err})
	}
}

func (c *Client) csr() ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader,
		&x509.CertificateRequest{Subject: pkix.Name{CommonName: c.cfg.Workload}}, c.cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate request: %w", err)
	}
	return der, nil
}

// accept takes a certificate from the agent into use.
func (c *Client) accept(chain, roots [][]byte) error {
	leaf, err := c.check(chain, roots)
	if err != nil {
		return fmt.Errorf("the agent's answer is of no use: %w", err)
	}
	if err := c.cfg.Store.Save(chain, roots); err != nil {
		c.cfg.Logger.Error("the certificate is in use but not stored: after a restart the proxy enrols again", "error", err)
	}
	now := c.cfg.Clock.Now().Round(0)
	left := leaf.NotAfter.Sub(now)
	c.use(chain, roots, certificate{expiry: leaf.NotAfter, renewAt: now.Add(max(left/3+jitter(left), soonestRenewal))})
	return nil
}

func (c *Client) use(chain, roots [][]byte, cert certificate) {
	c.mu.Lock()
	c.cert = cert
	c.mu.Unlock()
	if c.cfg.OnCertificate != nil {
		c.cfg.OnCertificate(chain, roots)
	}
	c.change(func(s *said) { s.expiry = cert.expiry })
	signal(c.retry)
}

func (c *Client) certificate() certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cert
}

// check returns the leaf of a chain that is well-formed and for this client's key.
func (c *Client) check(chain, roots [][]byte) (*x509.Certificate, error) {
	if len(chain) == 0 || len(chain) > maxCertificates || len(roots) == 0 || len(roots) > maxCertificates {
		return nil, fmt.Errorf("%d certificates and %d roots are not between 1 and %d", len(chain), len(roots), maxCertificates)
	}
	var leaf *x509.Certificate
	for i, der := range append(append([][]byte(nil), chain...), roots...) {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", i, err)
		}
		if i == 0 {
			leaf = cert
		}
	}
	public, ok := c.cfg.Key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(leaf.PublicKey) {
		return nil, errors.New("the certificate is for another key")
	}
	return leaf, nil
}

// jitter spreads the renewals of proxies that enrolled together, by up to a tenth of the time until they are due.
func jitter(life time.Duration) time.Duration {
	if life < 30 {
		return 0
	}
	return mathrand.N(life / 30)
}
