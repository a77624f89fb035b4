package install

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/hanse-mesh/hanse/deploy/helm"
)

// agentManager is the label's value on what the agent makes.
const agentManager = "hanse"

// imports is a resource of the Multi-Cluster Services API.
func imports(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "multicluster.x-k8s.io", Version: neededVersion, Resource: resource}
}

// made is a kind of object that the agent makes, and how its own ones are known.
type made struct {
	name     string
	resource schema.GroupVersionResource
	// namespace limits the search; empty is everywhere.
	namespace, selector string
}

// ownSelector finds most of what the agent makes. The Services that it derives say for which service they are, too.
const ownSelector = labelManagedBy + "=" + agentManager

var agentMade = []made{
	{name: "ServiceImport", resource: imports("serviceimports"), selector: ownSelector},
	{name: "EndpointSlice", resource: schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"},
		selector: "endpointslice.kubernetes.io/managed-by=" + agentManager},
	{name: "Service", resource: schema.GroupVersionResource{Version: "v1", Resource: "services"}, selector: ownSelector + ",multicluster.kubernetes.io/service-name"},
	{name: "ClusterTrustBundle", resource: schema.GroupVersionResource{Group: "certificates.k8s.io", Version: "v1", Resource: "clustertrustbundles"}, selector: ownSelector},
	{name: "ClusterTrustBundle", resource: schema.GroupVersionResource{Group: "certificates.k8s.io", Version: "v1beta1", Resource: "clustertrustbundles"}, selector: ownSelector},
	{name: "Secret", resource: schema.GroupVersionResource{Version: "v1", Resource: "secrets"}, namespace: helm.Namespace, selector: ownSelector},
	{name: "ConfigMap", resource: schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}, namespace: helm.Namespace, selector: ownSelector},
	{name: "Lease", resource: schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}, namespace: helm.Namespace, selector: ownSelector},
}

// derived is one object that the agent has made.
type derived struct {
	made
	place, object string
}

// Derived counts what the agent has made in this cluster, by kind.
func (i *Installer) Derived(ctx context.Context) (map[string]int, error) {
	all, err := i.derived(ctx)
	out := map[string]int{}
	for _, d := range all {
		out[d.name]++
	}
	return out, err
}

func (i *Installer) derived(ctx context.Context) ([]derived, error) {
	var out []derived
	// The same objects are found once, by the newest version that is served.
	listed := map[string]bool{}
	for _, m := range agentMade {
		if listed[m.name] {
			continue
		}
		list := metav1.ListOptions{LabelSelector: m.selector, Limit: 500}
		for {
			found, err := i.Objects.Resource(m.resource).Namespace(m.namespace).List(ctx, list)
			if apierrors.IsNotFound(err) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("list %s: %w", m.resource.Resource, err)
			}
			listed[m.name] = true
			for _, o := range found.Items {
				out = append(out, derived{m, o.GetNamespace(), o.GetName()})
			}
			if list.Continue = found.GetContinue(); list.Continue == "" {
				break
			}
		}
	}
	return out, nil
}

// releaseExports takes the agent's conditions from the ServiceExports, which stay: nothing would ever change them again.
func (i *Installer) releaseExports(ctx context.Context) error {
	exports := i.Objects.Resource(imports("serviceexports"))
	list, err := exports.List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list serviceexports: %w", err)
	}
	for _, o := range list.Items {
		conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
		if len(conditions) == 0 {
			continue
		}
		// To apply nothing in the agent's name gives up what it had applied.
		nothing := &unstructured.Unstructured{Object: map[string]any{"apiVersion": o.GetAPIVersion(), "kind": o.GetKind(), "metadata": map[string]any{
			"name": o.GetName(), "namespace": o.GetNamespace()}}}
		_, err := exports.Namespace(o.GetNamespace()).ApplyStatus(ctx, o.GetName(), nothing, metav1.ApplyOptions{FieldManager: agentManager, Force: true})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("take the conditions from ServiceExport %s/%s: %w", o.GetNamespace(), o.GetName(), err)
		}
	}
	return nil
}

// removeDerived takes away what the agent has made. The agent must have stopped: it would make everything again.
func (i *Installer) removeDerived(ctx context.Context) error {
	all, err := i.derived(ctx)
	if err != nil {
		return err
	}
	counts := map[string]int{}
	for _, d := range all {
		err := i.Objects.Resource(d.resource).Namespace(d.place).Delete(ctx, d.object, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("remove %s %s/%s: %w", d.name, d.place, d.object, err)
		}
		counts[d.name]++
	}
	for _, m := range agentMade {
		if n := counts[m.name]; n > 0 {
			i.Say("removed what the agent had made: %d of kind %s", n, m.name)
			delete(counts, m.name)
		}
	}
	return nil
}
