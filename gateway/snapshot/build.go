package snapshot

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
)

// Build derives a snapshot. It changes none of its inputs; their order does not matter. The snapshot shares slices with them, a Memory
// maps too, which therefore must not be changed any more.
func Build(in Inputs) *Snapshot {
	s, _ := Memory{}.Build(in)
	return s
}

func (b *builder) build() *Snapshot {
	s := &Snapshot{Index: b.in.Index, Federation: b.in.Federation, Cluster: b.in.Cluster, TrustDomain: b.in.TrustDomain}
	services := b.services()
	for _, service := range services {
		p := b.port(service)
		s.Services = append(s.Services, p.ports...)
		s.Passthrough = append(s.Passthrough, p.passthrough...)
		s.Terminated = append(s.Terminated, p.terminated...)
	}
	slices.SortFunc(s.Services, func(x, y *ServicePort) int { return strings.Compare(x.SNI, y.SNI) })
	slices.SortFunc(s.Passthrough, func(x, y *Passthrough) int { return strings.Compare(x.SNI, y.SNI) })
	slices.SortFunc(s.Terminated, func(x, y *Terminated) int { return strings.Compare(x.SNI, y.SNI) })
	s.Workloads = b.workloadParts()
	s.Trust = b.trust()
	s.Problems = b.problemList()
	s.Digest = b.digest.snapshot(s)
	return s
}

// builder holds what several parts of one derivation need.
type builder struct {
	in            *Inputs
	before, after Memory
	// sameRules and moved say what of the memory is still right.
	sameRules bool
	moved     moved
	digest    digester
	problems  []string
}

// problem keeps what could not be turned into configuration.
func (b *builder) problem(format string, args ...any) {
	b.problems = append(b.problems, fmt.Sprintf(format, args...))
}

// maxProblems bounds the list: it is read by people and travels to them.
const maxProblems = 200

func (b *builder) problemList() []string {
	slices.Sort(b.problems)
	list := slices.Compact(b.problems)
	if more := len(list) - maxProblems; more > 0 {
		list = append(list[:maxProblems:maxProblems], fmt.Sprintf("… and %d more problems", more))
	}
	return list
}

// byID sorts workloads. Those of one service are sorted among themselves only: to sort all pods of a cluster would be the greatest part of a
// build.
func byID(ws []*model.Workload) {
	slices.SortFunc(ws, func(a, b *model.Workload) int { return strings.Compare(a.ID, b.ID) })
}

// localities are those of all proxies, gateways included, sorted, each once. Workloads without an Envoy have none.
func localities(ws []model.Workload) []model.Locality {
	var out []model.Locality
	for i := range ws {
		if !ws[i].Plain {
			out = append(out, ws[i].Locality)
		}
	}
	slices.SortFunc(out, model.Locality.Compare)
	return slices.Compact(out)
}

// sortedGateways sorts once what every assignment reads.
func sortedGateways(in map[model.ClusterName][]route.GatewayPoint) map[model.ClusterName][]route.GatewayPoint {
	out := make(map[model.ClusterName][]route.GatewayPoint, len(in))
	for c, points := range in {
		points = slices.Clone(points)
		route.SortPoints(points)
		out[c] = points
	}
	return out
}

// trust keeps one bundle per domain, the newest, and drops those without roots: nothing could be verified against them.
func (b *builder) trust() *Trust {
	t := &Trust{}
	for _, bundle := range b.in.Bundles {
		if len(bundle.Roots) == 0 {
			b.problem("bundle of trust domain %q has no roots: its workloads are not believed", bundle.TrustDomain)
			continue
		}
		t.Bundles = append(t.Bundles, bundle)
	}
	slices.SortFunc(t.Bundles, b.compareBundles)
	t.Bundles = slices.CompactFunc(t.Bundles, func(x, y model.Bundle) bool { return x.TrustDomain == y.TrustDomain })
	t.Digest = b.digest.trust(t)
	return t
}

// compareBundles orders by domain, the newest first; equally new ones by content, so that the choice among them is stable.
func (b *builder) compareBundles(x, y model.Bundle) int {
	if c := cmp.Or(strings.Compare(x.TrustDomain, y.TrustDomain), cmp.Compare(y.Sequence, x.Sequence)); c != 0 {
		return c
	}
	content := func(m model.Bundle) string {
		b.digest.begin("bundle")
		b.digest.bundle(m)
		return b.digest.end()
	}
	return strings.Compare(content(x), content(y))
}
