package snapshot

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
)

// claim is one port of a service as its first claimant declares it. Only those that declare it alike serve it.
type claim struct {
	port model.Port
	claimant
	// plain says that workloads of this cluster may serve it without an Envoy.
	plain  bool
	own    []server
	remote []route.RemoteCapacity
}

// claimant is who declares a port: a workload of this cluster, or a cluster.
type claimant struct {
	workload string
	cluster  model.ClusterName
	// export says that it declares the port by an export of the Multi-Cluster Services API.
	export bool
}

func (c claimant) String() string {
	if c.workload != "" {
		return "workload " + c.workload + " of cluster " + string(c.cluster)
	}
	return "cluster " + string(c.cluster)
}

// server is a workload of this cluster and where it serves a port.
type server struct {
	*model.Workload
	at route.LocalEndpoint
}

// turn is when somebody claims a service's ports.
type turn struct {
	cluster   model.ClusterName
	export    bool
	createdAt time.Time
	// imp is nil for this cluster.
	imp *imported
}

// claim settles the service's ports. Exports of the Multi-Cluster Services API claim by age, by the name of their cluster when they are of
// one age; without one, this cluster's workloads come before everybody, and the members by age after the exports.
func (b *builder) claim(s *service) {
	s.offers = b.offers(s)
	for _, t := range b.turns(s) {
		if t.imp == nil {
			b.claimOwn(s)
		} else {
			b.claimRemote(s, t)
		}
	}
	for _, c := range s.claims {
		route.SortRemote(c.remote)
	}
}

func (b *builder) turns(s *service) []turn {
	own := turn{cluster: b.in.Cluster}
	if e := s.raw.export; e != nil {
		own.export, own.createdAt = true, e.CreatedAt
	}
	turns := []turn{own}
	for i := range s.imports {
		t := turn{cluster: s.imports[i].cluster, imp: &s.imports[i]}
		if e := t.imp.record.Export; e != nil {
			t.export, t.createdAt = true, e.CreatedAt
		}
		turns = append(turns, t)
	}
	slices.SortStableFunc(turns, func(x, y turn) int {
		if c := cmp.Compare(x.class(), y.class()); c != 0 || !x.export {
			return c
		}
		return cmp.Or(x.createdAt.Compare(y.createdAt), strings.Compare(string(x.cluster), string(y.cluster)))
	})
	if i := slices.IndexFunc(turns, func(t turn) bool { return t.export }); i >= 0 {
		s.affinity = turns[i].affinity(s.raw.export) == "ClientIP"
	}
	return turns
}

func (t turn) class() int {
	switch {
	case t.export:
		return 1
	case t.imp == nil:
		return 0
	default:
		return 2
	}
}

func (t turn) affinity(own *model.ServiceExport) string {
	if t.imp != nil {
		own = t.imp.record.Export
	}
	return own.SessionAffinity
}

// claimOwn has this cluster's workloads serve what it offers and nobody else has declared otherwise before.
func (b *builder) claimOwn(s *service) {
	for _, o := range s.offers {
		if c := b.claimPort(s, &s.claims, o.port, o.claimant); c != nil {
			c.own = append(c.own, o.own...)
			c.plain = c.plain || o.plain
		}
	}
}

func (b *builder) claimRemote(s *service, t turn) {
	for _, p := range t.imp.record.Ports {
		c := b.claimPort(s, &s.claims, p, claimant{cluster: t.cluster, export: t.export})
		if c != nil {
			c.remote = append(c.remote, t.imp.capacity(p.Protocol)...)
		}
	}
}

// capacity is what of a cluster can be called: nobody could be verified where no identity is known.
func (i *imported) capacity(p model.Protocol) []route.RemoteCapacity {
	var out []route.RemoteCapacity
	add := func(list []model.Capacity, terminated bool) {
		for _, c := range list {
			out = append(out, route.RemoteCapacity{Cluster: i.cluster, Capacity: c, Stale: i.stale, Terminated: terminated})
		}
	}
	if len(i.record.Identities) > 0 && p != model.ProtocolUDP {
		add(i.record.Capacity, false)
	}
	if i.trustDomain != "" {
		add(i.record.Terminated, true)
	}
	return out
}

// claimPort returns the port's claim, or nil when an earlier claimant declares it otherwise, or when nothing carries it.
func (b *builder) claimPort(s *service, claims *[]*claim, p model.Port, who claimant) *claim {
	if !p.Protocol.Carried() {
		return nil
	}
	if p.Protocol == "" {
		p.Protocol = model.ProtocolTCP
	}
	for _, c := range *claims {
		number := c.port.SameSocket(p)
		// Between two exports, a port is one name and one number; else the number alone tells it.
		name := number
		if c.export && who.export {
			name = c.port.Name == p.Name
		}
		switch {
		case number != name:
			b.problem("port %s of service %s in %s is not port %s in %s, which exported it before: the later one is not called; make them agree",
				portText(p), s.key, who, portText(c.port), c.claimant)
			return nil
		case number && c.port.Protocol != p.Protocol:
			b.problem("port %d of service %s is %s in %s but %s in %s: only those that say %s are called; make them agree",
				p.Number, s.key, c.port.Protocol, c.claimant, p.Protocol, who, c.port.Protocol)
			return nil
		case number:
			return c
		}
	}
	c := &claim{port: p, claimant: who}
	*claims = append(*claims, c)
	return c
}

func isUDP(p model.Port) bool { return p.Protocol == model.ProtocolUDP }
