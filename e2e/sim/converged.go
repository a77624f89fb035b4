package sim

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/export"
	"github.com/hanse-mesh/hanse/cluster-agent/verdict"
	"github.com/hanse-mesh/hanse/gateway/route"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

const converges = "everybody agrees when it is quiet"

// converged holds everybody against the truth, long after the last trouble.
func (o *oracle) converged() {
	w := o.w
	index := uint64(len(w.raft.log))
	truth := map[model.ClusterName]*uplink{}
	for _, a := range w.agents {
		u := a.link
		switch {
		case u == nil || !u.welcomed:
			w.violate(converges, "agent %s has no session", a.name)
			return
		case a.known() != index:
			w.violate(converges, "agent %s knows the log up to %d of %d", a.name, a.known(), index)
		case u.version.Incarnation != w.raft.now().Clusters[a.cluster].Incarnation:
			w.violate(converges, "agent %s publishes %v", a.name, u.version)
		}
		truth[a.cluster] = u
		o.publishes(a, u)
	}
	for _, n := range w.nodes {
		if n.view.Index != index {
			w.violate(converges, "node %s has applied %d of %d", n.name, n.view.Index, index)
		}
		for _, a := range w.agents {
			o.agrees(n, a, truth[a.cluster])
		}
	}
	for _, a := range w.agents {
		o.serves(a, truth)
	}
}

// publishes checks that what an agent says is what its registry has.
func (o *oracle) publishes(a *agent, u *uplink) {
	want, _ := export.Records(export.Input{Terms: export.Terms{Cluster: a.own(), Rules: o.w.raft.now().ExportList()}, Workloads: a.registered()})
	for _, r := range want {
		signed, ok := u.sent[r.Key()]
		said, err := o.w.memo.verify(a.signer.public, a.cluster, signed)
		if !ok || err != nil || !export.Equal(said, r) {
			o.w.violate(converges, "agent %s does not say what it has of %s", a.name, r.Key())
		}
	}
	for key := range u.sent {
		if !serviceOfKey(key).IsZero() && !slices.ContainsFunc(want, func(r model.Record) bool { return r.Key() == key }) {
			o.w.violate(converges, "agent %s still says %s", a.name, key)
		}
	}
}

func (o *oracle) agrees(n *node, a *agent, u *uplink) {
	held, _ := n.catalog.Origin(a.cluster)
	first, _ := o.w.nodes[0].catalog.Origin(a.cluster)
	switch {
	case held.Version != u.version:
		o.w.violate(converges, "node %s holds %v of %s, which says %v", n.name, held.Version, a.name, u.version)
	case held.Version == first.Version && !bytes.Equal(n.catalog.Digest(a.cluster), o.w.nodes[0].catalog.Digest(a.cluster)):
		o.w.violate(converges, "node %s holds other records of %s than %s", n.name, a.name, o.w.nodes[0].name)
	}
}

// serves checks that an importer's snapshot is the one that follows from the truth and its own probes.
func (o *oracle) serves(a *agent, truth map[model.ClusterName]*uplink) {
	w := o.w
	v := w.raft.now()
	in := snapshot.Inputs{
		Federation: federation, Cluster: a.cluster, TrustDomain: v.Clusters[a.cluster].TrustDomain, Workloads: a.registered(),
		Gateways: map[model.ClusterName][]route.GatewayPoint{}, Members: v.Clusters, Failover: v.FailoverList(), Exports: v.ExportList(),
		// What flapped may still climb.
		Ramps: a.failback.Ramps(),
	}
	for _, other := range w.agents {
		if other != a {
			o.expect(a, other, truth[other.cluster], &in)
		}
	}
	want, got := snapshot.Build(in), snapshot.Build(a.inputs())
	if want.Digest != got.Digest {
		gotOnly, wantOnly := differing(summary(got), summary(want))
		w.violate(converges, "agent %s serves %q, but %q follows from the truth", a.name, gotOnly, wantOnly)
	}
}

// expect adds what an importer should know of one origin.
func (o *oracle) expect(a, other *agent, u *uplink, in *snapshot.Inputs) {
	visible := false
	var gateways []model.Gateway
	for _, signed := range u.sent {
		r, err := o.w.memo.verify(other.signer.public, other.cluster, signed)
		switch {
		case err != nil:
		case r.Service != nil && o.opens(uint64(len(o.w.raft.log)), other.cluster, r.Service.Service, a.cluster):
			visible = true
			in.Imports = append(in.Imports, snapshot.Import{Cluster: other.cluster, Record: *r.Service})
		case len(r.Gateways) > 0:
			gateways = r.Gateways
		}
	}
	if !visible {
		return
	}
	in.Gateways[other.cluster] = nil
	for _, g := range gateways {
		address := verdict.Address{Cluster: other.cluster, Gateway: g.Name, IP: netip.MustParseAddr(g.Address), Port: g.Port}
		p := a.probes[address]
		if p == nil {
			o.w.violate(converges, "agent %s does not probe %s of %s", a.name, g.Name, other.name)
			continue
		}
		if p.own.State != verdict.Good {
			o.w.violate(converges, "agent %s finds %s of %s %v", a.name, g.Name, other.name, p.own.State)
		}
		in.Gateways[other.cluster] = append(in.Gateways[other.cluster],
			route.GatewayPoint{
				Address: g.Address, Port: g.Port, Locality: g.Locality, Draining: g.Draining, Reach: route.ReachGood, Degraded: p.own.Degraded,
			})
	}
}

// summary names what a snapshot offers, for a person.
func summary(s *snapshot.Snapshot) []string {
	var out []string
	for _, p := range s.Services {
		line := p.Service.Name
		for _, at := range p.Assignments {
			for _, priority := range at.Assignment.Priorities {
				line += " |"
				for _, g := range priority.Groups {
					line += fmt.Sprintf(" %s×%d", g.Cluster, g.Weight)
					if !slices.ContainsFunc(g.Endpoints, func(e route.Endpoint) bool { return e.Healthy }) {
						line += "(bad)"
					}
				}
			}
		}
		out = append(out, fmt.Sprintf("%s %v", line, p.Identities))
	}
	return append(out, s.Problems...)
}

// differing are the lines that only one of two lists has.
func differing(a, b []string) (onlyA, onlyB []string) {
	without := func(list, other []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
	}
	return without(a, b), without(b, a)
}
