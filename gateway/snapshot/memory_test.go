package snapshot

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/gateway/route"
)

// alter changes one of the things that inputs are made of, and nothing of the inputs given.
func alter(t *rapid.T, in Inputs) Inputs {
	in.Workloads, in.Imports = slices.Clone(in.Workloads), slices.Clone(in.Imports)
	other := genInputs(t)
	switch rapid.IntRange(0, 11).Draw(t, "what changes") {
	case 0:
		in.Workloads = other.Workloads
	case 1:
		in.Imports = other.Imports
	case 2:
		in.Exports = other.Exports
	case 3:
		in.Bundles = other.Bundles
	case 4:
		in.VIPs = map[model.ServiceKey]netip.Addr{genKey.Draw(t, "service"): netip.MustParseAddr("127.64.0.9")}
	case 5:
		bad := []route.GatewayPoint{{Address: "192.0.2.9", Port: 1, Reach: route.ReachBad}}
		in.Gateways = map[model.ClusterName][]route.GatewayPoint{"b": rapid.SampledFrom([][]route.GatewayPoint{nil, bad}).Draw(t, "gateways")}
	case 6:
		k := route.RampKey{Service: genKey.Draw(t, "service"), Cluster: model.ClusterName(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "cluster")), Locality: euA}
		in.Ramps = map[route.RampKey]uint32{k: rapid.Uint32Range(0, 100).Draw(t, "percent")}
	case 7:
		in.Failover = []policy.FailoverPolicy{{Name: "f", Spec: policy.FailoverPolicySpec{
			Failover: []policy.RegionOrder{{From: "*", To: []string{"us"}, Only: rapid.Bool().Draw(t, "only")}},
		}}}
	case 8:
		if len(in.Imports) > 0 {
			in.Imports[0].Stale = !in.Imports[0].Stale
		}
	case 10:
		in.OwnExports = other.OwnExports
	case 11:
		in.EgressPorts = other.EgressPorts
	case 9:
		if len(in.Workloads) > 0 {
			in.Workloads[0].Health.Ready = !in.Workloads[0].Health.Ready
		}
	}
	return in
}

// However inputs follow each other, a memory of those before changes nothing, and what was derived stays as it was.
func TestAMemoryChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genInputs(t)
		var built, observed Memory
		var snapshots, fresh []*Snapshot
		for range rapid.IntRange(1, 8).Draw(t, "builds") {
			var s *Snapshot
			if s, built = built.Build(in); !reflect.DeepEqual(s, Build(in)) {
				t.Fatalf("with a memory: %+v\nwithout: %+v", s, Build(in))
			}
			snapshots, fresh = append(snapshots, s), append(fresh, Build(in))
			var available route.Available
			if available, observed = observed.Observe(in); !reflect.DeepEqual(available, Observe(in)) {
				t.Fatalf("with a memory: %v\nwithout: %v", available, Observe(in))
			}
			in = alter(t, in)
		}
		if !reflect.DeepEqual(snapshots, fresh) {
			t.Fatal("a later build has changed an earlier snapshot")
		}
	})
}

func TestAMemoryOfAnObservationServesABuild(t *testing.T) {
	in := base()
	_, m := Memory{}.Observe(in)
	if s, _ := m.Build(in); !reflect.DeepEqual(s, Build(in)) {
		t.Errorf("got %+v", s)
	}
}

func TestAMemorySeesRamps(t *testing.T) {
	in := base()
	before, m := Memory{}.Build(in)
	in.Ramps = map[route.RampKey]uint32{{Service: pay, Cluster: "a", Locality: euA}: 10}
	after, m := m.Build(in)
	if !reflect.DeepEqual(after, Build(in)) || after.Digest == before.Digest {
		t.Error("a ramp that begins is not seen")
	}
	in.Ramps = nil
	if again, _ := m.Build(in); again.Digest != before.Digest {
		t.Error("a ramp that ends is not seen")
	}
}

func TestUnchangedServicesAreDerivedOnce(t *testing.T) {
	in := many(10)
	before, m := Memory{}.Build(in)
	in = flip(in, 4)
	after, _ := m.Build(in)
	for i, p := range after.Services {
		if shared, changed := p == before.Services[i], p.Service == in.Imports[4].Record.Service; shared == changed {
			t.Errorf("%s: shared with the build before: %v, changed: %v", p.SNI, shared, changed)
		}
	}
	for i, w := range after.Workloads {
		if w != before.Workloads[i] {
			t.Errorf("%s has not changed and is another", w.ID)
		}
	}
}

// Whatever is told apart by a digest must be told apart here: a field that did not count would leave a stale part in use.
func TestEveryFieldCountsForTheMemory(t *testing.T) {
	check := func(fresh func() any, same func(a, b any) bool) {
		for i := 0; ; i++ {
			a, b := fresh(), fresh()
			seen, changed := 0, ""
			leaves(reflect.ValueOf(a).Elem(), "", func(string, func()) {})
			leaves(reflect.ValueOf(b).Elem(), "", func(path string, change func()) {
				if seen++; seen == i {
					change()
					changed = path
				}
			})
			if same(a, b) != (changed == "") {
				t.Errorf("%T: %q changed: counts for the same: %v", a, changed, same(a, b))
			}
			if i > seen {
				return
			}
		}
	}
	check(func() any { return &model.Workload{} }, func(a, b any) bool { return sameWorkload(a.(*model.Workload), b.(*model.Workload)) })
	check(func() any { return &Import{} }, func(a, b any) bool { return sameImport(a.(*Import), b.(*Import)) })
}

// many is a site in three zones that imports so many services from two clusters each.
func many(services int) Inputs {
	in := base()
	in.Workloads = append(in.Workloads, workload("w2", pay, euB), workload("w3", pay, usA))
	for i := range services {
		k := model.ServiceKey{Namespace: "shop", Name: fmt.Sprintf("service-%d", i)}
		for j, c := range []string{"b", "c"} {
			in.Imports = append(in.Imports, imported1(c, k, []model.Locality{euB, usA}[j], 3, port(80, "http", model.ProtocolHTTP)))
		}
	}
	return in
}

// flip gives one import another capacity, as a new record would.
func flip(in Inputs, at int) Inputs {
	in.Imports = slices.Clone(in.Imports)
	r := &in.Imports[at].Record
	r.Capacity = slices.Clone(r.Capacity)
	r.Capacity[0].Ready = 3 - r.Capacity[0].Ready
	return in
}

// BenchmarkBuild is a site that imports 1,000 services from two clusters each, from nothing and after a change of one of them.
func BenchmarkBuild(b *testing.B) {
	in := many(1000)
	b.Run("all", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if s := Build(in); len(s.Services) != 1001 {
				b.Fatal(len(s.Services), s.Problems)
			}
		}
	})
	b.Run("one change", func(b *testing.B) {
		b.ReportAllocs()
		_, m := Memory{}.Build(in)
		for b.Loop() {
			in = flip(in, 7)
			_, m = m.Build(in)
		}
	})
}

func BenchmarkObserve(b *testing.B) {
	in := many(1000)
	b.Run("all", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Observe(in)
		}
	})
	b.Run("one change", func(b *testing.B) {
		b.ReportAllocs()
		_, m := Memory{}.Observe(in)
		for b.Loop() {
			in = flip(in, 7)
			_, m = m.Observe(in)
		}
	})
}
