package kube

import (
	"net/netip"
	"slices"
	"strings"
	"time"
	"unique"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/mcs"
)

func readService(system string) func(*corev1.Service) (service, bool) {
	return func(s *corev1.Service) (service, bool) {
		out := service{
			kind: s.Spec.Type, headless: s.Spec.ClusterIP == corev1.ClusterIPNone,
			affinity: string(s.Spec.SessionAffinity), ports: readPorts(s.Spec.Ports), families: readFamilies(s.Spec),
		}
		if !out.headless {
			out.clusterIPs = s.Spec.ClusterIPs
		}
		if c := s.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
			out.timeout = *c.ClientIP.TimeoutSeconds
		}
		if s.Spec.InternalTrafficPolicy != nil {
			out.policy = string(*s.Spec.InternalTrafficPolicy)
		}
		if s.Spec.TrafficDistribution != nil {
			out.distribution = *s.Spec.TrafficDistribution
		}
		out.derived, _ = mcs.DerivedFor(s)
		if s.Namespace == system && s.Name == GatewayService {
			out.entry = readEntry(s)
		}
		return out, true
	}
}

// readFamilies gives a Service without addresses, whose families nobody allotted yet, those of its addresses: none.
func readFamilies(s corev1.ServiceSpec) []model.IPFamily {
	out := make([]model.IPFamily, 0, len(s.IPFamilies))
	for _, f := range s.IPFamilies {
		if f := model.IPFamily(f); !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

// readPorts sorts by number, then protocol: the order in which they are published.
func readPorts(ports []corev1.ServicePort) []model.Port {
	out := make([]model.Port, 0, len(ports))
	for _, p := range ports {
		port := model.Port{Name: intern(p.Name), Number: uint16(p.Port), Protocol: protocolOf(p)}
		if p.AppProtocol != nil {
			port.AppProtocol = intern(*p.AppProtocol)
		}
		out = append(out, port)
	}
	slices.SortFunc(out, func(a, b model.Port) int {
		if a.Number != b.Number {
			return int(a.Number) - int(b.Number)
		}
		return strings.Compare(string(a.Protocol), string(b.Protocol))
	})
	return out
}

// readSlice knows no slice of host names: they are not what pods have.
func readSlice(s *discoveryv1.EndpointSlice) (slice, bool) {
	name := s.Labels[discoveryv1.LabelServiceName]
	if name == "" || s.AddressType != discoveryv1.AddressTypeIPv4 && s.AddressType != discoveryv1.AddressTypeIPv6 {
		return slice{}, false
	}
	out := slice{
		service:   model.ServiceKey{Namespace: intern(s.Namespace), Name: intern(name)},
		family:    model.IPFamily(intern(string(s.AddressType))),
		ports:     make([]slicePort, 0, len(s.Ports)),
		endpoints: make([]endpoint, 0, len(s.Endpoints)),
	}
	for _, p := range s.Ports {
		if p.Port == nil { // every port, which no Service means
			continue
		}
		port := slicePort{number: uint16(*p.Port), transport: model.ProtocolTCP}
		if p.Name != nil {
			port.name = intern(*p.Name)
		}
		if p.Protocol != nil {
			port.transport = transportOf(*p.Protocol)
		}
		out.ports = append(out.ports, port)
	}
	for i := range s.Endpoints {
		if e, ok := readEndpoint(&s.Endpoints[i]); ok {
			out.endpoints = append(out.endpoints, e)
		}
	}
	return out, true
}

// readEndpoint takes the first address, as kube-proxy does. What a slice does not say of a condition means what its documentation says:
// ready and serving unless said otherwise, not terminating.
func readEndpoint(e *discoveryv1.Endpoint) (endpoint, bool) {
	if len(e.Addresses) == 0 {
		return endpoint{}, false
	}
	ready := e.Conditions.Ready == nil || *e.Conditions.Ready
	out := endpoint{
		address: e.Addresses[0], hostname: text(e.Hostname), node: intern(text(e.NodeName)), zone: intern(text(e.Zone)),
		ready: ready, serving: ready, terminating: e.Conditions.Terminating != nil && *e.Conditions.Terminating,
	}
	if e.Conditions.Serving != nil {
		out.serving = *e.Conditions.Serving
	}
	if e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
		out.pod = e.TargetRef.Name
	}
	return out, true
}

func readNode(n *corev1.Node) (node, bool) {
	out := node{
		region: intern(n.Labels[corev1.LabelTopologyRegion]), zone: intern(n.Labels[corev1.LabelTopologyZone]),
		podCIDRs: strings.Join(n.Spec.PodCIDRs, " "), addresses: nodeAddresses(n.Status.Addresses),
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			out.ready = c.Status == corev1.ConditionTrue
		}
	}
	return out, true
}

// nodeAddresses joins a node's external addresses or, when it has none, its internal ones.
func nodeAddresses(all []corev1.NodeAddress) string {
	for _, kind := range []corev1.NodeAddressType{corev1.NodeExternalIP, corev1.NodeInternalIP} {
		var out []string
		for _, a := range all {
			if _, err := netip.ParseAddr(a.Address); a.Type == kind && err == nil {
				out = append(out, a.Address)
			}
		}
		if len(out) > 0 {
			return strings.Join(out, " ")
		}
	}
	return ""
}

// readNamespace is false for a namespace that is being deleted: nothing can be made in it any more.
func readNamespace(n *corev1.Namespace) (bool, bool) { return n.DeletionTimestamp == nil, true }

// readExport knows no export that is being deleted: who deleted it means it to end now, whatever its finalizers wait for.
func readExport(e *mcsv1beta1.ServiceExport) (export, bool) {
	return export{
		generation: e.Generation, createdAt: e.CreationTimestamp.UTC().Truncate(time.Second),
		labels: e.Spec.ExportedLabels, annotations: e.Spec.ExportedAnnotations, conditions: e.Status.Conditions,
	}, e.DeletionTimestamp == nil
}

func readServiceCIDR(c *networkingv1.ServiceCIDR) ([]string, bool) { return c.Spec.CIDRs, true }

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// intern makes equal names of many objects share one copy.
func intern(s string) string { return unique.Make(s).Value() }
