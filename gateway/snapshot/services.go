package snapshot

import (
	"cmp"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/gateway/route"
	"github.com/hanse-mesh/hanse/trust/authz"
)

// service is one callable service and who serves it.
type service struct {
	key model.ServiceKey
	// own are this cluster's workloads by ID, imports the other clusters' records, the oldest member first.
	own     []*model.Workload
	imports []imported
	claims  []*claim
}

type imported struct {
	cluster     model.ClusterName
	incarnation uint64
	record      *model.ServiceRecord
	stale       bool
}

// claim is one port of a service as its first claimant declares it: this cluster, else the oldest member. Only those that declare
// the same protocol serve it.
type claim struct {
	port model.Port
	// workload is the first claimant when it is one of this cluster, else cluster is.
	workload string
	cluster  model.ClusterName
	own      []*model.Workload
	remote   []route.RemoteCapacity
	// last is the cluster whose capacity was added last: a record that lists a port twice counts once.
	last model.ClusterName
}

// services groups what this cluster may call and settles each port, sorted by service.
func (b *builder) services() []*service {
	byKey := make(map[model.ServiceKey]*service, len(b.in.Imports)+1)
	get := func(k model.ServiceKey) *service {
		s := byKey[k]
		if s == nil {
			s = &service{key: k}
			byKey[k] = s
		}
		return s
	}
	for i := range b.workloads {
		if w := &b.workloads[i]; w.Serves() {
			s := get(w.Service)
			s.own = append(s.own, w)
		}
	}
	for i := range b.in.Imports {
		imp := &b.in.Imports[i]
		// What this cluster published comes back to it; its registrations are nearer to the truth.
		if imp.Cluster == b.in.Cluster || !b.accept(imp) {
			continue
		}
		s := get(imp.Record.Service)
		s.imports = append(s.imports, imported{imp.Cluster, b.in.Members[imp.Cluster].Incarnation, &imp.Record, imp.Stale})
	}
	out := make([]*service, 0, len(byKey))
	for _, s := range byKey {
		b.oncePerCluster(s)
		b.claim(s)
		out = append(out, s)
	}
	slices.SortFunc(out, func(x, y *service) int { return x.key.Compare(y.key) })
	return out
}

// accept checks at the importer what nodes have checked before: a taken-over node must not widen what a cluster may claim.
func (b *builder) accept(imp *Import) bool {
	member, ok := b.in.Members[imp.Cluster]
	if !ok {
		b.problem("service %s of cluster %q is refused: the cluster is not a member", imp.Record.Service, imp.Cluster)
		return false
	}
	if err := authz.CheckRecord(member, b.in.Exports, model.Record{Cluster: imp.Cluster, Service: &imp.Record}); err != nil {
		b.problem("service %s of cluster %q is refused: %v", imp.Record.Service, imp.Cluster, err)
		return false
	}
	if !policy.Exports(b.in.Exports, member, imp.Record.Service, b.in.Cluster) {
		b.problem("service %s of cluster %q is refused: no export rule opens it to cluster %q: add that cluster to the rule's list of importers",
			imp.Record.Service, imp.Cluster, b.in.Cluster)
		return false
	}
	return true
}

// oncePerCluster sorts the imports, the oldest member first, and keeps one record per cluster. Two at once are a fault of whoever
// gathered them; the choice is stable.
func (b *builder) oncePerCluster(s *service) {
	slices.SortFunc(s.imports, func(x, y imported) int {
		if c := cmp.Or(cmp.Compare(x.incarnation, y.incarnation), cmp.Compare(x.cluster, y.cluster), freshFirst(x.stale, y.stale)); c != 0 {
			return c
		}
		return strings.Compare(b.recordDigest(x.record), b.recordDigest(y.record))
	})
	s.imports = slices.CompactFunc(s.imports, func(x, y imported) bool {
		if x.cluster != y.cluster {
			return false
		}
		b.problem("service %s of cluster %q was given twice: one record is left out", s.key, x.cluster)
		return true
	})
}

func freshFirst(x, y bool) int {
	switch {
	case x == y:
		return 0
	case y:
		return -1
	default:
		return 1
	}
}

func (b *builder) recordDigest(r *model.ServiceRecord) string {
	d := &b.digest
	d.begin("record")
	for _, p := range r.Ports {
		d.port(p)
	}
	d.strs(r.Identities)
	for _, c := range r.Capacity {
		d.locality(c.Locality)
		d.num(uint64(c.Ready))
		d.num(uint64(c.Total))
	}
	return d.end()
}

// claim settles the service's ports: this cluster's workloads first, then the members by age.
func (b *builder) claim(s *service) {
	for _, w := range s.own {
		for _, p := range w.Ports {
			if c := b.claimPort(s, p.Port, w.ID, b.in.Cluster); c != nil {
				c.own = append(c.own, w)
			}
		}
	}
	for _, imp := range s.imports {
		for _, p := range imp.record.Ports {
			c := b.claimPort(s, p, "", imp.cluster)
			if c == nil || c.last == imp.cluster {
				continue
			}
			c.last = imp.cluster
			for _, capacity := range imp.record.Capacity {
				c.remote = append(c.remote, route.RemoteCapacity{Cluster: imp.cluster, Capacity: capacity, Stale: imp.stale})
			}
		}
	}
}

// claimPort returns the port's claim, or nil when an earlier claimant declares another protocol.
func (b *builder) claimPort(s *service, p model.Port, workload string, cluster model.ClusterName) *claim {
	if p.Protocol == "" {
		p.Protocol = model.ProtocolTCP
	}
	for _, c := range s.claims {
		if c.port.Number != p.Number {
			continue
		}
		if c.port.Protocol != p.Protocol {
			b.problem("port %d of service %s is %s in %s but %s in %s: only those that say %s are called; make them agree",
				p.Number, s.key, c.port.Protocol, claimant(c.workload, c.cluster), p.Protocol, claimant(workload, cluster), c.port.Protocol)
			return nil
		}
		return c
	}
	c := &claim{port: p, workload: workload, cluster: cluster}
	s.claims = append(s.claims, c)
	return c
}

func claimant(workload string, cluster model.ClusterName) string {
	if workload != "" {
		return "workload " + workload + " of cluster " + string(cluster)
	}
	return "cluster " + string(cluster)
}
