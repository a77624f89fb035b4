package install

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hanse-mesh/hanse/deploy/helm"
)

// Removal is what leaving takes away.
type Removal struct {
	Steps []Step
	// Derived is what the agent has made, by kind.
	Derived map[string]int
	// KeepsNamespace says why the namespace stays, or is empty.
	KeepsNamespace string
}

// PlanRemoval finds what there is to take away; it changes nothing. Definitions and ServiceExports stay: they are the users'.
func (i *Installer) PlanRemoval(ctx context.Context, found Found) (Removal, error) {
	if found.Manager != "" && found.Manager != Manager {
		return Removal{}, fmt.Errorf("%w: Hanse was installed here by %s: take it away with that (for Helm: helm uninstall %s --namespace %s), and run this again "+
			"for what the agent has made", ErrTaken, found.Manager, helm.Release, helm.Namespace)
	}
	var r Removal
	var err error
	if r.Steps, err = i.own(ctx, found); err != nil {
		return r, err
	}
	if r.Derived, err = i.Derived(ctx); err != nil {
		return r, err
	}
	claims, err := i.of("PersistentVolumeClaim", helm.Namespace).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return r, fmt.Errorf("list persistentvolumeclaims: %w", err)
	}
	if len(claims.Items) > 0 {
		r.KeepsNamespace = "it holds PersistentVolumeClaims, such as federation nodes have"
		r.Steps = slices.DeleteFunc(r.Steps, func(s Step) bool { return s.Kind == "Namespace" })
	}
	rights := r.toRemove()
	if forwarded, err := i.forwarded(ctx); err != nil {
		return r, err
	} else if forwarded {
		rights = append(rights, right{"update", "", "configmaps", dnsNamespace, dnsConfig})
	}
	return r, i.check(ctx, rights)
}

func (r Removal) toRemove() []right {
	var out []right
	for _, s := range r.Steps {
		k, _ := kindNamed(s.Kind)
		out = append(out, right{"delete", k.group, k.resource, s.Namespace, ""})
	}
	for _, m := range agentMade {
		if r.Derived[m.name] > 0 {
			out = append(out, right{"delete", m.resource.Group, m.resource.Resource, m.namespace, ""})
		}
	}
	return append(out, right{"patch", "multicluster.x-k8s.io", "serviceexports/status", "", ""})
}

// Remove does it. What carries calls goes first, while the agent can still tell the others of the drain; then the agent; then what it has
// made, which it would make again; and the namespace last.
func (i *Installer) Remove(ctx context.Context, r Removal) error {
	var carrying, agent, rest []Step
	for _, s := range r.Steps {
		switch {
		case s.Kind != "Deployment" && s.Kind != "StatefulSet":
			rest = append(rest, s)
		case s.Name == agentName:
			agent = append(agent, s)
		default:
			carrying = append(carrying, s)
		}
	}
	for _, steps := range [][]Step{carrying, agent} {
		if err := i.removeAll(ctx, steps); err != nil {
			return err
		}
	}
	if err := i.removeDerived(ctx); err != nil {
		return err
	}
	if err := i.releaseExports(ctx); err != nil {
		return err
	}
	return i.removeAll(ctx, rest)
}

// removeAll returns when objects with others below them are gone.
func (i *Installer) removeAll(ctx context.Context, steps []Step) error {
	for _, s := range steps {
		if err := i.remove(ctx, s); err != nil {
			return err
		}
	}
	for _, s := range steps {
		if s.Kind != "Deployment" && s.Kind != "StatefulSet" && s.Kind != "Namespace" {
			continue
		}
		if err := i.awaitGone(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// awaitGone waits until an object is gone, with all that it owns.
func (i *Installer) awaitGone(ctx context.Context, s Step) error {
	err := i.until(ctx, func() (bool, error) {
		o, err := i.get(ctx, s.Kind, s.Namespace, s.Name)
		return o == nil, err
	})
	if err != nil {
		return fmt.Errorf("%s %s is not gone yet: %w", s.Kind, s.Name, err)
	}
	return nil
}
