// Package oidc owns the keys of identity providers: fetched over HTTPS, held, and renewed when a token names a key that is not among them.
//
// Which tokens count is decided by trust/jwt. A provider that cannot be reached changes nothing while its keys are held: the last good set
// stays. At most one request in ten seconds goes to an issuer, whoever asks for what.
package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/trust/jwt"
)

const (
	// FetchEvery is the least time between two requests for a set of keys, also after a failure.
	FetchEvery = 10 * time.Second
	// MaxAge is after how long a set is fetched again even if it has every key that is asked for: a key that its issuer has withdrawn must
	// not count for ever.
	MaxAge = 15 * time.Minute
)

// Clock tells the time.
type Clock interface{ Now() time.Time }

// Config is what a Checker stands on.
type Config struct {
	// Transport carries the requests; nil is the standard one, which believes the system's certificate authorities.
	Transport http.RoundTripper
	Clock     Clock
	Logger    *slog.Logger
}

// Checker judges tokens by the providers' keys. It is safe for concurrent use.
type Checker struct {
	clock  Clock
	logger *slog.Logger
	client *http.Client

	mu sync.Mutex
	// sets are held by the URL they come from, for the present providers only.
	sets map[string]*set
}

// set is what is known of one URL's keys; the Checker's lock guards it.
type set struct {
	keys jwt.Keys
	// fetched is when the keys came, zero when they never did; tried is when they were last asked for.
	fetched, tried time.Time
	// busy is open while a request is under way.
	busy chan struct{}
}

// New returns a checker that holds no keys yet.
func New(cfg Config) *Checker {
	return &Checker{clock: cfg.Clock, logger: cfg.Logger, client: newClient(cfg.Transport), sets: map[string]*set{}}
}

// Check returns whom a token names, once for each of the providers that accepts it. Without one the error says why each of the issuer's
// providers does not; it is jwt.ErrNoKeys when that is because some provider's keys have never been got.
func (c *Checker) Check(ctx context.Context, text string, providers []policy.IdentityProvider) ([]jwt.Identity, error) {
	c.forget(providers)
	t, err := jwt.Read(text)
	if err != nil {
		return nil, err
	}
	issuers, err := t.Providers(providers)
	if err != nil {
		return nil, err
	}
	var out []jwt.Identity
	var why []error
	for _, p := range issuers {
		keys, err := c.keysOf(ctx, p, t.KeyID())
		var id jwt.Identity
		if err == nil {
			id, err = t.Judge(p, keys, c.clock.Now())
		}
		if err != nil {
			why = append(why, fmt.Errorf("identity provider %s does not accept the JWT: %w", p.Name, err))
			continue
		}
		out = append(out, id)
	}
	if len(out) > 0 {
		return out, nil
	}
	return nil, errors.Join(why...)
}

// forget drops the keys of providers that are gone.
func (c *Checker) forget(present []policy.IdentityProvider) {
	wanted := map[string]bool{}
	for _, p := range present {
		wanted[p.Spec.JWKSURL] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for url := range c.sets {
		if !wanted[url] {
			delete(c.sets, url)
		}
	}
}

// keysOf returns the provider's keys; if the one that is asked for is missing, after an attempt to get newer ones.
func (c *Checker) keysOf(ctx context.Context, p policy.IdentityProvider, id string) (jwt.Keys, error) {
	if p.Spec.JWKS != "" {
		return jwt.ParseKeys([]byte(p.Spec.JWKS))
	}
	s, busy := c.renew(ctx, p.Spec.JWKSURL, id)
	if busy != nil {
		select {
		case <-busy:
		case <-ctx.Done():
			return jwt.Keys{}, ctx.Err()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.fetched.IsZero() {
		// What went wrong is in the log: who asks has not proven anything, and it may tell of the node's network.
		return jwt.Keys{}, jwt.ErrNoKeys
	}
	return s.keys, nil
}

// renew has the keys fetched if that is due. It returns what to wait for when those that are held are not enough.
func (c *Checker) renew(ctx context.Context, url, id string) (*set, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.sets[url]
	if s == nil {
		s = &set{}
		c.sets[url] = s
	}
	now := c.clock.Now()
	enough := !s.fetched.IsZero() && (id == "" || s.keys.Has(id))
	old := now.Sub(s.fetched) >= MaxAge
	if (!enough || old) && s.busy == nil && now.Sub(s.tried) >= FetchEvery {
		s.tried, s.busy = now, make(chan struct{})
		// Others may wait for the answer too, so it does not end with the request that asked for it first.
		go c.load(context.WithoutCancel(ctx), url, s)
	}
	if enough || s.busy == nil {
		return s, nil
	}
	return s, s.busy
}

// load makes one attempt. A failed one leaves the last good keys.
func (c *Checker) load(ctx context.Context, url string, s *set) {
	keys, err := c.fetch(ctx, url)
	if err != nil {
		c.logger.Warn("an identity provider's keys cannot be fetched", "url", url, "error", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		s.keys, s.fetched = keys, c.clock.Now()
	}
	close(s.busy)
	s.busy = nil
}
