package snapshot

import (
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
)

// servicePorts turns every claim into a callable port, sorted by SNI.
func (b *builder) servicePorts(services []*service) []*ServicePort {
	out := make([]*ServicePort, 0, len(services))
	b.callable = make(map[model.ServiceKey][]*ServicePort, len(services))
	for _, s := range services {
		identities := b.identities(s)
		requests := b.requests(s.key)
		ports := make([]*ServicePort, 0, len(s.claims))
		for _, c := range s.claims {
			p := &ServicePort{Service: s.key, Port: c.port, SNI: model.PassthroughSNI(s.key, c.port.Number), Identities: identities, VIP: b.in.VIPs[s.key]}
			p.Assignments = b.assign(s.key, c, p.SNI, requests)
			p.ConfigDigest, p.Digest = b.digest.servicePort(p)
			ports = append(ports, p)
		}
		b.callable[s.key] = ports
		out = append(out, ports...)
	}
	slices.SortFunc(out, func(x, y *ServicePort) int { return strings.Compare(x.SNI, y.SNI) })
	return out
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
	out := make([]route.Request, len(b.localities))
	for i, l := range b.localities {
		out[i] = route.Request{Service: k, Cluster: b.in.Cluster, From: l, Gateways: b.gateways, Ramps: b.in.Ramps,
			Order: route.OrderFor(b.in.Failover, k, l.Region)}
	}
	return out
}

func (b *builder) assign(k model.ServiceKey, c *claim, sni string, requests []route.Request) []LocalAssignment {
	local := localEndpoints(c.own)
	route.SortRemote(c.remote)
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
	b := builder{in: &in, workloads: sortedWorkloads(in.Workloads)}
	out := route.Available{}
	for _, s := range b.services() {
		r := route.Request{Service: s.key, Cluster: in.Cluster, Gateways: in.Gateways, Local: localEndpoints(s.own)}
		for _, imp := range s.imports {
			for _, c := range imp.record.Capacity {
				r.Remote = append(r.Remote, route.RemoteCapacity{Cluster: imp.cluster, Capacity: c})
			}
		}
		out.Observe(r)
	}
	return out
}
