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
	terminated  []*Terminated
}

// port turns a service's claims into callable ports, and into what gateways pass on.
func (b *builder) port(s *service) *ported {
	if p := s.ported; p != nil && !b.moved.touches(s) && b.samePlaces(p) {
		return p
	}
	p := &ported{}
	p.passthrough, p.terminated = b.exported(s)
	identities, terminators := b.identities(s), terminators(s)
	requests := b.requests(s.key)
	for _, c := range s.claims {
		sp := &ServicePort{Service: s.key, Port: c.port, SNI: model.PassthroughSNI(s.key, c.port.Number), Identities: identities,
			Terminators: terminators, Plain: c.plain, Affinity: s.affinity, EgressPort: b.egressPort(s.key, c.port), VIP: b.in.VIPs[s.key]}
		if isUDP(c.port) {
			sp.SNI, sp.Identities = model.TerminatedSNI(s.key, c.port), nil
		}
		sp.Assignments = b.assign(c, sp.SNI, requests)
		sp.ConfigDigest, sp.Digest = b.digest.servicePort(sp)
		p.ports = append(p.ports, sp)
	}
	next := *s
	next.ported = p
	b.after.services[s.key] = &next
	return p
}

// samePlaces reports whether a service's ports are offered where they were.
func (b *builder) samePlaces(p *ported) bool {
	return !slices.ContainsFunc(p.ports, func(sp *ServicePort) bool {
		return sp.VIP != b.in.VIPs[sp.Service] || sp.EgressPort != b.egressPort(sp.Service, sp.Port)
	})
}

func (b *builder) egressPort(k model.ServiceKey, p model.Port) uint16 {
	return b.in.EgressPorts[EgressPort{Service: k, Number: p.Number, UDP: isUDP(p)}]
}

// identities are those that any server of the service may present: callers have one TLS context per service port, whichever cluster
// answers.
func (b *builder) identities(s *service) []string {
	var out []string
	for _, w := range s.own {
		if !w.Plain {
			out = append(out, w.SPIFFEID(b.in.TrustDomain))
		}
	}
	for _, imp := range s.imports {
		out = append(out, imp.record.Identities...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// terminators are the gateways that may answer for workloads without an Envoy, whether there are any at the moment or not.
func terminators(s *service) []string {
	var out []string
	for _, imp := range s.imports {
		if (imp.record.Export != nil || len(imp.record.Terminated) > 0) && imp.trustDomain != "" {
			out = append(out, model.WorkloadID(imp.trustDomain, model.SystemNamespace, model.GatewayServiceAccount))
		}
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

// Observe says which capacities are there, as route.Failback wants to know: each of those that Build would use.
func Observe(in Inputs) route.Available {
	out, _ := Memory{}.Observe(in)
	return out
}

func (b *builder) observe() route.Available {
	out := make(route.Available, len(b.in.Imports))
	for _, s := range b.services() {
		r := route.Request{Service: s.key, Cluster: b.in.Cluster, Gateways: b.in.Gateways}
		for _, w := range s.own {
			r.Local = append(r.Local, route.LocalEndpoint{Locality: w.Locality, Available: w.Available()})
		}
		for _, imp := range s.imports {
			r.Remote = append(r.Remote, imp.capacity("")...)
		}
		out.Observe(r)
	}
	return out
}
