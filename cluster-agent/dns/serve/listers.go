package serve

import (
	"context"
	"fmt"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	mcsclient "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"
)

// lister reads one kind.
type lister interface {
	list(ctx context.Context, o metav1.ListOptions) (runtime.Object, error)
	watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)
}

// watched hands a lister to an informer, and tells how each attempt went.
func (f *facts) watched(kind string, l lister, client any) cache.ListerWatcher {
	tell := func(ctx context.Context, err error) {
		if ctx.Err() == nil {
			f.tell(kind, err)
		}
	}
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			out, err := l.list(ctx, o)
			tell(ctx, err)
			return out, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			out, err := l.watch(ctx, o)
			tell(ctx, err)
			return out, err
		},
	}, client)
}

// sliceLister reads the EndpointSlices that are labelled for the Multi-Cluster Services API.
type sliceLister struct{ client kubernetes.Interface }

func (l sliceLister) list(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	o.LabelSelector = mcsv1beta1.LabelServiceName
	return l.client.DiscoveryV1().EndpointSlices(metav1.NamespaceAll).List(ctx, o)
}

func (l sliceLister) watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	o.LabelSelector = mcsv1beta1.LabelServiceName
	return l.client.DiscoveryV1().EndpointSlices(metav1.NamespaceAll).Watch(ctx, o)
}

// importLister reads ServiceImports in the newest version that the API server serves, and hands all of them out as v1beta1: both versions
// have one schema. Each call asks for v1beta1 first, so that definitions which are installed or replaced later are found by the next one.
type importLister struct{ client mcsclient.Interface }

func (l importLister) list(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	list, err := l.client.MulticlusterV1beta1().ServiceImports(metav1.NamespaceAll).List(ctx, o)
	if !apierrors.IsNotFound(err) {
		return list, err
	}
	old, err := l.client.MulticlusterV1alpha1().ServiceImports(metav1.NamespaceAll).List(ctx, o)
	if err != nil {
		return nil, noneServed(err)
	}
	converted := &mcsv1beta1.ServiceImportList{ListMeta: old.ListMeta, Items: make([]mcsv1beta1.ServiceImport, len(old.Items))}
	for i := range old.Items {
		converted.Items[i] = *fromAlpha(&old.Items[i])
	}
	return converted, nil
}

func (l importLister) watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	w, err := l.client.MulticlusterV1beta1().ServiceImports(metav1.NamespaceAll).Watch(ctx, o)
	if !apierrors.IsNotFound(err) {
		return w, err
	}
	w, err = l.client.MulticlusterV1alpha1().ServiceImports(metav1.NamespaceAll).Watch(ctx, o)
	if err != nil {
		return nil, noneServed(err)
	}
	return watch.Filter(w, func(e watch.Event) (watch.Event, bool) {
		if old, ok := e.Object.(*mcsv1alpha1.ServiceImport); ok {
			e.Object = fromAlpha(old)
		}
		return e, true
	}), nil
}

func noneServed(err error) error {
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("the API server serves no %s in v1beta1 or v1alpha1: install the CustomResourceDefinitions of the Multi-Cluster Services API (%w)",
			mcsv1beta1.ServiceImportFullName, err)
	}
	return err
}

// fromAlpha takes what names are made of.
func fromAlpha(old *mcsv1alpha1.ServiceImport) *mcsv1beta1.ServiceImport {
	out := &mcsv1beta1.ServiceImport{
		ObjectMeta: old.ObjectMeta,
		Spec: mcsv1beta1.ServiceImportSpec{
			Type: mcsv1beta1.ServiceImportType(old.Spec.Type), IPs: old.Spec.IPs, Ports: make([]mcsv1beta1.ServicePort, len(old.Spec.Ports)),
		},
	}
	for i, p := range old.Spec.Ports {
		out.Spec.Ports[i] = mcsv1beta1.ServicePort{Name: p.Name, Protocol: p.Protocol, Port: p.Port}
	}
	return out
}

var _ cache.TransformFunc = strip

// strip takes from an object what no name is made of, before it is kept.
func strip(object any) (any, error) {
	switch o := object.(type) {
	case *mcsv1beta1.ServiceImport:
		o.ObjectMeta = bare(o.ObjectMeta)
		o.Spec = mcsv1beta1.ServiceImportSpec{Type: o.Spec.Type, IPs: o.Spec.IPs, Ports: o.Spec.Ports}
		o.Status = mcsv1beta1.ServiceImportStatus{}
	case *discoveryv1.EndpointSlice:
		labels := map[string]string{}
		for _, name := range []string{mcsv1beta1.LabelServiceName, mcsv1beta1.LabelSourceCluster} {
			labels[name] = o.Labels[name]
		}
		o.ObjectMeta = bare(o.ObjectMeta)
		o.Labels = labels
		for i, e := range o.Endpoints {
			o.Endpoints[i] = discoveryv1.Endpoint{
				Addresses: e.Addresses, Hostname: e.Hostname, Conditions: discoveryv1.EndpointConditions{Ready: e.Conditions.Ready},
			}
		}
	}
	return object, nil
}

func bare(m metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion}
}
