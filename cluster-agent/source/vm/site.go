// Package vm owns a VM site: which workloads may enrol, which are registered, and the stream that each of their proxies holds. In a
// Kubernetes cluster it does the same for the proxies in pods.
//
// It serves the site's SiteService and is the agent's source of workloads. Tokens and enrolments are on disk before an answer
// leaves, and so are the workloads that operators register without a proxy; other registrations are cached on disk, so that a restarted
// agent goes on with what it knew while its proxies come back.
package vm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/source"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/internal/run"
)

// maxWorkloads bounds the workloads of one site.
const maxWorkloads = 10_000

// Signer is the site's CA.
type Signer interface {
	// Issue signs a CSR, whose signature has been checked, for a SPIFFE ID and returns the chain, DER, leaf first, with its end.
	Issue(csrDER []byte, spiffeID, commonName string, ttl time.Duration) ([][]byte, time.Time, error)
	// Roots are the trust domain's root certificates, DER.
	Roots() [][]byte
}

// Config is what a Site needs.
type Config struct {
	// Dir holds tokens.json, enrolments.json, registrations.json and declared.json; it is made when it is missing.
	Dir         string
	TrustDomain string
	Cluster     model.ClusterName
	Federation  string
	Signer      Signer
	// Peer tells who calls, from the verified client certificate: its common name, its SPIFFE ID and the SHA-256 of its public key
	// (PKIX DER). It fails when the caller presented none.
	Peer func(ctx context.Context) (workloadID, spiffeID string, keyHash []byte, err error)
	// Pods tells of the pods of a Kubernetes cluster; nil at a site that is none, which takes no service-account tokens.
	Pods Pods
	// Clock defaults to the machine's, Logger to silence.
	Clock  clock.Clock
	Logger *slog.Logger
	// Declarable are the namespaces in which operators of the federation may register workloads without a proxy; AnyNamespace is all, none
	// is none.
	Declarable []string
	// Region is the site's, where a declared workload stands that names none.
	Region string
	// SVIDTTL is how long certificates live; 0 means 24 h.
	SVIDTTL time.Duration
	// WithdrawTTL is how long a workload stays after its proxy's stream broke without a withdrawal; 0 means 10 s.
	WithdrawTTL time.Duration
	// RestartGrace is how long registrations loaded from disk stay without their proxy, from the start of Run; 0 means 30 s.
	RestartGrace time.Duration
}

// Site is a VM site's registry and service. It is safe for concurrent use.
type Site struct {
	hansev1.UnimplementedSiteServiceServer
	cfg   Config
	files files

	mu         sync.Mutex
	tokens     map[string]*storedToken
	enrolments map[string]enrolment
	entries    map[string]*entry
	// dirty are the workloads whose change Run has not told yet.
	dirty map[string]struct{}
	// versions count changes of what the files hold.
	versions versions
	// changed and unsaved wake Run's two tasks; they hold at most one wake-up.
	changed, unsaved chan struct{}
}

var _ source.Source = (*Site)(nil)

// New loads a site from its folder.
func New(cfg Config) (*Site, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, fmt.Errorf("vm site: %w", err)
	}
	s := &Site{
		cfg: cfg, files: newFiles(cfg.Dir),
		tokens: map[string]*storedToken{}, enrolments: map[string]enrolment{}, entries: map[string]*entry{},
		dirty: map[string]struct{}{}, changed: make(chan struct{}, 1), unsaved: make(chan struct{}, 1),
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("vm site: make its folder: %w", err)
	}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("vm site: %w", err)
	}
	return s, nil
}

func (c Config) complete() (Config, error) {
	switch {
	case c.Dir == "":
		return c, errors.New("no folder is given")
	case c.TrustDomain == "" || c.Cluster == "":
		return c, errors.New("no trust domain or no cluster is given")
	case c.Signer == nil || c.Peer == nil:
		return c, errors.New("no signer or no peer function is given")
	}
	if c.Clock == nil {
		c.Clock = clock.Real{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	for ttl, fallback := range map[*time.Duration]time.Duration{
		&c.SVIDTTL: 24 * time.Hour, &c.WithdrawTTL: 10 * time.Second, &c.RestartGrace: 30 * time.Second,
	} {
		if *ttl <= 0 {
			*ttl = fallback
		}
	}
	return c, nil
}

// Register offers the SiteService.
func (s *Site) Register(r grpc.ServiceRegistrar) { hansev1.RegisterSiteServiceServer(r, s) }

// Run sends all workloads, those of before a restart included, and then every change at once. It removes workloads whose proxy
// stayed away and keeps registrations on disk. It returns nil when ctx ends.
func (s *Site) Run(ctx context.Context, out chan<- source.Update) error {
	s.startGrace()
	return run.Group(ctx,
		func(ctx context.Context) error { return s.publish(ctx, out) },
		s.persist)
}

func (s *Site) publish(ctx context.Context, out chan<- source.Update) error {
	full := true
	for {
		update, next := s.take(full)
		if full || len(update.Upserts)+len(update.Removals) > 0 {
			select {
			case out <- update:
				full = false
			case <-ctx.Done():
				return nil
			}
		}
		if !s.sleep(ctx, next) {
			return nil
		}
	}
}

// sleep waits for a change or for the next removal that is due; it reports false when ctx has ended.
func (s *Site) sleep(ctx context.Context, next time.Time) bool {
	var due <-chan time.Time
	if !next.IsZero() {
		timer := s.cfg.Clock.NewTimer(next.Sub(s.cfg.Clock.Now()))
		defer timer.Stop()
		due = timer.C()
	}
	select {
	case <-s.changed:
	case <-due:
	case <-ctx.Done():
		return false
	}
	return true
}

// wake leaves a wake-up in c; one that is already there serves both.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
