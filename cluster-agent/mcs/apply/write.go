package apply

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hanse-mesh/hanse/cluster-agent/mcs"
)

// The bounds of one Apply.
const (
	// attempts is how often a change is tried, behind all others each time.
	attempts = 3
	// maxUnanswered ends an Apply: an API server that is away will not answer the other thousand requests either.
	maxUnanswered = 5
	// maxErrors is how many errors are named.
	maxErrors = 5
)

// write makes the changes, and those that failed for a reason that may pass again behind all others.
func (a *Applier) write(ctx context.Context, changes []*change) error {
	var failed []error
	for attempt := 1; len(changes) > 0; attempt++ {
		var next []*change
		unanswered := 0
		for _, c := range changes {
			err := a.make(ctx, c)
			switch {
			case err == nil:
			case ctx.Err() != nil:
				return fmt.Errorf("the plan is not written to its end: %w", ctx.Err())
			case passes(err) && attempt < attempts:
				next = append(next, c)
			default:
				failed = append(failed, fmt.Errorf("%s: %w", c, err))
			}
			if err == nil || apierrors.ReasonForError(err) != metav1.StatusReasonUnknown {
				unanswered = 0
			} else if unanswered++; unanswered == maxUnanswered {
				return fmt.Errorf("the plan is not written to its end: the API server does not answer: %w", err)
			}
		}
		changes = next
	}
	return summary(failed)
}

// make makes one change. What of it was done is not done again.
func (a *Applier) make(ctx context.Context, c *change) error {
	if c.deletes() {
		return a.delete(ctx, c)
	}
	for p, body := range c.bodies {
		if body == nil {
			continue
		}
		switch done, err := a.apply(ctx, c, part(p)); {
		case err != nil:
			return err
		case !done:
			return nil
		}
		// The last body stays: a change without any would be a deletion.
		if part(p) == main && c.bodies[status] != nil {
			c.bodies[main] = nil
		}
	}
	return nil
}

// apply writes one part and takes the answer for what is there now. It has not done it, and that is no error, when the object's namespace
// goes away or when an export is gone: the facts will follow.
func (a *Applier) apply(ctx context.Context, c *change, p part) (bool, error) {
	if err := a.cfg.Limiter.Wait(ctx); err != nil {
		return false, err
	}
	force := true
	o, err := c.kind.patch(ctx, c.key, c.bodies[p], metav1.PatchOptions{FieldManager: mcs.Manager, Force: &force}, subresources[p]...)
	switch {
	case err == nil:
		c.kind.wrote(o, p, c.want[p])
		a.cfg.Logger.Debug("written", "resource", c.kind.resource, "object", c.key, "part", p)
		return true, nil
	case notServed(err):
		return false, fmt.Errorf("the API server serves no %s any more: %w (%w)", c.kind.resource, errNotServed, err)
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause), apierrors.IsNotFound(err) && (noNamespace(err) || c.kind.remove == nil):
		return false, nil
	default:
		return false, remedy(c.kind, "patch", err)
	}
}

var subresources = [2][]string{status: {"status"}}

// delete deletes the object as it was seen: of what somebody has changed meanwhile it is not known whether it is still the agent's.
func (a *Applier) delete(ctx context.Context, c *change) error {
	if err := a.cfg.Limiter.Wait(ctx); err != nil {
		return err
	}
	err := c.kind.remove(ctx, c.key, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &c.seen.uid, ResourceVersion: &c.seen.version}})
	if err != nil && !apierrors.IsNotFound(err) {
		return remedy(c.kind, "delete", err)
	}
	c.kind.mu.Lock()
	defer c.kind.mu.Unlock()
	c.kind.forget(c.key)
	a.cfg.Logger.Debug("deleted", "resource", c.kind.resource, "object", c.key)
	return nil
}

// notServed reports whether the path of a request, not an object, was not found.
func notServed(err error) bool {
	return apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

func noNamespace(err error) bool {
	var s apierrors.APIStatus
	return errors.As(err, &s) && s.Status().Details != nil && s.Status().Details.Kind == "namespaces"
}

// remedy says what to do about a refusal that has one.
func remedy(k *kind, verb string, err error) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("grant the agent's ServiceAccount the verb %s for %s and their status in a ClusterRole: %w", verb, k.resource, err)
	}
	return err
}

// passes reports whether the same request may well succeed when it is made again.
func passes(err error) bool {
	switch apierrors.ReasonForError(err) {
	case metav1.StatusReasonForbidden, metav1.StatusReasonUnauthorized, metav1.StatusReasonInvalid, metav1.StatusReasonBadRequest,
		metav1.StatusReasonNotFound, metav1.StatusReasonMethodNotAllowed, metav1.StatusReasonConflict:
		return false
	default:
		return true
	}
}

// summary names the first errors and counts the others.
func summary(all []error) error {
	if len(all) == 0 {
		return nil
	}
	more := ""
	if n := len(all) - maxErrors; n > 0 {
		all, more = all[:maxErrors], fmt.Sprintf(" (and %d more)", n)
	}
	return fmt.Errorf("a part of the plan is not written: %w%s", errors.Join(all...), more)
}
