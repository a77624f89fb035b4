package install

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/hanse-mesh/hanse/deploy/helm"
)

// pause is the time between two looks at something that is waited for.
const pause = time.Second

// Apply does what the plan says. When it fails or ctx ends in between, a new plan goes on from there.
func (i *Installer) Apply(ctx context.Context, p Plan) error {
	defined := false
	for _, s := range p.Steps {
		if s.Action == Keep {
			continue
		}
		if s.Kind != "Namespace" && s.Kind != "CustomResourceDefinition" && !defined {
			if err := i.awaitDefinitions(ctx); err != nil {
				return err
			}
			defined = true
		}
		if err := i.do(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (i *Installer) do(ctx context.Context, s Step) error {
	if s.Action == Remove {
		return i.remove(ctx, s)
	}
	if _, err := i.apply(ctx, s); err != nil {
		return err
	}
	if s.Action == Create {
		i.Say("created %s %s", s.Kind, s.Name)
	} else {
		i.Say("changed %s %s", s.Kind, s.Name)
	}
	return nil
}

// apply is a server-side apply. It is forced: who runs the installation again wants what it says.
func (i *Installer) apply(ctx context.Context, s Step, dryRun ...string) (*unstructured.Unstructured, error) {
	data, err := s.object.MarshalJSON()
	if err != nil {
		return nil, err
	}
	force := true
	options := metav1.PatchOptions{FieldManager: Manager, Force: &force, DryRun: dryRun}
	out, err := i.of(s.Kind, s.Namespace).Patch(ctx, s.Name, types.ApplyPatchType, data, options)
	if err != nil {
		return nil, fmt.Errorf("apply %s %s: %w", s.Kind, s.Name, err)
	}
	return out, nil
}

// remove takes an object away, with what it owns. That it is gone already is no failure.
func (i *Installer) remove(ctx context.Context, s Step) error {
	policy := metav1.DeletePropagationForeground
	err := i.of(s.Kind, s.Namespace).Delete(ctx, s.Name, metav1.DeleteOptions{PropagationPolicy: &policy})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %s %s: %w", s.Kind, s.Name, err)
	}
	i.Say("removed %s %s", s.Kind, s.Name)
	return nil
}

// own are the installed objects, in the order in which they are to be removed.
func (i *Installer) own(ctx context.Context, found Found) ([]Step, error) {
	var out []Step
	for _, k := range slices.Backward(found.kinds()) {
		list, err := i.in(k, helm.Namespace).List(ctx, metav1.ListOptions{LabelSelector: labelManagedBy + "=" + Manager + "," + labelName + "=" + helm.Release})
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", k.resource, err)
		}
		for _, o := range list.Items {
			out = append(out, Step{Action: Remove, Kind: k.name, Namespace: k.place(), Name: o.GetName()})
		}
	}
	return out, nil
}

// until looks again and again until something is done.
func (i *Installer) until(ctx context.Context, done func() (bool, error)) error {
	for {
		ok, err := done()
		if err != nil && ctx.Err() != nil {
			// What a look says that was cut short is nobody's concern.
			return context.Cause(ctx)
		}
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-i.Clock.After(pause):
		}
	}
}
