package apply

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/cluster-agent/mcs"
)

// What the agent's own objects are known by. The chart's Services may have the managed-by label, too, but stand for no service.
const (
	ownServices = mcs.LabelManagedBy + "=" + mcs.Manager + "," + mcsv1beta1.LabelServiceName
	ownSlices   = mcs.LabelSliceManagedBy + "=" + mcs.Manager
	ownImports  = mcs.LabelManagedBy + "=" + mcs.Manager
)

func newKind(resource, name string, example runtime.Object, read func(metav1.Object) held) *kind {
	return &kind{resource: resource, name: name, example: example, read: read, objects: map[objectKey]held{},
		written: [2]map[objectKey]written{{}, {}}}
}

func heldAs(o metav1.Object, main, status digest, conditions []metav1.Condition) held {
	return held{version: o.GetResourceVersion(), uid: o.GetUID(), digests: [2]digest{main, status}, conditions: conditions}
}

func (a *Applier) serviceKind() *kind {
	client := a.cfg.Client.CoreV1().Services
	k := newKind("services", "Service", &corev1.Service{}, func(o metav1.Object) held {
		return heldAs(o, serviceDigest(o.(*corev1.Service)), digest{}, nil)
	})
	k.list, k.watch = lister(client(corev1.NamespaceAll).List, ownServices), watcher(client(corev1.NamespaceAll).Watch, ownServices)
	k.patch = func(ctx context.Context, key objectKey, body []byte, o metav1.PatchOptions, sub ...string) (metav1.Object, error) {
		return client(key.namespace).Patch(ctx, key.name, types.ApplyPatchType, body, o, sub...)
	}
	k.remove = func(ctx context.Context, key objectKey, o metav1.DeleteOptions) error {
		return client(key.namespace).Delete(ctx, key.name, o)
	}
	return k
}

func (a *Applier) sliceKind() *kind {
	client := a.cfg.Client.DiscoveryV1().EndpointSlices
	k := newKind("endpointslices.discovery.k8s.io", "EndpointSlice", &discoveryv1.EndpointSlice{}, func(o metav1.Object) held {
		return heldAs(o, sliceDigest(o.(*discoveryv1.EndpointSlice)), digest{}, nil)
	})
	k.list, k.watch = lister(client(corev1.NamespaceAll).List, ownSlices), watcher(client(corev1.NamespaceAll).Watch, ownSlices)
	k.patch = func(ctx context.Context, key objectKey, body []byte, o metav1.PatchOptions, sub ...string) (metav1.Object, error) {
		return client(key.namespace).Patch(ctx, key.name, types.ApplyPatchType, body, o, sub...)
	}
	k.remove = func(ctx context.Context, key objectKey, o metav1.DeleteOptions) error {
		return client(key.namespace).Delete(ctx, key.name, o)
	}
	return k
}

func (a *Applier) importKind() *kind {
	r := importResource(a.cfg.MCS)
	k := newKind(mcsv1beta1.ServiceImportFullName, mcsv1beta1.ServiceImportKindName, &mcsv1beta1.ServiceImport{}, func(o metav1.Object) held {
		i := o.(*mcsv1beta1.ServiceImport)
		return heldAs(o, importDigest(i), importStatusDigest(i), own(i.Status.Conditions, importConditions))
	})
	k.list, k.watch = lister(r.list, ownImports), watcher(r.watch, ownImports)
	k.patch, k.remove = r.patch, r.remove
	return k
}

func (a *Applier) exportKind() *kind {
	r := exportResource(a.cfg.MCS)
	k := newKind(mcsv1beta1.ServiceExportFullName, mcsv1beta1.ServiceExportKindName, &mcsv1beta1.ServiceExport{}, func(o metav1.Object) held {
		e := o.(*mcsv1beta1.ServiceExport)
		return heldAs(o, digest{}, conditionsDigest(e.Status.Conditions), own(e.Status.Conditions, exportConditions))
	})
	k.list, k.watch = lister(r.list, ""), watcher(r.watch, "")
	k.patch = r.patch
	return k
}
