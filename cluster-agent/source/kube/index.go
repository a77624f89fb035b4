package kube

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/source"
)

// index is what is known of the cluster, and what of it was told. A change marks the services that it touches, and only those are worked
// out again. It is not safe for concurrent use; what it returns is immutable.
type index struct {
	region, system string

	services     *table[*corev1.Service, service]
	slices       *table[*discoveryv1.EndpointSlice, slice]
	nodes        *table[*corev1.Node, node]
	namespaces   *table[*corev1.Namespace, bool]
	exports      *table[*mcsv1beta1.ServiceExport, export]
	serviceCIDRs *table[*networkingv1.ServiceCIDR, []string]
	// sliceNames are the names of each service's slices, sorted.
	sliceNames map[model.ServiceKey][]string

	// touched are services to work out again; moved says that the gateways' addresses may have changed, news that facts have.
	touched map[model.ServiceKey]struct{}
	moved   bool
	news    bool

	told     map[model.ServiceKey]statement
	gateways []model.Gateway
}

func newIndex(region, system string) *index {
	x := &index{
		region: region, system: system,
		sliceNames: map[model.ServiceKey][]string{}, touched: map[model.ServiceKey]struct{}{}, told: map[model.ServiceKey]statement{},
	}
	x.services = newTable(readService(system), x.serviceChanged)
	x.slices = newTable(readSlice, x.sliceChanged)
	x.nodes = newTable(readNode, x.nodeChanged)
	x.namespaces = newTable(readNamespace, func(objectKey, *bool, *bool) { x.news = true })
	x.exports = newTable(readExport, x.exportChanged)
	x.serviceCIDRs = newTable(readServiceCIDR, func(objectKey, *[]string, *[]string) { x.news = true })
	return x
}

func serviceKey(k objectKey) model.ServiceKey {
	return model.ServiceKey{Namespace: k.namespace, Name: k.name}
}

func (x *index) serviceChanged(k objectKey, was, is *service) {
	x.touch(serviceKey(k))
	for _, s := range []*service{was, is} {
		if s != nil {
			x.news = x.news || !s.derived.IsZero() || x.showsFamilies(k, *s)
			x.moved = x.moved || s.entry != nil
		}
	}
}

func (x *index) sliceChanged(k objectKey, was, is *slice) {
	for _, s := range []*slice{was, is} {
		if s != nil {
			x.nameSlice(s.service, k.name, s == is)
			x.touch(s.service)
			x.news = x.news || s.service == x.systemService(EgressService)
			x.moved = x.moved || s.service == x.systemService(GatewayService)
		}
	}
}

// nameSlice keeps sliceNames: a slice may move to another service, by its label.
func (x *index) nameSlice(k model.ServiceKey, name string, there bool) {
	names := x.sliceNames[k]
	i, found := slices.BinarySearch(names, name)
	switch {
	case there && !found:
		x.sliceNames[k] = slices.Insert(names, i, name)
	case !there && found && len(names) == 1:
		delete(x.sliceNames, k)
	case !there && found:
		x.sliceNames[k] = slices.Delete(names, i, i+1)
	}
}

func (x *index) exportChanged(k objectKey, _, _ *export) {
	x.touched[serviceKey(k)] = struct{}{}
	x.news = true
}

// nodeChanged looks for services with pods on a node whose place is another now, which happens once in a node's life.
func (x *index) nodeChanged(k objectKey, was, is *node) {
	x.moved = true
	if place(was) == place(is) {
		return
	}
	for _, s := range x.slices.held {
		if slices.ContainsFunc(s.endpoints, func(e endpoint) bool { return e.node == k.name }) {
			x.touch(s.service)
		}
	}
}

// place is where a node says that it is; nil says nothing.
func place(n *node) [2]string {
	if n == nil {
		return [2]string{}
	}
	return [2]string{n.region, n.zone}
}

// touch marks a service when it is exported: of all others nothing is told.
func (x *index) touch(k model.ServiceKey) {
	if _, exported := x.exports.held[objectKey{k.Namespace, k.Name}]; exported {
		x.touched[k] = struct{}{}
	}
}

func (x *index) systemService(name string) model.ServiceKey {
	return model.ServiceKey{Namespace: x.system, Name: name}
}

// next returns what changed since it was asked last.
func (x *index) next() source.Update {
	var u source.Update
	for _, k := range slices.SortedFunc(maps.Keys(x.touched), model.ServiceKey.Compare) {
		was, is := x.told[k], x.state(k)
		if is.export == nil {
			delete(x.told, k)
		} else {
			x.told[k] = is
		}
		differ(&u, k, was, is)
		x.news = x.news || !reflect.DeepEqual(was.export, is.export)
	}
	clear(x.touched)
	if x.moved {
		u.Gateways = x.moveGateways()
		x.moved = false
	}
	return u
}

// all returns everything that there is to tell, and counts it as told.
func (x *index) all() source.Update {
	x.next()
	u := source.Update{Full: true, Gateways: x.gateways}
	for _, k := range slices.SortedFunc(maps.Keys(x.told), model.ServiceKey.Compare) {
		u.Exports = append(u.Exports, *x.told[k].export)
		u.Upserts = append(u.Upserts, x.told[k].workloads...)
	}
	return u
}

// moveGateways returns the new addresses when they changed. One that vanishes without another in its place stays: a load balancer that is
// made anew shows none for a while, and a cluster without gateways is a cluster that everybody has lost.
func (x *index) moveGateways() []model.Gateway {
	hosts := map[string]bool{}
	for _, s := range x.slicesOf(x.systemService(GatewayService)) {
		for _, e := range s.endpoints {
			hosts[e.node] = hosts[e.node] || !e.terminating
		}
	}
	s := x.services.held[objectKey{x.system, GatewayService}]
	now := gatewaysOf(s.entry, x.nodes.held, hosts, x.region)
	if len(now) == 0 || slices.Equal(now, x.gateways) {
		return nil
	}
	x.gateways = now
	return now
}

func (x *index) slicesOf(k model.ServiceKey) []slice {
	names := x.sliceNames[k]
	out := make([]slice, 0, len(names))
	for _, name := range names {
		out = append(out, x.slices.held[objectKey{k.Namespace, name}])
	}
	return out
}

func (x *index) locate(e endpoint) model.Locality {
	return x.nodes.held[objectKey{name: e.node}].locality(e.zone, x.region)
}

// localityOf finds where a pod runs, by an endpoint of any service or, for a pod of none, by the addresses that its node gives out.
func (x *index) localityOf(ip netip.Addr) (model.Locality, bool) {
	text := ip.String()
	for _, s := range x.slices.held {
		for _, e := range s.endpoints {
			if e.address == text {
				return x.locate(e), true
			}
		}
	}
	for _, n := range x.nodes.held {
		for _, cidr := range strings.Fields(n.podCIDRs) {
			if p, err := netip.ParsePrefix(cidr); err == nil && p.Contains(ip) {
				return n.locality("", x.region), true
			}
		}
	}
	return model.Locality{}, false
}
