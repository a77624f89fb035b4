package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hanse-mesh/hanse/internal/clock"
)

// The lease's times. Clocks are not compared: a lease that nobody has renewed for its duration, by the watch of who waits for it, is free.
const (
	leaseName     = "hanse-agent"
	leaseDuration = 15 * time.Second
	leaseRenewal  = 5 * time.Second
	leaseRetry    = 2 * time.Second
	leaseTimeout  = 4 * time.Second
)

// leases is the part of the API that a lease needs.
type leases interface {
	Get(ctx context.Context, name string, opts metav1.GetOptions) (*coordinationv1.Lease, error)
	Create(ctx context.Context, l *coordinationv1.Lease, opts metav1.CreateOptions) (*coordinationv1.Lease, error)
	Update(ctx context.Context, l *coordinationv1.Lease, opts metav1.UpdateOptions) (*coordinationv1.Lease, error)
}

// lease makes sure that one agent of a cluster publishes and writes. Whoever holds it goes on while the API server is away: nobody else can
// take it then. It is for one goroutine.
type lease struct {
	api    leases
	self   string
	clock  clock.Clock
	logger *slog.Logger

	// seen is the lease as last read, at by this machine's clock when it was first read so.
	seen string
	at   time.Time
	// complaint is what was logged last.
	complaint string
}

// acquire returns when this process holds the lease. say is told what it waits for.
func (l *lease) acquire(ctx context.Context, say func(string)) error {
	for {
		holder, err := l.try(ctx)
		switch {
		case err != nil:
			say("the API server does not give the Lease " + leaseName + ": " + err.Error())
			l.complain(err)
		case holder == l.self:
			l.complaint = ""
			return nil
		default:
			say("another agent (" + holder + ") holds the Lease " + leaseName)
		}
		if err := l.sleep(ctx, leaseRetry); err != nil {
			return err
		}
	}
}

// keep renews the lease until ctx ends, or until somebody else holds it, which is an error: two would write the same objects.
func (l *lease) keep(ctx context.Context) error {
	defer l.release(ctx)
	for {
		if err := l.sleep(ctx, leaseRenewal); err != nil {
			return err
		}
		holder, err := l.try(ctx)
		switch {
		case err != nil:
			l.complain(err)
		case holder != l.self:
			return fmt.Errorf("the agent in pod %s has taken over the Lease %s: this one ends, as one agent of a cluster writes; run one replica", holder, leaseName)
		default:
			l.complaint = ""
		}
	}
}

// try takes or renews the lease if it may, and returns who holds it then.
func (l *lease) try(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	held, err := l.api.Get(ctx, leaseName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		held, err = l.api.Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: leaseName}, Spec: l.spec(0)}, metav1.CreateOptions{})
	}
	if err != nil {
		return "", err
	}
	holder := deref(held.Spec.HolderIdentity)
	if seen := holder + " " + deref(held.Spec.RenewTime).String(); l.seen != seen {
		l.seen, l.at = seen, l.clock.Now()
	}
	if holder != l.self && holder != "" && l.clock.Now().Before(l.at.Add(leaseDuration)) {
		return holder, nil
	}
	next := held.DeepCopy()
	if next.Spec = l.spec(deref(held.Spec.LeaseTransitions) + 1); holder == l.self {
		next.Spec.AcquireTime, next.Spec.LeaseTransitions = held.Spec.AcquireTime, held.Spec.LeaseTransitions
	}
	// The resource version makes the update fail when somebody else was faster.
	if _, err = l.api.Update(ctx, next, metav1.UpdateOptions{}); err != nil {
		return "", err
	}
	return l.self, nil
}

func (l *lease) spec(transitions int32) coordinationv1.LeaseSpec {
	self, seconds, now := l.self, int32(leaseDuration/time.Second), metav1.NewMicroTime(l.clock.Now())
	return coordinationv1.LeaseSpec{HolderIdentity: &self, LeaseDurationSeconds: &seconds, AcquireTime: &now, RenewTime: &now, LeaseTransitions: &transitions}
}

// release lets a successor begin at once.
func (l *lease) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseTimeout)
	defer cancel()
	held, err := l.api.Get(ctx, leaseName, metav1.GetOptions{})
	if err != nil || deref(held.Spec.HolderIdentity) != l.self {
		return
	}
	nobody := ""
	held.Spec.HolderIdentity = &nobody
	if _, err := l.api.Update(ctx, held, metav1.UpdateOptions{}); err != nil {
		l.logger.Warn("the Lease was not given back; a successor waits until it ends", "lease", leaseName, "error", err)
	}
}

// complain logs a trouble when it begins, not each time.
func (l *lease) complain(err error) {
	if l.complaint != err.Error() {
		l.complaint = err.Error()
		l.logger.Warn("the Lease cannot be renewed; who holds it goes on", "lease", leaseName, "error", err)
	}
}

func (l *lease) sleep(ctx context.Context, d time.Duration) error {
	t := l.clock.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C():
		return nil
	}
}

// deref is the value behind a pointer, or the zero value.
func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
