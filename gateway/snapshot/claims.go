package snapshot

import (
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
)

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
	for _, c := range s.claims {
		route.SortRemote(c.remote)
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
