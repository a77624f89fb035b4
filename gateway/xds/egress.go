package xds

import (
	"strconv"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

// egress adds what an egress gateway offers to workloads without an Envoy: each service port that has an egress port, on that port.
func (b *builder) egress(w *snapshot.Workload) {
	if at := (address{host: w.Egress.Bind}); !at.isIP() {
		b.problem("egress", "bind %q is not an IP address: give one without a port, %q for all", w.Egress.Bind, "::")
		return
	}
	for _, sp := range b.s.Services {
		if sp.EgressPort == 0 {
			continue
		}
		at := address{host: w.Egress.Bind, port: sp.EgressPort, udp: sp.Port.Protocol == model.ProtocolUDP}
		name := "egress|" + strconv.Itoa(int(sp.EgressPort))
		if at.udp {
			b.egressUDP(name, at, sp, w.Locality)
			continue
		}
		if b.offer(sp, w.Locality) {
			b.listen(at, name, sp.ConfigDigest+"/"+at.String()+"|"+name, func() *Resource { return egressListener(name, at, sp) })
		}
	}
}

// egressListener is a local proxy's, for callers who are told apart by their addresses.
func egressListener(name string, at address, sp *snapshot.ServicePort) *Resource {
	stat := egressPrefix + statName(sp.SNI)
	if !sp.Port.Protocol.IsHTTP() {
		p := tcpProxyConfig(stat, sp.SNI)
		if sp.Affinity {
			p.HashPolicy = []*typev3.HashPolicy{{PolicySpecifier: &typev3.HashPolicy_SourceIp_{SourceIp: &typev3.HashPolicy_SourceIp{}}}}
		}
		return outboundListener(name, at, tcpProxyFilter(p))
	}
	m := httpManager(stat)
	config := callConfig(sp.SNI)
	if sp.Affinity {
		for _, r := range config.GetVirtualHosts()[0].GetRoutes() {
			r.GetRoute().HashPolicy = []*routev3.RouteAction_HashPolicy{{PolicySpecifier: &routev3.RouteAction_HashPolicy_ConnectionProperties_{
				ConnectionProperties: &routev3.RouteAction_HashPolicy_ConnectionProperties{SourceIp: true},
			}}}
		}
	}
	m.RouteSpecifier = inlineRoutes(config)
	return outboundListener(name, at, managerFilter(m))
}
