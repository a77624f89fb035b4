package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/trust/bundle"
)

const (
	// witnessPause is the time between two rounds of questions while a bundle waits for its second witness.
	witnessPause = time.Second
	// witnessTimeout bounds one question.
	witnessTimeout = 2 * time.Second
	// witnessesNeeded is how many federation nodes must show the same bundle of a new trust domain.
	witnessesNeeded = 2
)

// witness believes a new trust domain's bundle once a second federation node shows the same one: a single node that was taken over
// must not be able to introduce whom it likes.
type witness struct {
	cfg  witnessConfig
	wake chan struct{}

	mu      sync.Mutex
	pending map[string]sighting
}

// witnessConfig is what a witness asks, and where its verdict goes.
type witnessConfig struct {
	// Servers are the addresses of the nodes that can be asked.
	Servers func() []string
	// Member reports whether a trust domain is a member's: what is nobody's is not asked about.
	Member func(trustDomain string) bool
	// Shown is the bundle of a trust domain as the node at an address holds it.
	Shown func(ctx context.Context, address, trustDomain string) (model.SignedBundle, error)
	// Introduce believes a bundle; sole says that there was no second node to ask.
	Introduce func(b model.SignedBundle, introduced, sole bool) error
	Clock     clock.Clock
	Logger    *slog.Logger
}

// sighting is a bundle that waits for witnesses.
type sighting struct {
	bundle model.SignedBundle
	// shownBy is the address of the node that has shown it; empty when that is not known any more: then two others must.
	shownBy string
	// complaint is the last reason for waiting that was logged.
	complaint string
}

func newWitness(cfg witnessConfig) *witness {
	return &witness{cfg: cfg, wake: make(chan struct{}, 1), pending: map[string]sighting{}}
}

// ask takes a bundle that the node at an address has shown. It does not block.
func (w *witness) ask(b model.SignedBundle, shownBy string) {
	parsed, err := bundle.Parse(b)
	if err != nil {
		return
	}
	w.mu.Lock()
	held, again := w.pending[parsed.TrustDomain]
	// A bundle that is shown again keeps its first witness: a later one is asked anyway.
	if !again || bundle.Digest(held.bundle) != bundle.Digest(b) {
		w.pending[parsed.TrustDomain] = sighting{bundle: b, shownBy: shownBy}
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run asks other nodes about every pending bundle until it is decided.
func (w *witness) run(ctx context.Context) error {
	for {
		var again <-chan time.Time
		if w.settle(ctx) > 0 {
			again = w.cfg.Clock.After(witnessPause)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.wake:
		case <-again:
		}
	}
}

// settle tries to decide what is pending and returns how much is left.
func (w *witness) settle(ctx context.Context) int {
	w.mu.Lock()
	maps.DeleteFunc(w.pending, func(trustDomain string, _ sighting) bool { return !w.cfg.Member(trustDomain) })
	pending := maps.Clone(w.pending)
	w.mu.Unlock()
	for _, trustDomain := range slices.Sorted(maps.Keys(pending)) {
		w.concluded(trustDomain, pending[trustDomain], w.decide(ctx, trustDomain, pending[trustDomain]))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pending)
}

// concluded takes what was decided about a sighting, unless another bundle has been shown meanwhile.
func (w *witness) concluded(trustDomain string, s sighting, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if bundle.Digest(w.pending[trustDomain].bundle) != bundle.Digest(s.bundle) {
		return
	}
	if err == nil {
		delete(w.pending, trustDomain)
		return
	}
	if text := err.Error(); text != s.complaint {
		w.cfg.Logger.Warn("a new trust domain waits for a second witness", "trust_domain", trustDomain, "error", err)
		s.complaint = text
		w.pending[trustDomain] = s
	}
}

// errDisagree means that one of two nodes does not tell the truth, or lags behind a change.
var errDisagree = errors.New("two federation nodes show different bundles: neither is believed; compare 'hanse cluster list' at both")

var errNoSecond = errors.New("no second federation node answers; if the others have left for good, name those that remain with --server")

// decide believes a bundle when enough nodes show it; an error means that it must wait.
func (w *witness) decide(ctx context.Context, trustDomain string, s sighting) error {
	witnesses := map[string]bool{}
	if s.shownBy != "" {
		witnesses[s.shownBy] = true
	}
	servers := w.cfg.Servers()
	var failures []error
	for _, address := range servers {
		if witnesses[address] {
			continue
		}
		shown, err := w.cfg.Shown(ctx, address, trustDomain)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		if bundle.Digest(shown) != bundle.Digest(s.bundle) {
			return errDisagree
		}
		witnesses[address] = true
		if len(witnesses) >= witnessesNeeded {
			w.cfg.Logger.Info("trust domain introduced", "trust_domain", trustDomain, "witnesses", len(witnesses))
			return w.cfg.Introduce(s.bundle, true, false)
		}
	}
	if alone := !slices.ContainsFunc(servers, func(address string) bool { return !witnesses[address] }); alone && len(witnesses) == 1 {
		w.cfg.Logger.Warn("trust domain introduced by a single node: there is no second one to ask", "trust_domain", trustDomain)
		return w.cfg.Introduce(s.bundle, true, true)
	}
	return errors.Join(append(failures, errNoSecond)...)
}

// witnesses are the nodes that can be asked about a new trust domain. Those told at the join count too: a node that was taken over
// could otherwise say that it is the only one.
func (a *agentParts) witnesses() []string {
	if len(a.opts.servers) > 0 {
		return a.opts.servers
	}
	all := slices.Concat(a.servers(), a.member.Servers)
	slices.Sort(all)
	return slices.Compact(all)
}

// shownBy asks the node at an address for a trust domain's bundle.
func (a *agentParts) shownBy(ctx context.Context, address, trustDomain string) (model.SignedBundle, error) {
	conn, err := a.dialNode(ctx, address)
	if err != nil {
		return model.SignedBundle{}, err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, witnessTimeout)
	defer cancel()
	resp, err := hansev1.NewFederationServiceClient(conn).GetBundle(ctx, &hansev1.GetBundleRequest{TrustDomain: trustDomain})
	if err != nil {
		return model.SignedBundle{}, fmt.Errorf("%s: %w", address, plainStatus(err))
	}
	if resp.GetBundle() == nil {
		return model.SignedBundle{}, fmt.Errorf("%s does not have it yet", address)
	}
	return codec.SignedBundleFromProto(resp.GetBundle())
}
