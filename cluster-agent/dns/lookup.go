package dns

import (
	"net/netip"
	"slices"
	"strings"

	wire "github.com/miekg/dns"

	"github.com/hanse-mesh/hanse/api/model"
)

// SchemaVersion is the version of the names' schema (KEP-1645, DNS specification, section 2.2).
const SchemaVersion = "1.0.0"

// apex is the zone's own name as it stands in a message.
const apex = model.ClusterSetDomain + "."

// node is what stands at a name. A name that only leads to names beneath it is a node without records.
type node struct {
	soa  bool
	text string
	// addresses answer A and AAAA.
	addresses []netip.Addr
	// endpoints answer SRV, with the ports that have this name and protocol; without a name, with all.
	endpoints      []endpoint
	name, protocol string
	// base is the name beneath which the endpoints' targets stand.
	base string
}

// inZone reports whether a name, in lower case, is the apex or stands beneath it.
func inZone(name string) bool { return wire.IsSubDomain(apex, name) }

// find looks a name up, in lower case and within the zone; false means that it does not exist.
func (z *Zone) find(name string) (node, bool) {
	labels := wire.SplitDomainName(name)
	labels = labels[:len(labels)-wire.CountLabel(apex)]
	n := len(labels)
	switch {
	case n == 0:
		return node{soa: true}, true
	case n == 1 && labels[0] == "dns-version":
		return node{text: SchemaVersion}, true
	case labels[n-1] != "svc":
		return node{}, false
	case n == 1:
		return node{}, true
	}
	services, known := z.namespaces[labels[n-2]]
	if n == 2 || !known {
		return node{}, known
	}
	service, known := services[labels[n-3]]
	if !known {
		return node{}, false
	}
	out, known := service.find(labels[:n-3])
	out.base = strings.Join(labels[n-3:], ".") + "." + apex
	return out, known
}

// find looks up what stands before the service's own name.
func (s *Service) find(labels []string) (node, bool) {
	// Without a ready endpoint a headless service does not exist (KEP-1645, DNS specification, section 2.4.1).
	if s.headless && len(s.endpoints) == 0 {
		return node{}, false
	}
	switch {
	case len(labels) == 0:
		return node{addresses: s.addresses, endpoints: s.endpoints}, true
	case len(labels) == 1:
		// CLUSTER alone must not exist: nobody is to choose a cluster by name. What stands beneath it is reached all the same, as by
		// CoreDNS. A protocol alone only leads to the ports beneath it.
		return node{}, s.has(func(p port) bool { return p.protocol == labels[0] })
	case len(labels) > 2:
		return node{}, false
	}
	if i, known := s.targets[labels[0]+"."+labels[1]]; known {
		return node{addresses: s.endpoints[i].addresses}, true
	}
	out := node{endpoints: s.endpoints, name: labels[0], protocol: labels[1]}
	return out, s.has(out.wants)
}

func (s *Service) has(wanted func(port) bool) bool {
	return slices.ContainsFunc(s.endpoints, func(e endpoint) bool { return slices.ContainsFunc(e.ports, wanted) })
}

// wants reports whether SRV records at the name are also about the port.
func (n node) wants(p port) bool { return n.name == "" || p.name == n.name && p.protocol == n.protocol }
