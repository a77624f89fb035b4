package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/hanse-mesh/hanse/internal/clock"
)

// cluster is an API server that can be taken away.
type cluster struct {
	*fake.Clientset
	away atomic.Bool
}

func newCluster(objects ...runtime.Object) *cluster {
	c := &cluster{Clientset: fake.NewClientset(objects...)}
	c.PrependReactor("*", "*", func(k8stesting.Action) (bool, runtime.Object, error) {
		if c.away.Load() {
			return true, nil, errors.New("connection refused")
		}
		return false, nil, nil
	})
	return c
}

func (c *cluster) lease(self string, at clock.Clock) *lease {
	return &lease{api: c.CoordinationV1().Leases("hanse-system"), self: self, clock: at, logger: slog.New(slog.DiscardHandler)}
}

func (c *cluster) holder(t *testing.T) *coordinationv1.Lease {
	t.Helper()
	l, err := c.CoordinationV1().Leases("hanse-system").Get(t.Context(), leaseName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func tried(t *testing.T, l *lease, want string) {
	t.Helper()
	if got, err := l.try(t.Context()); err != nil || got != want {
		t.Fatalf("%s finds that %q holds the lease (%v), want %q", l.self, got, err, want)
	}
}

func TestTheLeaseHasOneHolder(t *testing.T) {
	c, now := newCluster(), clock.NewFake(start)
	a, b := c.lease("a", now), c.lease("b", now)
	tried(t, a, "a")
	tried(t, b, "a")
	now.Advance(leaseDuration - time.Second)
	tried(t, b, "a")
	tried(t, a, "a")
	now.Advance(leaseDuration - time.Second)
	tried(t, b, "a")
	now.Advance(leaseDuration)
	tried(t, b, "b")
	tried(t, a, "b")
	if l := c.holder(t); *l.Spec.LeaseTransitions != 1 {
		t.Errorf("%d transitions, want 1", *l.Spec.LeaseTransitions)
	}
}

// A lease that was minted by a clock that is an hour off ends when it was not renewed for its duration, and no sooner.
func TestALeaseOfAWrongClock(t *testing.T) {
	for name, off := range map[string]time.Duration{"behind": -time.Hour, "ahead": time.Hour} {
		t.Run(name, func(t *testing.T) {
			c, now := newCluster(), clock.NewFake(start)
			wrong := clock.NewFake(start.Add(off))
			a, b := c.lease("a", wrong), c.lease("b", now)
			tried(t, a, "a")
			tried(t, b, "a")
			for range 5 {
				now.Advance(leaseRenewal)
				wrong.Advance(leaseRenewal)
				tried(t, a, "a")
				tried(t, b, "a")
			}
			now.Advance(leaseDuration)
			tried(t, b, "b")
		})
	}
}

func TestTheHolderGoesOnWhileTheAPIServerIsAway(t *testing.T) {
	c, now := newCluster(), clock.NewFake(start)
	a := c.lease("a", now)
	tried(t, a, "a")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.keep(ctx) }()
	c.away.Store(true)
	for range 60 {
		if err := now.BlockUntil(patience(t), 1); err != nil {
			t.Fatal(err)
		}
		now.Advance(leaseRenewal)
	}
	if err := now.BlockUntil(patience(t), 1); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Fatalf("the holder gave up: %v", err)
	default:
	}
	c.away.Store(false)
	now.Advance(leaseRenewal)
	if err := now.BlockUntil(patience(t), 1); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if l := c.holder(t); *l.Spec.HolderIdentity != "" {
		t.Errorf("the lease was not given back: %q holds it", *l.Spec.HolderIdentity)
	}
}

func TestWhoLosesTheLeaseEnds(t *testing.T) {
	c, now := newCluster(), clock.NewFake(start)
	a, b := c.lease("a", now), c.lease("b", now)
	tried(t, a, "a")
	tried(t, b, "a")
	now.Advance(leaseDuration)
	tried(t, b, "b")
	done := make(chan error, 1)
	go func() { done <- a.keep(t.Context()) }()
	if err := now.BlockUntil(patience(t), 1); err != nil {
		t.Fatal(err)
	}
	now.Advance(leaseRenewal)
	if err := <-done; err == nil || !strings.Contains(err.Error(), "pod b has taken over") {
		t.Errorf("got %v", err)
	}
	tried(t, b, "b")
}

func TestAStandbySaysWhomItWaitsFor(t *testing.T) {
	c, now := newCluster(), clock.NewFake(start)
	a, b := c.lease("a", now), c.lease("b", now)
	tried(t, a, "a")
	said := make(chan string, 100)
	done := make(chan error, 1)
	go func() { done <- b.acquire(t.Context(), func(s string) { said <- s }) }()
	if s := <-said; !strings.Contains(s, "another agent (a)") {
		t.Errorf("it says %q", s)
	}
	a.release(t.Context())
	if err := now.BlockUntil(patience(t), 1); err != nil {
		t.Fatal(err)
	}
	now.Advance(leaseRetry)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
