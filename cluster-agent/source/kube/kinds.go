package kube

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/cluster-agent/mcs"
)

// kind is one kind of objects that is listed and watched.
type kind struct {
	// resource is "PLURAL.GROUP", as kubectl and roles name it.
	resource string
	example  runtime.Object
	list     func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watch    func(context.Context, metav1.ListOptions) (watch.Interface, error)
	held     holder
	// optional kinds help when they can be seen; nothing waits for them.
	optional bool
}

// holder takes objects in.
type holder interface {
	putAny(object any)
	dropAny(object any)
	replaceAny(all []any)
}

// kinds are all that is watched; each table takes the objects of one. EndpointSlices that the agent itself writes are as many as the
// imports, and say nothing of this cluster: they do not even leave the API server.
func (s *Source) kinds() []kind {
	core, x := s.cfg.Client.CoreV1(), s.index
	services, nodes, namespaces := core.Services(metav1.NamespaceAll), core.Nodes(), core.Namespaces()
	endpoints := s.cfg.Client.DiscoveryV1().EndpointSlices(metav1.NamespaceAll)
	cidrs := s.cfg.Client.NetworkingV1().ServiceCIDRs()
	exports := exportLister{s.cfg.MCS}
	return []kind{
		{resource: "services", example: &corev1.Service{}, list: lister(services.List), watch: services.Watch, held: x.services},
		{
			resource: "endpointslices.discovery.k8s.io", example: &discoveryv1.EndpointSlice{},
			list: lister(foreign(endpoints.List)), watch: foreign(endpoints.Watch), held: x.slices,
		},
		{resource: "nodes", example: &corev1.Node{}, list: lister(nodes.List), watch: nodes.Watch, held: x.nodes},
		{resource: "namespaces", example: &corev1.Namespace{}, list: lister(namespaces.List), watch: namespaces.Watch, held: x.namespaces},
		{resource: mcsv1beta1.ServiceExportFullName, example: &mcsv1beta1.ServiceExport{}, list: exports.list, watch: exports.watch, held: x.exports},
		{
			resource: "servicecidrs.networking.k8s.io", example: &networkingv1.ServiceCIDR{},
			list: lister(cidrs.List), watch: cidrs.Watch, held: x.serviceCIDRs, optional: true,
		},
	}
}

// lister makes a typed client's list one of any kind.
func lister[L runtime.Object](list func(context.Context, metav1.ListOptions) (L, error)) func(context.Context, metav1.ListOptions) (runtime.Object, error) {
	return func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		l, err := list(ctx, o)
		if err != nil {
			return nil, err
		}
		return l, nil
	}
}

// foreign leaves out what the agent itself wrote.
func foreign[R any](call func(context.Context, metav1.ListOptions) (R, error)) func(context.Context, metav1.ListOptions) (R, error) {
	return func(ctx context.Context, o metav1.ListOptions) (R, error) {
		o.LabelSelector = mcs.LabelSliceManagedBy + "!=" + mcs.Manager
		return call(ctx, o)
	}
}
