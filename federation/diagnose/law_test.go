package diagnose

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
)

// both joins two reports.
func both(a, b Report) Report {
	return Report{
		At: a.At, Nodes: joined(a.Nodes, b.Nodes), Clusters: joined(a.Clusters, b.Clusters), Services: joined(a.Services, b.Services),
		Failover: joined(a.Failover, b.Failover), Exports: joined(a.Exports, b.Exports), Imports: joined(a.Imports, b.Imports), Tokens: joined(a.Tokens, b.Tokens),
		Roots: joined(a.Roots, b.Roots), Verdicts: joined(a.Verdicts, b.Verdicts),
	}
}

func joined[T any](a, b Known[[]T]) Known[[]T] {
	if !a.Had() {
		return a
	}
	if !b.Had() {
		return b
	}
	return Have(slices.Concat(a.Value(), b.Value()))
}

// aboutOthers are the findings that do not concern a cluster, without their words.
func aboutOthers(list []Finding, cluster model.ClusterName) []Finding {
	var out []Finding
	for _, f := range list {
		if !slices.Contains(f.Clusters, cluster) {
			out = append(out, Finding{Severity: f.Severity, Code: f.Code, Subject: f.Subject})
		}
	}
	return out
}

// Law: a cluster that has to do with none of the others, whatever is wrong with it, changes nothing of what is found of them.
func TestLawAnUnrelatedClusterChangesNothing(t *testing.T) {
	names := slices.Sorted(maps.Keys(faults))
	unrelated := map[string]func(*Cluster){
		"silent": func(c *Cluster) { c.Published = false }, "unasked": unasked, "away": proxy(model.ProxyStatus{Workload: "w"}),
		"skewed": agent(func(a *AgentSelf) { a.Clock.Ahead = 3600e9 }), "old": agent(func(a *AgentSelf) { a.Version = "v0" }),
		"words": dropped("service x.zz is not exported: no export rule opens it", "what?"), "drained": gateway("gw", true),
		"expired": holds1("proxy w", -1), "refused": func(c *Cluster) { c.Refused = []string{"gateways: no"} },
	}
	rapid.Check(t, func(t *rapid.T) {
		r := healthy()
		for _, name := range rapid.SliceOfN(rapid.SampledFrom(names), 0, 4).Draw(t, "faults") {
			r = both(r, faults[name].report)
		}
		changes := []func(*Cluster){func(c *Cluster) { c.ExportNamespaces = []string{"zz"} }}
		for _, name := range rapid.SliceOfN(rapid.SampledFrom(slices.Sorted(maps.Keys(unrelated))), 0, 3).Draw(t, "of the other") {
			changes = append(changes, unrelated[name])
		}
		before := aboutOthers(Diagnose(r), "zz")
		after := aboutOthers(Diagnose(both(r, with(cluster("zz", changes...), service("zz", offer("zz", model.ProtocolTCP, "eu"))))), "zz")
		if !slices.EqualFunc(before, after, func(a, b Finding) bool { return a.Code == b.Code && a.Subject == b.Subject && a.Severity == b.Severity }) {
			t.Fatalf("before %+v\nafter %+v", before, after)
		}
	})
}

// Law: the order in which things are listed changes nothing, down to the words.
func TestLawOrderDoesNotMatter(t *testing.T) {
	names := slices.Sorted(maps.Keys(faults))
	rapid.Check(t, func(t *rapid.T) {
		r := faults[rapid.SampledFrom(names).Draw(t, "fault")].report
		turned := r
		turned.Nodes, turned.Clusters, turned.Services = shuffled(t, r.Nodes), shuffled(t, r.Clusters), shuffled(t, r.Services)
		turned.Exports, turned.Failover, turned.Verdicts = shuffled(t, r.Exports), shuffled(t, r.Failover), shuffled(t, r.Verdicts)
		if before, after := Diagnose(r), Diagnose(turned); !slices.EqualFunc(before, after, sameWords) {
			t.Fatalf("before %+v\nafter %+v", before, after)
		}
	})
}

func sameWords(a, b Finding) bool {
	return a.Severity == b.Severity && a.Code == b.Code && a.Subject == b.Subject && a.Message == b.Message && slices.Equal(a.Evidence, b.Evidence)
}

func shuffled[T any](t *rapid.T, k Known[[]T]) Known[[]T] {
	if !k.Had() {
		return k
	}
	return Have(rapid.Permutation(k.Value()).Draw(t, "order"))
}
