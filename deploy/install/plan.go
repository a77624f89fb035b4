package install

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/hanse-mesh/hanse/deploy/helm"
)

// Action is what happens to an object.
type Action string

// The actions.
const (
	Create Action = "create"
	Change Action = "change"
	Keep   Action = "keep"
	Remove Action = "remove"
)

// Step is one object of a plan, and what happens to it.
type Step struct {
	Action    Action `json:"action"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// object is what is applied; nil if the object is removed.
	object *unstructured.Unstructured
}

// Plan is what has to be done, in order.
type Plan struct {
	Steps []Step
}

// Manifests are the objects that the plan applies, changed or not.
func (p Plan) Manifests() []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	for _, s := range p.Steps {
		if s.object != nil {
			out = append(out, s.object)
		}
	}
	return out
}

// Changes counts the steps that do something.
func (p Plan) Changes() int {
	n := 0
	for _, s := range p.Steps {
		if s.Action != Keep {
			n++
		}
	}
	return n
}

// WithToken is the plan with another join token in the agent's Secret.
func (p Plan) WithToken(token string) Plan {
	p.Steps = slices.Clone(p.Steps)
	for n, s := range p.Steps {
		if s.Kind == "Secret" && s.Name == tokenSecret && s.object != nil {
			s.object = s.object.DeepCopy()
			s.object.Object["stringData"] = map[string]any{"token": token}
			p.Steps[n] = s
		}
	}
	return p
}

// Manifests renders what a cluster gets besides the CRDs: the chart's objects behind their namespace.
func (f Found) Manifests(values map[string]any) ([]*unstructured.Unstructured, error) {
	objects, err := helm.Render(helm.Options{Values: values, Manager: Manager, KubeVersion: f.Version, APIs: f.APIs})
	if err != nil {
		return nil, err
	}
	return append([]*unstructured.Unstructured{namespace()}, objects...), nil
}

// namespace is where everything runs, with Kubernetes' own guard against privileges switched on.
func namespace() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace",
		"metadata": map[string]any{"name": helm.Namespace, "labels": map[string]any{
			labelName: helm.Release, labelManagedBy: Manager, "pod-security.kubernetes.io/enforce": "restricted",
		}},
	}}
}

// Plan compares what is wanted with what is there; it changes nothing. Rights that are missing are an ErrDenied that names them all.
func (i *Installer) Plan(ctx context.Context, found Found, values map[string]any) (Plan, error) {
	if found.Manager != "" && found.Manager != Manager {
		return Plan{}, fmt.Errorf("%w: Hanse was installed here by %s: go on with that (for Helm: helm upgrade %s), or take it away first", ErrTaken,
			found.Manager, helm.Release)
	}
	wanted, err := found.Manifests(values)
	if err != nil {
		return Plan{}, err
	}
	definitions, err := i.definitions(ctx)
	if err != nil {
		return Plan{}, err
	}
	wanted = append(wanted[:1:1], append(definitions, wanted[1:]...)...)
	p := Plan{}
	for _, o := range wanted {
		s, err := i.compare(ctx, o)
		if err != nil {
			return Plan{}, err
		}
		p.Steps = append(p.Steps, s)
	}
	stale, err := i.stale(ctx, found, wanted)
	if err != nil {
		return Plan{}, err
	}
	p.Steps = append(p.Steps, stale...)
	if err := i.check(ctx, p.toApply()); err != nil {
		return Plan{}, err
	}
	return p, i.mayGrant(ctx, p)
}

// compare finds out what applying an object would do: the API server itself says so.
func (i *Installer) compare(ctx context.Context, o *unstructured.Unstructured) (Step, error) {
	k, err := kindOf(o)
	if err != nil {
		return Step{}, err
	}
	s := Step{Action: Create, Kind: k.name, Namespace: k.place(), Name: o.GetName(), object: o}
	there, err := i.get(ctx, k.name, s.Namespace, s.Name)
	if err != nil || there == nil {
		return s, err
	}
	s.Action = Change
	after, err := i.apply(ctx, s, metav1.DryRunAll)
	switch {
	case apierrors.IsForbidden(err):
		// All that is missing is named at once, later.
		return s, nil
	case err != nil:
		return Step{}, err
	case same(there, after):
		s.Action = Keep
	}
	return s, nil
}

// same compares without what the API server keeps account with.
func same(a, b *unstructured.Unstructured) bool {
	a, b = a.DeepCopy(), b.DeepCopy()
	for _, o := range []*unstructured.Unstructured{a, b} {
		o.SetManagedFields(nil)
		o.SetResourceVersion("")
		o.SetGeneration(0)
	}
	return reflect.DeepEqual(a.Object, b.Object)
}

// stale are the objects of an earlier installation that are not wanted any more. A join token stays until it is replaced.
func (i *Installer) stale(ctx context.Context, found Found, wanted []*unstructured.Unstructured) ([]Step, error) {
	there, err := i.own(ctx, found)
	if err != nil {
		return nil, err
	}
	keep := map[string]bool{"Secret " + tokenSecret: true}
	for _, o := range wanted {
		keep[o.GetKind()+" "+o.GetName()] = true
	}
	var out []Step
	for _, s := range there {
		if !keep[s.Kind+" "+s.Name] {
			out = append(out, s)
		}
	}
	return out, nil
}

// mayGrant has the API server judge the new roles: nobody may grant what he does not hold.
func (i *Installer) mayGrant(ctx context.Context, p Plan) error {
	for _, s := range p.Steps {
		if s.Kind != "ClusterRole" || s.Action == Keep || s.Action == Remove {
			continue
		}
		if _, err := i.apply(ctx, s, metav1.DryRunAll); err != nil {
			if apierrors.IsForbidden(err) {
				return fmt.Errorf("%w: nobody may grant rights that he does not hold: %w", ErrDenied, err)
			}
			return err
		}
	}
	return nil
}

// ErrTaken is what an error is when the cluster has another installation than the one that is meant.
var ErrTaken = errors.New("the cluster is taken")

// Fits refuses another name or region than the installed agent has: its identity is bound to them.
func (f Found) Fits(cluster, region string) error {
	for _, c := range []struct{ what, has, wants string }{{"cluster", f.Cluster, cluster}, {"region", f.Region, region}} {
		if c.has != "" && c.has != c.wants {
			return fmt.Errorf("%w: this cluster's agent runs as %s %s, not %s: 'hanse cluster leave' first, or give it the name that it has", ErrTaken, c.what, c.has, c.wants)
		}
	}
	return nil
}
