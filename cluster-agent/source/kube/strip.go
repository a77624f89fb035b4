package kube

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

var _ cache.TransformFunc = strip

// strip takes from an object that was just decoded what nobody here reads. A first list holds all objects at once before they are
// translated: what it strips is what bounds that moment. Objects of unknown types pass unchanged.
func strip(object any) (any, error) {
	switch o := object.(type) {
	case *corev1.Service:
		stripMeta(&o.ObjectMeta)
		o.Spec.Selector = nil
		o.Status = corev1.ServiceStatus{LoadBalancer: o.Status.LoadBalancer}
	case *discoveryv1.EndpointSlice:
		stripMeta(&o.ObjectMeta)
		for i := range o.Endpoints {
			o.Endpoints[i].Hints, o.Endpoints[i].DeprecatedTopology = nil, nil
		}
	case *corev1.Node:
		stripMeta(&o.ObjectMeta)
		o.Spec = corev1.NodeSpec{PodCIDRs: o.Spec.PodCIDRs, Unschedulable: o.Spec.Unschedulable}
		o.Status = corev1.NodeStatus{Addresses: o.Status.Addresses, Conditions: o.Status.Conditions}
	case *corev1.Namespace:
		stripMeta(&o.ObjectMeta)
		o.Spec = corev1.NamespaceSpec{}
	case *mcsv1beta1.ServiceExport:
		stripMeta(&o.ObjectMeta)
	case *mcsv1alpha1.ServiceExport:
		stripMeta(&o.ObjectMeta)
	}
	return object, nil
}

// stripMeta keeps names, labels and times. Annotations may hold an object's whole manifest.
func stripMeta(m *metav1.ObjectMeta) {
	m.ManagedFields, m.Annotations, m.OwnerReferences, m.Finalizers = nil, nil, nil, nil
}
