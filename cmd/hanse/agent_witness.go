package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/trust/bundle"
)

// witness believes a new trust domain's bundle once a second federation node shows the same one: a single node that was taken over
// must not be able to introduce whom it likes.
type witness struct {
	a    *agentParts
	wake chan struct{}

	mu      sync.Mutex
	pending map[string]model.SignedBundle
}

func newWitness(a *agentParts) *witness {
	return &witness{a: a, wake: make(chan struct{}, 1), pending: map[string]model.SignedBundle{}}
}

// ask takes a bundle that one node has shown. It does not block.
func (w *witness) ask(b model.SignedBundle) {
	parsed, err := bundle.Parse(b)
	if err != nil {
		return
	}
	w.mu.Lock()
	w.pending[parsed.TrustDomain] = b
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run asks a second node about every pending bundle until one has answered.
func (w *witness) run(ctx context.Context) error {
	for {
		left := w.settle(ctx)
		var again <-chan time.Time
		if left > 0 {
			again = w.a.clock.After(time.Second)
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
	pending := make(map[string]model.SignedBundle, len(w.pending))
	for td, b := range w.pending {
		pending[td] = b
	}
	w.mu.Unlock()
	left := 0
	for td, b := range pending {
		if err := w.decide(ctx, td, b); err != nil {
			left++
			w.a.logger.Warn("a new trust domain waits for a second witness", "trust_domain", td, "error", err)
			continue
		}
		w.mu.Lock()
		delete(w.pending, td)
		w.mu.Unlock()
	}
	return left
}

func (w *witness) decide(ctx context.Context, trustDomain string, b model.SignedBundle) error {
	first := w.a.uplink.Stats().Address
	servers := w.a.servers()
	var failures []error
	for _, address := range servers {
		if address == first {
			continue
		}
		shown, err := w.shownBy(ctx, address, trustDomain)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		if bundle.Digest(shown) != bundle.Digest(b) {
			return fmt.Errorf("two federation nodes show different bundles: neither is believed; compare 'hanse status' at both")
		}
		w.a.logger.Info("trust domain introduced", "trust_domain", trustDomain, "witnesses", 2)
		return w.a.core.introduce(b, true, false)
	}
	if len(servers) == 1 {
		w.a.logger.Warn("trust domain introduced by a single node: there is no second one to ask", "trust_domain", trustDomain)
		return w.a.core.introduce(b, true, true)
	}
	return errors.Join(append(failures, errors.New("no second federation node answers"))...)
}

func (w *witness) shownBy(ctx context.Context, address, trustDomain string) (model.SignedBundle, error) {
	conn, err := w.a.dialNode(ctx, address)
	if err != nil {
		return model.SignedBundle{}, err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
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
