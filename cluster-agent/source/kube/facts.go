package kube

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/mcs"
)

// Facts are what the plan of the Multi-Cluster Services API needs to know of this cluster: mcs.Facts has the meaning of each. They are
// immutable; LocalExport.Refused is left to who knows the federation.
type Facts struct {
	Namespaces map[string]bool
	// Exports are sorted by service.
	Exports []mcs.LocalExport
	Derived map[model.ServiceKey]mcs.Derived
	// Egress is sorted by address.
	Egress   []mcs.Egress
	Families []string
}

func (x *index) facts() Facts {
	f := Facts{Namespaces: map[string]bool{}, Derived: map[model.ServiceKey]mcs.Derived{}, Egress: x.egressPods(), Families: x.families()}
	for k, active := range x.namespaces.held {
		f.Namespaces[k.name] = active
	}
	for _, s := range x.services.held {
		if !s.derived.IsZero() && len(s.clusterIPs) > 0 {
			f.Derived[s.derived] = mcs.Derived{ClusterIPs: s.clusterIPs, IPFamilies: familyNames(s.families)}
		}
	}
	for k, e := range x.exports.held {
		f.Exports = append(f.Exports, x.localExport(serviceKey(k), e))
	}
	slices.SortFunc(f.Exports, func(a, b mcs.LocalExport) int { return a.Service.Compare(b.Service) })
	return f
}

// localExport shares what was told already unless the service is touched.
func (x *index) localExport(k model.ServiceKey, e export) mcs.LocalExport {
	out := mcs.LocalExport{Service: k, Generation: e.generation, Conditions: e.conditions}
	s, exists := x.services.held[objectKey{k.Namespace, k.Name}]
	if !exists {
		out.Invalid = invalid(nil)
		return out
	}
	if out.Invalid = invalid(&s); out.Invalid != "" {
		return out
	}
	if _, touched := x.touched[k]; !touched {
		out.Export = x.told[k].export
		return out
	}
	now := exportOf(k, e, s, x.slicesOf(k))
	out.Export = &now
	return out
}

// egressPods lists each address once, ready when any slice says so.
func (x *index) egressPods() []mcs.Egress {
	ready := map[string]bool{}
	for _, s := range x.slicesOf(x.systemService(EgressService)) {
		for _, e := range s.endpoints {
			ready[e.address] = ready[e.address] || e.ready && !e.terminating
		}
	}
	out := make([]mcs.Egress, 0, len(ready))
	for address, ready := range ready {
		out = append(out, mcs.Egress{Address: address, Ready: ready})
	}
	slices.SortFunc(out, func(a, b mcs.Egress) int { return strings.Compare(a.Address, b.Address) })
	return out
}

// apiService is the API server's own Service, whose one family is the cluster's first.
var apiService = objectKey{metav1.NamespaceDefault, "kubernetes"}

// defaultServiceCIDR is the ServiceCIDR that the API server makes of its own flags, in their order.
const defaultServiceCIDR = "kubernetes"

// showsFamilies reports whether families may depend on a Service.
func (x *index) showsFamilies(k objectKey, s service) bool {
	return k == apiService || len(x.serviceCIDRs.held) == 0 && len(s.families) > 1
}

// families are what the cluster allots addresses of. An API server that has no ServiceCIDRs, or shows none, is known by its Services: some
// Service of a cluster of two families has both.
func (x *index) families() []string {
	var out []string
	add := func(f string) {
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	for _, f := range x.services.held[apiService].families {
		add(string(f))
	}
	for _, cidr := range x.serviceCIDRs.held[objectKey{name: defaultServiceCIDR}] {
		add(familyOf(cidr))
	}
	for _, cidrs := range x.serviceCIDRs.held {
		for _, cidr := range cidrs {
			add(familyOf(cidr))
		}
	}
	if len(x.serviceCIDRs.held) > 0 {
		return out
	}
	for _, s := range x.services.held {
		if len(s.clusterIPs) > 1 {
			add(string(model.IPv4))
			add(string(model.IPv6))
		}
	}
	return out
}

// familyOf reads the family of an address or a range of addresses.
func familyOf(cidr string) string {
	if strings.Contains(cidr, ":") {
		return string(corev1.IPv6Protocol)
	}
	return string(corev1.IPv4Protocol)
}

func familyNames(families []model.IPFamily) []string {
	out := make([]string, len(families))
	for i, f := range families {
		out[i] = string(f)
	}
	return out
}
