// Package enroll owns a proxy's conversation with its site's agent: it gets the workload's certificate and keeps it fresh, and
// keeps the workload registered.
//
// The private key never leaves the proxy. While the agent is away everything goes on with what is there: a certificate is
// replaced, never dropped.
package enroll

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// Store keeps the certificate over restarts of the proxy; all certificates are DER.
type Store interface {
	// Load returns an empty chain when nothing is stored.
	Load() (chain, roots [][]byte, err error)
	Save(chain, roots [][]byte) error
}

// Config is what a Client needs.
type Config struct {
	// ConnectPinned dials the agent without a client certificate, Connect with the newest one. Each call makes a connection of its
	// own, which the client closes.
	ConnectPinned func(ctx context.Context) (*grpc.ClientConn, error)
	Connect       func(ctx context.Context) (*grpc.ClientConn, error)
	// TokenID and TokenSecret are the workload token; they may be empty when a certificate is stored.
	TokenID, TokenSecret string
	// ServiceAccountToken, when it is set, reads a pod's service-account token, which takes the place of the workload token. It is called for
	// each enrolment: such tokens are replaced while the pod lives.
	ServiceAccountToken func() (string, error)
	// Workload is the id that the proxy wishes to have, unique within the site.
	Workload string
	Key      crypto.Signer
	Store    Store
	// Version is the build's, for operators.
	Version string
	// Clock defaults to the machine's, Logger to silence.
	Clock  clock.Clock
	Logger *slog.Logger

	// The callbacks may be nil. They come from the goroutine of the method that is running and must not block.

	// OnCertificate is given every certificate that is to be used from now on: the chain, leaf first, and the roots.
	OnCertificate func(chain, roots [][]byte)
	// OnWelcome says that the agent has accepted the registration.
	OnWelcome func(cluster model.ClusterName, trustDomain string)
	// OnRejected says why the agent does not accept the registration.
	OnRejected func(err error)
	// OnProblems is given what of the registration cannot be offered; an empty list takes an earlier one back.
	OnProblems func(problems []string)
}

// Client is a proxy's side of the site's service. Its methods are safe for concurrent use, each Run by one goroutine at a time.
type Client struct {
	cfg Config

	mu      sync.Mutex
	cert    certificate
	said    said
	welcome bool
	// wake says that said has changed, retry that another attempt to attach may fare better; they hold at most one wake-up.
	wake, retry chan struct{}
	// withdrawn is closed when the agent has confirmed a withdrawal.
	withdrawn     chan struct{}
	withdrawnOnce sync.Once
}

// said is what the agent is to know of the workload besides its registration.
type said struct {
	// health is nil until SetHealth: the registration's counts.
	health       *model.WorkloadHealth
	nacks        []model.Nack
	envoyVersion string
	expiry       time.Time
	// acknowledged is the set of the agent's that the Envoy follows.
	acknowledged string
	withdraw     bool
}

// New checks the configuration.
func New(cfg Config) (*Client, error) {
	switch {
	case cfg.ConnectPinned == nil || cfg.Connect == nil:
		return nil, errors.New("enrolment: no connection to the agent is given")
	case cfg.Key == nil || cfg.Store == nil:
		return nil, errors.New("enrolment: no key or no store is given")
	}
	if err := model.ValidateLabel("workload", cfg.Workload); err != nil {
		return nil, fmt.Errorf("enrolment: %w", err)
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.Real{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Client{
		cfg: cfg, wake: make(chan struct{}, 1), retry: make(chan struct{}, 1),
		withdrawn: make(chan struct{}),
	}, nil
}

// SetHealth tells the agent the workload's health: at once while attached, else with the next registration.
func (c *Client) SetHealth(h model.WorkloadHealth) {
	c.change(func(s *said) { s.health = &h })
}

// SetReport tells the agent what the proxy's Envoy did with its configuration.
func (c *Client) SetReport(nacks []model.Nack, envoyVersion string) {
	nacks = slices.Clone(nacks)
	c.change(func(s *said) { s.nacks, s.envoyVersion = nacks, envoyVersion })
}

// SetAcknowledged tells the agent which of its configurations the Envoy follows: the digest of the complete set, as it was sent.
func (c *Client) SetAcknowledged(set string) {
	c.change(func(s *said) { s.acknowledged = set })
}

// Attached reports whether the agent has accepted the registration and the stream stands.
func (c *Client) Attached() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.welcome
}

// Withdraw takes the workload out of the site, at the end of a drain, and returns when the agent has confirmed it. RunAttach, which
// does the work, then ends with nil. When ctx ends first the agent removes the workload after its own time.
func (c *Client) Withdraw(ctx context.Context) error {
	c.change(func(s *said) { s.withdraw = true })
	signal(c.retry)
	select {
	case <-c.withdrawn:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("withdraw workload %q: the agent did not confirm: %w", c.cfg.Workload, ctx.Err())
	}
}

func (c *Client) change(f func(*said)) {
	c.mu.Lock()
	f(&c.said)
	c.mu.Unlock()
	signal(c.wake)
}

func (c *Client) current() said {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said
}

// signal leaves a wake-up in ch; one that is already there serves both.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// pause waits for d, or for a wake-up from early; it reports false when ctx has ended.
func (c *Client) pause(ctx context.Context, d time.Duration, early <-chan struct{}) bool {
	timer := c.cfg.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
	case <-early:
	case <-ctx.Done():
		return false
	}
	return true
}
