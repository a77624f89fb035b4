package snapshot

import (
	"cmp"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/trust/authz"
)

// service is one callable service: who serves it, and what follows. It is derived once and shared by all later builds in which nothing
// that it depends on has changed, and therefore never changed itself.
type service struct {
	key model.ServiceKey
	// raw is what it was derived from.
	raw raw
	// own are this cluster's workloads by ID, imports the other clusters' records, the oldest member first.
	own     []*model.Workload
	imports []imported
	// offers are the ports that this cluster serves itself, as it declares them, and claims those that can be called.
	offers   []*claim
	claims   []*claim
	affinity bool
	problems []string
	// ported is nil until a snapshot was built.
	ported *ported
}

// raw is what the inputs hold of one service: this cluster's workloads by ID and its export, and the imports in the inputs' order.
type raw struct {
	own     []*model.Workload
	export  *model.ServiceExport
	imports []*Import
}

type imported struct {
	cluster     model.ClusterName
	trustDomain string
	incarnation uint64
	record      *model.ServiceRecord
	stale       bool
}

// services settles what this cluster may call, in no particular order.
func (b *builder) services() []*service {
	out := make([]*service, 0, len(b.before.services))
	for key, r := range b.gather() {
		s := b.before.services[key]
		if s == nil || !b.sameRules || !r.same(s.raw) {
			s = b.settle(key, r)
		}
		b.problems = append(b.problems, s.problems...)
		b.after.services[key] = s
		out = append(out, s)
	}
	return out
}

// gather groups the inputs by service.
func (b *builder) gather() map[model.ServiceKey]*raw {
	byKey := make(map[model.ServiceKey]*raw, len(b.before.services)+1)
	get := func(k model.ServiceKey) *raw {
		r := byKey[k]
		if r == nil {
			r = &raw{}
			if before := b.before.services[k]; before != nil {
				r.own, r.imports = make([]*model.Workload, 0, len(before.raw.own)+1), make([]*Import, 0, len(before.raw.imports)+1)
			}
			byKey[k] = r
		}
		return r
	}
	for i := range b.in.Workloads {
		if w := &b.in.Workloads[i]; serves(w) {
			r := get(w.Service)
			r.own = append(r.own, w)
		}
	}
	for _, r := range byKey {
		byID(r.own)
	}
	for i := range b.in.OwnExports {
		get(b.in.OwnExports[i].Service).export = &b.in.OwnExports[i]
	}
	for i := range b.in.Imports {
		// What this cluster published comes back to it; its registrations are nearer to the truth.
		if imp := &b.in.Imports[i]; imp.Cluster != b.in.Cluster {
			r := get(imp.Record.Service)
			r.imports = append(r.imports, imp)
		}
	}
	return byKey
}

// serves reports whether a workload can be called under its service's federated name. One without an Envoy is a part of the cluster's own
// service of that name, and of the federation's only when that is exported.
func serves(w *model.Workload) bool { return w.Serves() && (!w.Plain || w.Export) }

// settle derives a service. It keeps copies: what it points into would else hold all inputs of this build for as long as the service is
// shared.
func (b *builder) settle(key model.ServiceKey, r *raw) *service {
	s := &service{key: key, raw: r.clone()}
	s.own = s.raw.own
	others := b.problems
	b.problems = nil
	for _, imp := range s.raw.imports {
		if b.accept(imp) {
			member := b.in.Members[imp.Cluster]
			s.imports = append(s.imports, imported{imp.Cluster, member.TrustDomain, member.Incarnation, &imp.Record, imp.Stale})
		}
	}
	b.oncePerCluster(s)
	b.claim(s)
	s.problems, b.problems = b.problems, others
	return s
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
	if !policy.Admits(b.in.Takes, b.in.Cluster, imp.Cluster, imp.Record.Service) {
		b.problem("service %s of cluster %q is refused: import rules limit what cluster %q takes, and none of them admits it", imp.Record.Service, imp.Cluster, b.in.Cluster)
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
	d.capacities(r.Capacity)
	d.capacities(r.Terminated)
	if e := r.Export; e != nil {
		d.num(uint64(e.CreatedAt.Unix()))
		d.str(e.SessionAffinity)
	}
	return d.end()
}

func (d *digester) capacities(list []model.Capacity) {
	d.num(uint64(len(list)))
	for _, c := range list {
		d.locality(c.Locality)
		d.num(uint64(c.Ready))
		d.num(uint64(c.Total))
	}
}
