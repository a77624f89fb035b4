package mcs

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
)

func TestMakeIsIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, p := converged(t, factsOf(t, "east", drawRemotes(t)))
		later := Make(carryOut(f, p), start.Add(time.Hour))
		// The times of imports' conditions are settled by who reads what is there.
		for i := range later.Imports {
			later.Imports[i].Status.Conditions = KeepTransitions(p.Imports[i].Status.Conditions, later.Imports[i].Status.Conditions)
		}
		if !reflect.DeepEqual(p, later) {
			t.Fatalf("a plan that was carried out leads to another one:\n%+v\n%+v", p, later)
		}
	})
}

func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, p := converged(t, factsOf(t, "east", drawRemotes(t)))
		g := f
		g.Exports = rapid.Permutation(f.Exports).Draw(t, "exports")
		g.Remotes = rapid.Permutation(f.Remotes).Draw(t, "remotes")
		g.Egress = rapid.Permutation(f.Egress).Draw(t, "egress")
		if !reflect.DeepEqual(p, Make(g, start)) {
			t.Fatal("the order of the facts decided")
		}
	})
}

// TestMergeLaws holds a merge to what the standard says of it, without saying how it is made.
func TestMergeLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []Remote
		for _, c := range clusters[:rapid.IntRange(1, len(clusters)).Draw(t, "clusters")] {
			all = append(all, Remote{Cluster: c, Export: drawExport(t, key("shop", "cart"))})
		}
		m := Merge(all)
		of := map[model.ClusterName]model.ServiceExport{}
		for _, r := range all {
			of[r.Cluster] = r.Export
			w := Remote{Cluster: m.Clusters[0], Export: m.Winner}
			if r.Export.CreatedAt.Before(w.Export.CreatedAt) || r.Export.CreatedAt.Equal(w.Export.CreatedAt) && r.Cluster < w.Cluster {
				t.Fatalf("%s decides, but %s is older", w.Cluster, r.Cluster)
			}
			for _, p := range r.Export.Ports {
				if !slices.ContainsFunc(m.Ports, func(o MergedPort) bool { return o.Name == p.Name || o.Port.SameSocket(p) }) {
					t.Fatalf("port %v of %s is in no way there", p, r.Cluster)
				}
			}
		}
		for _, p := range m.Winner.Ports {
			if !slices.ContainsFunc(m.Ports, func(o MergedPort) bool { return o.Port == p }) {
				t.Fatalf("port %v of the oldest export was dropped", p)
			}
		}
		for i, p := range m.Ports {
			for _, o := range m.Ports[:i] {
				if o.Name == p.Name || o.Port.SameSocket(p.Port) {
					t.Fatalf("%v and %v stand side by side", o, p)
				}
			}
			if len(p.Clusters) == 0 {
				t.Fatalf("nobody serves %v", p)
			}
			for _, c := range m.Clusters {
				has := slices.ContainsFunc(of[c].Ports, func(o model.Port) bool { return o.Name == p.Name && o.SameSocket(p.Port) })
				if has != p.Served(c) {
					t.Fatalf("%s serves %v: %t, but it has the port: %t", c, p, p.Served(c), has)
				}
			}
		}
		if !reflect.DeepEqual(m, Merge(rapid.Permutation(all).Draw(t, "shuffled"))) {
			t.Fatal("the order of the exports decided")
		}
		if (len(m.Conflicts) > 0) != (m.Message != "") {
			t.Fatalf("conflicts %v with the message %q", m.Conflicts, m.Message)
		}
	})
}

// TestClustersMergeAlike has all clusters compute from their own facts: what they say of a service differs only in their addresses.
func TestClustersMergeAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := drawRemotes(t)
		merged := map[model.ServiceKey]Merged{}
		for _, c := range clusters {
			for _, s := range merge(factsOf(t, c, all)) {
				if first, ok := merged[s.key]; ok && !reflect.DeepEqual(first, s.Merged) {
					t.Fatalf("%s merges %s to %+v, another to %+v", c, s.key, s.Merged, first)
				}
				merged[s.key] = s.Merged
			}
		}
	})
}

// TestConflictIsOnAll: the exports of one service have one Conflict condition, in whichever cluster they stand.
func TestConflictIsOnAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := drawRemotes(t)
		type said struct{ status, reason, message string }
		conditions := map[model.ServiceKey]said{}
		for _, c := range clusters {
			for k, list := range Make(factsOf(t, c, all), start).Conditions {
				got := said{string(list[2].Status), list[2].Reason, list[2].Message}
				if first, ok := conditions[k]; ok && first != got {
					t.Fatalf("%s says %+v of %s, another %+v", c, got, k, first)
				}
				conditions[k] = got
			}
		}
	})
}

// TestPlanHasWhatIsExported: an import stands where its namespace does and somebody exports it, and nowhere else; nothing stands alone.
func TestPlanHasWhatIsExported(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, p := converged(t, factsOf(t, "east", drawRemotes(t)))
		wanted := map[model.ServiceKey]bool{}
		for _, r := range f.Remotes {
			wanted[r.Export.Service] = f.Namespaces[r.Export.Service.Namespace]
		}
		for _, e := range f.Exports {
			wanted[e.Service] = f.Namespaces[e.Service.Namespace]
		}
		imports, derived := map[model.ServiceKey]bool{}, map[model.ServiceKey]bool{}
		for _, i := range p.Imports {
			k := key(i.Namespace, i.Name)
			imports[k] = true
			if !wanted[k] {
				t.Fatalf("%s is imported, but nobody exports it to an existing namespace", k)
			}
			if i.Spec.Ports == nil || len(i.Status.Clusters) == 0 || len(i.Spec.IPs) > len(i.Spec.IPFamilies) {
				t.Fatalf("import %+v", i)
			}
		}
		for k, w := range wanted {
			if w && !imports[k] {
				t.Fatalf("%s is exported and not imported", k)
			}
		}
		for _, s := range p.Services {
			k, ours := DerivedFor(s)
			derived[k] = true
			if !ours || !imports[k] || derived[model.ServiceKey{}] {
				t.Fatalf("Service %s/%s is nobody's", s.Namespace, s.Name)
			}
		}
		for _, s := range p.Slices {
			name := s.Labels["multicluster.kubernetes.io/service-name"]
			if f.EndpointSlices && !imports[key(s.Namespace, name)] {
				t.Fatalf("EndpointSlice %s/%s is nobody's", s.Namespace, s.Name)
			}
		}
	})
}

// TestNothingOfAGoneExportIsLeft: without a cluster's exports the plan is what it would be had there never been any, but for the times
// of conditions and the families of addresses that are kept.
func TestNothingOfAGoneExportIsLeft(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := drawRemotes(t)
		f, _ := converged(t, factsOf(t, "east", all))
		gone := rapid.SampledFrom(clusters[1:]).Draw(t, "gone")
		rest := slices.DeleteFunc(slices.Clone(f.Remotes), func(r Remote) bool { return r.Cluster == gone })
		f.Remotes = rest
		never := f
		never.Derived = nil
		_, p := converged(t, f)
		_, q := converged(t, never)
		if len(p.Imports) != len(q.Imports) || len(p.Services) != len(q.Services) {
			t.Fatalf("%d imports, %d Services left of %d, %d", len(p.Imports), len(p.Services), len(q.Imports), len(q.Services))
		}
		for _, s := range p.Slices {
			if s.Labels["multicluster.kubernetes.io/source-cluster"] == string(gone) {
				t.Fatalf("EndpointSlice %s of %s is left", s.Name, gone)
			}
		}
		for _, i := range p.Imports {
			for _, c := range i.Status.Clusters {
				if c.Cluster == string(gone) {
					t.Fatalf("import %s still names %s", i.Name, gone)
				}
			}
		}
	})
}

// TestAddressesOnlyGrow: what an import's addresses are stays while it lives, whatever is exported.
func TestAddressesOnlyGrow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f, before := converged(t, factsOf(t, "east", drawRemotes(t)))
		f.Remotes = slices.DeleteFunc(drawRemotes(t), func(r Remote) bool { return r.Cluster == "east" })
		f.allot()
		after := Make(f, start)
		for _, b := range before.Imports {
			for _, a := range after.Imports {
				if a.Namespace == b.Namespace && a.Name == b.Name && a.Spec.Type == b.Spec.Type && !slices.Equal(a.Spec.IPs, b.Spec.IPs) {
					t.Fatalf("%s had %v and has %v", a.Name, b.Spec.IPs, a.Spec.IPs)
				}
			}
		}
		for _, s := range after.Services {
			k, _ := DerivedFor(s)
			held := f.Derived[k].IPFamilies
			for i := range held {
				if string(s.Spec.IPFamilies[i]) != held[i] {
					t.Fatalf("%s would lose %v for %v", k, held, s.Spec.IPFamilies)
				}
			}
		}
	})
}

// TestEgressPortsAreFoundAgain: a restarted agent reads from its derived Services what was allotted.
func TestEgressPortsAreFoundAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := factsOf(t, "east", drawRemotes(t))
		found := map[PortKey]uint16{}
		for _, s := range Make(f, start).Services {
			for k, p := range EgressPorts(s) {
				found[k] = p
			}
		}
		if len(f.Ports) != len(found) {
			t.Fatalf("%v was allotted, %v is found", f.Ports, found)
		}
		for k, p := range f.Ports {
			if found[k] != p {
				t.Fatalf("%v was allotted %d, found %d", k, p, found[k])
			}
		}
	})
}
