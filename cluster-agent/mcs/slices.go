package mcs

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/api/model"
)

// slices are the imported EndpointSlices: one per exporting cluster and family. Those of all services share the egress pods' endpoints.
func (s *service) slices(egress map[corev1.IPFamily][]discoveryv1.Endpoint) []*discoveryv1.EndpointSlice {
	if s.Winner.Headless {
		return s.headlessSlices()
	}
	if s.derived == nil {
		return nil
	}
	var out []*discoveryv1.EndpointSlice
	for _, cluster := range s.Clusters {
		ports := s.egressPorts(cluster)
		if len(ports) == 0 {
			continue
		}
		for _, family := range s.derived.Spec.IPFamilies {
			slice := s.slice(cluster, family, ports, egress[family])
			// By this label kube-proxy takes it for the derived Service's.
			slice.Labels[discoveryv1.LabelServiceName] = DerivedName(s.key)
			out = append(out, slice)
		}
	}
	return out
}

// egressPorts are the ports that the cluster serves, where this cluster's egress pods listen for them.
func (s *service) egressPorts(cluster model.ClusterName) []discoveryv1.EndpointPort {
	var out []discoveryv1.EndpointPort
	for _, p := range s.Ports {
		number := s.facts.Ports[portKey(s.key, p.Port)]
		if p.Served(cluster) && p.Protocol.Carried() && number != 0 {
			out = append(out, endpointPort(s.derivedPortName(p), p.Port, number))
		}
	}
	return out
}

// egress lists the egress pods' addresses of a family. Those that are not ready are said to be so, as a Service's own controller does.
func (f *Facts) egress(family corev1.IPFamily) []discoveryv1.Endpoint {
	var out []discoveryv1.Endpoint
	for _, e := range f.Egress {
		if familyOf(e.Address) == family {
			out = append(out, endpoint(e.Address, e.Ready))
		}
	}
	return ordered(out)
}

// headlessSlices have the endpoints as their clusters tell of them. No Service selects them: only DNS reads them, by their labels.
func (s *service) headlessSlices() []*discoveryv1.EndpointSlice {
	if !s.facts.EndpointSlices {
		return nil
	}
	var out []*discoveryv1.EndpointSlice
	for _, r := range s.exports {
		// Who is no headless service tells of no endpoints.
		for _, family := range s.headlessFamilies() {
			if endpoints := headlessEndpoints(r.Export, family); len(endpoints) > 0 {
				out = append(out, s.slice(r.Cluster, family, s.headlessPorts(r.Cluster), endpoints))
			}
		}
	}
	return out
}

func (s *service) headlessPorts(cluster model.ClusterName) []discoveryv1.EndpointPort {
	var out []discoveryv1.EndpointPort
	for _, p := range s.Ports {
		if p.Served(cluster) {
			out = append(out, endpointPort(p.Name, p.Port, p.Number))
		}
	}
	return out
}

func headlessEndpoints(e model.ServiceExport, family corev1.IPFamily) []discoveryv1.Endpoint {
	var out []discoveryv1.Endpoint
	for _, ep := range e.Endpoints {
		if familyOf(ep.Address) == family {
			to := endpoint(ep.Address, ep.Ready)
			to.Hostname = optional(ep.Hostname)
			out = append(out, to)
		}
	}
	return ordered(out)
}

// slice makes one EndpointSlice. Its name says what it is, and by a hash that it is of this service and cluster: both may have hyphens.
func (s *service) slice(cluster model.ClusterName, family corev1.IPFamily, ports []discoveryv1.EndpointPort, endpoints []discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	labels := map[string]string{LabelSliceManagedBy: Manager}
	if s.facts.EndpointSlices {
		labels[mcsv1beta1.LabelServiceName], labels[mcsv1beta1.LabelSourceCluster] = s.key.Name, string(cluster)
	}
	name := s.key.Name + "-" + hash(s.key.Namespace, s.key.Name, string(cluster)) + "-" + strings.ToLower(string(family))
	return &discoveryv1.EndpointSlice{
		TypeMeta:    metav1.TypeMeta{APIVersion: discoveryv1.SchemeGroupVersion.String(), Kind: "EndpointSlice"},
		ObjectMeta:  metav1.ObjectMeta{Namespace: s.key.Namespace, Name: name, Labels: labels},
		AddressType: discoveryv1.AddressType(family), Endpoints: endpoints, Ports: ports,
	}
}

func endpoint(address string, ready bool) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}
}

func endpointPort(name string, p model.Port, number uint16) discoveryv1.EndpointPort {
	protocol, n := transport(p), int32(number)
	return discoveryv1.EndpointPort{Name: &name, Protocol: &protocol, Port: &n, AppProtocol: optional(p.AppProtocol)}
}

// ordered sorts endpoints by hostname and address, keeps each address once under a name, the ready one, and bounds them: an API server takes
// no more of them. The list is never nil.
func ordered(endpoints []discoveryv1.Endpoint) []discoveryv1.Endpoint {
	place := func(a, b discoveryv1.Endpoint) int {
		return cmp.Or(cmp.Compare(hostname(a), hostname(b)), cmp.Compare(a.Addresses[0], b.Addresses[0]))
	}
	slices.SortFunc(endpoints, func(a, b discoveryv1.Endpoint) int {
		return cmp.Or(place(a, b), compareBool(*b.Conditions.Ready, *a.Conditions.Ready))
	})
	endpoints = slices.CompactFunc(endpoints, func(a, b discoveryv1.Endpoint) bool { return place(a, b) == 0 })
	if len(endpoints) > model.MaxExportEndpoints {
		endpoints = endpoints[:model.MaxExportEndpoints]
	}
	return append([]discoveryv1.Endpoint{}, endpoints...)
}

func hostname(e discoveryv1.Endpoint) string {
	if e.Hostname == nil {
		return ""
	}
	return *e.Hostname
}
