package snapshot

import (
	"maps"
	"reflect"
	"slices"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/gateway/route"
)

// Memory is what one derivation leaves for the next, so that a change costs what has changed, not what there is. It is a value that is
// never changed; the zero value remembers nothing. What is derived with a memory equals what is derived without.
type Memory struct {
	rules     rules
	routes    routes
	services  map[model.ServiceKey]*service
	workloads map[string]*Workload
}

// Build is the package's Build, and returns what the next one may use.
func (m Memory) Build(in Inputs) (*Snapshot, Memory) {
	b := newBuilder(in, m)
	return b.build(), b.after
}

// Observe is the package's Observe, and returns what the next one may use.
func (m Memory) Observe(in Inputs) (route.Available, Memory) {
	b := newBuilder(in, m)
	return b.observe(), b.after
}

// rules is what every service is settled by.
type rules struct {
	cluster     model.ClusterName
	trustDomain string
	members     map[model.ClusterName]model.Cluster
	exports     []policy.ExportRule
	takes       []policy.ImportRule
}

func rulesOf(in *Inputs) rules {
	return rules{in.Cluster, in.TrustDomain, in.Members, in.Exports, in.Takes}
}

// routes is what the assignments depend on besides their service.
type routes struct {
	localities []model.Locality
	failover   []policy.FailoverPolicy
	gateways   map[model.ClusterName][]route.GatewayPoint
	ramps      map[route.RampKey]uint32
}

// moved is what of the routes differs from the remembered ones.
type moved struct {
	all      bool
	clusters map[model.ClusterName]bool
	services map[model.ServiceKey]bool
}

func (r routes) since(before routes) moved {
	m := moved{
		all:      !slices.Equal(r.localities, before.localities) || !reflect.DeepEqual(r.failover, before.failover),
		clusters: map[model.ClusterName]bool{}, services: map[model.ServiceKey]bool{},
	}
	differ(r.gateways, before.gateways, slices.Equal, func(c model.ClusterName) { m.clusters[c] = true })
	same := func(a, b uint32) bool { return a == b }
	differ(r.ramps, before.ramps, same, func(k route.RampKey) { m.services[k.Service] = true })
	return m
}

// touches reports whether a service's assignments may differ.
func (m moved) touches(s *service) bool {
	return m.all || m.services[s.key] ||
		slices.ContainsFunc(s.imports, func(i imported) bool { return m.clusters[i.cluster] })
}

// differ calls visit for each key that only one of two maps has or that has different values.
func differ[K comparable, V any](a, b map[K]V, same func(x, y V) bool, visit func(K)) {
	for k, v := range a {
		if w, ok := b[k]; !ok || !same(v, w) {
			visit(k)
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			visit(k)
		}
	}
}

func (r *raw) clone() raw {
	out := raw{own: make([]*model.Workload, len(r.own)), imports: make([]*Import, len(r.imports))}
	if r.export != nil {
		copied := *r.export
		out.export = &copied
	}
	for i, w := range r.own {
		copied := *w
		out.own[i] = &copied
	}
	for i, imp := range r.imports {
		copied := *imp
		out.imports[i] = &copied
	}
	return out
}

func (r *raw) same(o raw) bool {
	return slices.EqualFunc(r.own, o.own, sameWorkload) && slices.EqualFunc(r.imports, o.imports, sameImport) && sameExport(r.export, o.export)
}

func sameImport(a, b *Import) bool {
	return a.Cluster == b.Cluster && a.Stale == b.Stale && a.Record.Service == b.Record.Service &&
		slices.Equal(a.Record.Ports, b.Record.Ports) && slices.Equal(a.Record.Identities, b.Record.Identities) &&
		slices.Equal(a.Record.Capacity, b.Record.Capacity) && slices.Equal(a.Record.Terminated, b.Record.Terminated) &&
		sameExport(a.Record.Export, b.Record.Export)
}

func sameExport(a, b *model.ServiceExport) bool {
	if a == b || a == nil || b == nil {
		return a == b
	}
	return a.Service == b.Service && a.CreatedAt.Equal(b.CreatedAt) && a.Headless == b.Headless && slices.Equal(a.Ports, b.Ports) &&
		slices.Equal(a.IPFamilies, b.IPFamilies) && a.SessionAffinity == b.SessionAffinity && a.AffinityTimeout == b.AffinityTimeout &&
		a.InternalTrafficPolicy == b.InternalTrafficPolicy && a.TrafficDistribution == b.TrafficDistribution &&
		maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations) && slices.Equal(a.Endpoints, b.Endpoints)
}

func sameWorkload(a, b *model.Workload) bool {
	return a.ID == b.ID && a.Service == b.Service && a.Namespace == b.Namespace && a.ServiceAccount == b.ServiceAccount &&
		a.Locality == b.Locality && slices.Equal(a.Ports, b.Ports) && a.Address == b.Address && a.InboundPort == b.InboundPort &&
		a.InboundBind == b.InboundBind && a.Export == b.Export && slices.Equal(a.Upstreams, b.Upstreams) &&
		samePointed(a.Open, b.Open) && samePointed(a.Gateway, b.Gateway) &&
		samePointed(a.Egress, b.Egress) && a.Plain == b.Plain && a.Health == b.Health
}

func samePointed[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func newBuilder(in Inputs, before Memory) *builder {
	b := &builder{in: &in, before: before}
	b.after = Memory{
		rules: rulesOf(&in),
		routes: routes{
			localities: localities(in.Workloads), failover: in.Failover, gateways: sortedGateways(in.Gateways), ramps: maps.Clone(in.Ramps),
		},
		services:  make(map[model.ServiceKey]*service, len(before.services)+1),
		workloads: make(map[string]*Workload, len(before.workloads)+1),
	}
	b.sameRules = reflect.DeepEqual(b.after.rules, before.rules)
	b.moved = b.after.routes.since(before.routes)
	return b
}
