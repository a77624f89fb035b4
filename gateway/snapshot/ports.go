package snapshot

import (
	"slices"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
)

// ported is a service as callers and gateways see it.
type ported struct {
	// ports stand in the order in which they were claimed.
	ports       []*ServicePort
	passthrough []*Passthrough
}

// port turns a service's claims into callable ports, and into what gateways pass on.
func (b *builder) port(s *service) *ported {
	vip := b.in.VIPs[s.key]
	// An address counts for every port: any of them tells whether it is the same.
	if p := s.ported; p != nil && !b.moved.touches(s) && (len(p.ports) == 0 || p.ports[0].VIP == vip) {
		return p
	}
	p := &ported{passthrough: b.passthrough(s)}
	identities := b.identities(s)
	requests := b.requests(s.key)
	for _, c := range s.claims {
		sp := &ServicePort{Service: s.key, Port: c.port, SNI: model.PassthroughSNI(s.key, c.port.Number), Identities: identities, VIP: vip}
		sp.Assignments = b.assign(c, sp.SNI, requests)
		sp.ConfigDigest, sp.Digest = b.digest.servicePort(sp)
		p.ports = append(p.ports, sp)
	}
	next := *s
	next.ported = p
	b.after.services[s.key] = &next
	return p
}

// identities are those that any server of the service may present: callers have one TLS context per service port, whichever cluster
// answers.
func (b *builder) identities(s *service) []string {
	var out []string
	for _, w := range s.own {
		out = append(out, w.SPIFFEID(b.in.TrustDomain))
	}
	for _, imp := range s.imports {
		out = append(out, imp.record.Identities...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// requests are a service's assignments to make, one per locality, without the port's endpoints.
func (b *builder) requests(k model.ServiceKey) []route.Request {
	routes := &b.after.routes
	out := make([]route.Request, len(routes.localities))
	for i, l := range routes.localities {
		out[i] = route.Request{Service: k, Cluster: b.in.Cluster, From: l, Gateways: routes.gateways, Ramps: b.in.Ramps,
			Order: route.OrderFor(b.in.Failover, k, l.Region)}
	}
	return out
}

func (b *builder) assign(c *claim, sni string, requests []route.Request) []LocalAssignment {
	local := localEndpoints(c.own)
	out := make([]LocalAssignment, len(requests))
	for i, r := range requests {
		r.Local, r.Remote = local, c.remote
		a := LocalAssignment{Locality: r.From, Assignment: route.Assign(r)}
		a.Digest = b.digest.localAssignment(sni, a)
		out[i] = a
	}
	return out
}

func localEndpoints(ws []*model.Workload) []route.LocalEndpoint {
	out := make([]route.LocalEndpoint, 0, len(ws))
	for _, w := range ws {
		out = append(out, route.LocalEndpoint{Address: w.Address, Port: w.InboundPort, Locality: w.Locality, Weight: 1, Available: w.Available()})
	}
	route.SortLocal(out)
	return out
}

// Observe says which capacities are there, as route.Failback wants to know: each of those that Build would use.
func Observe(in Inputs) route.Available {
	out, _ := Memory{}.Observe(in)
	return out
}

func (b *builder) observe() route.Available {
	out := make(route.Available, len(b.in.Imports))
	for _, s := range b.services() {
		r := route.Request{Service: s.key, Cluster: b.in.Cluster, Gateways: b.in.Gateways, Local: localEndpoints(s.own)}
		for _, imp := range s.imports {
			for _, c := range imp.record.Capacity {
				r.Remote = append(r.Remote, route.RemoteCapacity{Cluster: imp.cluster, Capacity: c})
			}
		}
		out.Observe(r)
	}
	return out
}
