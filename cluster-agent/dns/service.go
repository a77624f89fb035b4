package dns

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/api/model"
)

// Service is what the zone has of one service. It is immutable.
type Service struct {
	headless bool
	// addresses are what the service's own name leads to, sorted.
	addresses []netip.Addr
	// endpoints are what SRV records lead to, sorted by target: a headless service's ready endpoints, or the service itself.
	endpoints []endpoint
	// targets finds an endpoint of a headless service by its target.
	targets map[string]int
}

// endpoint is one target of SRV records.
type endpoint struct {
	// target stands before the service's own name: "HOSTNAME.CLUSTER", or nothing for the service itself.
	target    string
	addresses []netip.Addr
	ports     []port
}

// port is a named port; unnamed ones have no SRV record.
type port struct {
	// name and protocol are labels as they stand in a query: "_http", "_tcp".
	name, protocol string
	number         uint16
}

// NewService makes a service of its ServiceImport and the EndpointSlices that the labels of KEP-1645 tie to it. What is not valid in them is
// left out: an address that is none, a slice that names no source cluster, a port outside 1 to 65535. A ClusterSetIP's slices are not looked
// at: its name leads to its own addresses.
func NewService(imported *mcsv1beta1.ServiceImport, of []*discoveryv1.EndpointSlice) *Service {
	if imported.Spec.Type == mcsv1beta1.Headless {
		return newHeadless(of)
	}
	var self endpoint
	for _, text := range imported.Spec.IPs {
		if a, ok := parseAddress(text); ok {
			self.addresses = append(self.addresses, a)
		}
	}
	for _, p := range imported.Spec.Ports {
		self.ports = addPort(self.ports, p.Name, p.Protocol, p.Port)
	}
	self.addresses, self.ports = sortedSet(self.addresses), sortedPorts(self.ports)
	return &Service{addresses: self.addresses, endpoints: []endpoint{self}}
}

func newHeadless(of []*discoveryv1.EndpointSlice) *Service {
	s := &Service{headless: true, targets: map[string]int{}}
	for _, slice := range of {
		cluster := strings.ToLower(slice.Labels[mcsv1beta1.LabelSourceCluster])
		if model.ValidateLabel("cluster", cluster) != nil {
			continue
		}
		var ports []port
		for _, p := range slice.Ports {
			if p.Name != nil && p.Port != nil {
				protocol := corev1.ProtocolTCP
				if p.Protocol != nil {
					protocol = *p.Protocol
				}
				ports = addPort(ports, *p.Name, protocol, *p.Port)
			}
		}
		ports = sortedPorts(ports)
		for _, e := range slice.Endpoints {
			// Who says nothing of readiness is ready (discovery.k8s.io/v1).
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				s.add(cluster, e, ports)
			}
		}
	}
	s.finish()
	return s
}

// add takes a ready endpoint. A pod of two families stands in two slices: with a hostname of its own, it is one target.
func (s *Service) add(cluster string, e discoveryv1.Endpoint, ports []port) {
	for _, text := range e.Addresses {
		a, ok := parseAddress(text)
		if !ok {
			continue
		}
		target := hostname(e.Hostname, text) + "." + cluster
		i, known := s.targets[target]
		if !known {
			i = len(s.endpoints)
			s.targets[target] = i
			s.endpoints = append(s.endpoints, endpoint{target: target})
		}
		s.endpoints[i].addresses = append(s.endpoints[i].addresses, a)
		s.endpoints[i].ports = mergePorts(s.endpoints[i].ports, ports)
		s.addresses = append(s.addresses, a)
	}
}

// finish puts everything in order: the same facts give the same answers.
func (s *Service) finish() {
	slices.SortFunc(s.endpoints, func(a, b endpoint) int { return strings.Compare(a.target, b.target) })
	for i := range s.endpoints {
		s.targets[s.endpoints[i].target] = i
		s.endpoints[i].addresses = sortedSet(s.endpoints[i].addresses)
	}
	s.addresses = sortedSet(s.addresses)
}

// hostname is the endpoint's own, or made of the address as CoreDNS makes it.
func hostname(own *string, address string) string {
	if own != nil {
		if name := strings.ToLower(*own); model.ValidateLabel("hostname", name) == nil {
			return name
		}
	}
	return strings.ToLower(strings.NewReplacer(".", "-", ":", "-").Replace(address))
}

func parseAddress(text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

func addPort(ports []port, name string, protocol corev1.Protocol, number int32) []port {
	if name == "" || number < 1 || number > 65535 {
		return ports
	}
	if protocol == "" {
		protocol = corev1.ProtocolTCP
	}
	return append(ports, port{
		name: "_" + strings.ToLower(name), protocol: "_" + strings.ToLower(string(protocol)), number: uint16(number),
	})
}

// mergePorts is the union. Endpoints of one slice share one list as long as nothing else is merged into theirs.
func mergePorts(held, more []port) []port {
	if len(held) == 0 {
		return more
	}
	return sortedPorts(slices.Concat(held, more))
}

func sortedPorts(ports []port) []port {
	slices.SortFunc(ports, func(a, b port) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.protocol, b.protocol), cmp.Compare(a.number, b.number))
	})
	return slices.Compact(ports)
}

func sortedSet(addresses []netip.Addr) []netip.Addr {
	slices.SortFunc(addresses, netip.Addr.Compare)
	return slices.Compact(addresses)
}
