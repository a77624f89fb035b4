package kube

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/hanse-mesh/hanse/api/codec"
	"github.com/hanse-mesh/hanse/api/model"
)

// GatewayService and EgressService are the names, in the system namespace, of the Services before a cluster's gateways.
const (
	GatewayService = "hanse-gateway"
	EgressService  = "hanse-egress"
)

// entry is how the Service of the gateways is reached from outside.
type entry struct {
	// addresses are its load balancer's, or those that its administrator routes to it, sorted.
	addresses []string
	port      uint16
	// nodePort is set when the nodes are all there is; local says that only nodes with a gateway of their own answer on it.
	nodePort uint16
	local    bool
}

// readEntry takes the first TCP port: the gateways have one.
func readEntry(s *corev1.Service) *entry {
	i := slices.IndexFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return transportOf(p.Protocol) == model.ProtocolTCP })
	if i < 0 {
		return nil
	}
	out := &entry{port: uint16(s.Spec.Ports[i].Port), addresses: slices.Clone(s.Spec.ExternalIPs)}
	for _, in := range s.Status.LoadBalancer.Ingress {
		for _, a := range []string{in.IP, in.Hostname} {
			if a != "" {
				out.addresses = append(out.addresses, a)
			}
		}
	}
	slices.Sort(out.addresses)
	out.addresses = slices.Compact(out.addresses)
	if s.Spec.Type == corev1.ServiceTypeNodePort {
		out.nodePort = uint16(s.Spec.Ports[i].NodePort)
		out.local = s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
	}
	return out
}

// gatewaysOf returns where other clusters reach this cluster's gateways, sorted by name and at most codec.MaxGateways; nil when nowhere yet.
// hosts are the nodes that gateways run on. Nodes that are not ready count only when none is: what a node's own address answers, others find
// out by their probes.
func gatewaysOf(e *entry, nodes map[objectKey]node, hosts map[string]bool, region string) []model.Gateway {
	var out []model.Gateway
	switch {
	case e == nil:
	case len(e.addresses) > 0:
		for _, a := range e.addresses {
			out = append(out, model.Gateway{Name: labelOf("lb-" + a), Address: a, Port: e.port, Locality: model.Locality{Region: region}})
		}
	case e.nodePort != 0:
		answers := func(name string, n node) bool { return n.ready && (hosts[name] || !e.local) }
		if out = nodeGateways(e.nodePort, nodes, region, answers); len(out) == 0 {
			out = nodeGateways(e.nodePort, nodes, region, func(name string, _ node) bool { return hosts[name] || !e.local })
		}
	}
	return out[:min(len(out), codec.MaxGateways)]
}

func nodeGateways(port uint16, nodes map[objectKey]node, region string, answers func(string, node) bool) []model.Gateway {
	var out []model.Gateway
	for _, k := range slices.SortedFunc(maps.Keys(nodes), objectKey.compare) {
		n := nodes[k]
		if !answers(k.name, n) {
			continue
		}
		for _, a := range strings.Fields(n.addresses) {
			out = append(out, model.Gateway{Name: labelOf("node-" + a), Address: a, Port: port, Locality: n.locality("", region)})
		}
	}
	slices.SortFunc(out, func(a, b model.Gateway) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// locality is a node's, with what an endpoint knows of its own zone and the cluster's region in place of labels that are missing.
func (n node) locality(zone, region string) model.Locality {
	out := model.Locality{Region: region, Zone: labelOf(zone)}
	if n.region != "" {
		out.Region = labelOf(n.region)
	}
	if n.zone != "" {
		out.Zone = labelOf(n.zone)
	}
	return out
}

// labelOf makes an RFC 1123 label of a text: nodes' labels allow upper case and '_', which regions and zones do not. Empty stays empty.
func labelOf(text string) string {
	out := []byte(strings.ToLower(text))
	out = out[:min(len(out), 63)]
	for i, c := range out {
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9') {
			out[i] = '-'
		}
	}
	return strings.Trim(string(out), "-")
}
