package route

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

var (
	genLocality = rapid.Custom(func(t *rapid.T) model.Locality {
		return model.Locality{Region: rapid.SampledFrom([]string{"eu", "us", "ap"}).Draw(t, "region"), Zone: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "zone")}
	})
	clusters = []model.ClusterName{"b", "c", "d"}
)

// genRequest draws a request; with collisions, addresses come from a small pool and repeat.
func genRequest(t *rapid.T, collisions bool) Request {
	serial := 0
	address := func() string {
		if collisions {
			return fmt.Sprintf("10.0.0.%d", rapid.IntRange(1, 8).Draw(t, "address"))
		}
		serial++
		return fmt.Sprintf("10.0.1.%d", serial)
	}
	r := Request{Service: model.ServiceKey{Namespace: "shop", Name: "pay"}, Cluster: "a", From: genLocality.Draw(t, "from"),
		Gateways: map[model.ClusterName][]GatewayPoint{}, Ramps: map[RampKey]uint32{}}
	for range rapid.IntRange(0, 40).Draw(t, "local") {
		r.Local = append(r.Local, LocalEndpoint{Address: address(), Port: 15008, Locality: genLocality.Draw(t, "locality"),
			Weight: rapid.Uint32Range(0, 3).Draw(t, "weight"), Available: rapid.Bool().Draw(t, "available"), Plain: rapid.Bool().Draw(t, "plain")})
	}
	for _, c := range clusters {
		for _, terminated := range rapid.SampledFrom([][]bool{{false}, {true}, {false, true}}).Draw(t, "ways") {
			for _, l := range rapid.SliceOfNDistinct(genLocality, 0, 3, func(l model.Locality) model.Locality { return l }).Draw(t, "localities") {
				total := rapid.Uint32Range(0, 20).Draw(t, "total")
				r.Remote = append(r.Remote, RemoteCapacity{Cluster: c, Capacity: model.Capacity{Locality: l, Ready: rapid.Uint32Range(0, total).Draw(t, "ready"), Total: total},
					Stale: rapid.IntRange(0, 3).Draw(t, "stale") == 0, Terminated: terminated})
				if rapid.IntRange(0, 3).Draw(t, "climbs") == 0 {
					r.Ramps[RampKey{r.Service, c, l, terminated}] = rapid.SampledFrom([]uint32{0, 10, 25, 50, 100}).Draw(t, "percent")
				}
			}
		}
		for range rapid.IntRange(0, 3).Draw(t, "gateways") {
			r.Gateways[c] = append(r.Gateways[c], GatewayPoint{Address: address(), Port: 15443,
				Draining: rapid.IntRange(0, 4).Draw(t, "draining") == 0, Reach: Reachability(rapid.IntRange(0, 2).Draw(t, "reach")),
				Degraded: rapid.IntRange(0, 3).Draw(t, "degraded") == 0})
		}
	}
	r.Order.To = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"eu", "us", "ap"}), 0, 2, func(s string) string { return s }).Draw(t, "order")
	r.Order.Only = rapid.Bool().Draw(t, "only")
	return r
}

func endpoints(a Assignment) []Endpoint {
	var out []Endpoint
	for _, p := range a.Priorities {
		for _, g := range p.Groups {
			out = append(out, g.Endpoints...)
		}
	}
	return out
}

func anyHealthy(p Priority) bool {
	return slices.ContainsFunc(p.Groups, func(g Group) bool {
		return slices.ContainsFunc(g.Endpoints, func(e Endpoint) bool { return e.Healthy })
	})
}

func anyBad(p Priority) bool {
	return slices.ContainsFunc(p.Groups, func(g Group) bool {
		return slices.ContainsFunc(g.Endpoints, func(e Endpoint) bool { return !e.Healthy })
	})
}

func checkShape(t *rapid.T, a Assignment) {
	seen := map[string]bool{}
	if len(a.Priorities) > 128 {
		t.Fatalf("%d priorities", len(a.Priorities))
	}
	for i, p := range a.Priorities {
		groups := map[string]bool{}
		if len(p.Groups) == 0 {
			t.Fatalf("priority %d is a gap", i)
		}
		for _, g := range p.Groups {
			key := fmt.Sprint(g.Cluster, g.Locality)
			if groups[key] || g.Weight < 1 || g.Weight > 10_000 || len(g.Endpoints) == 0 {
				t.Fatalf("priority %d: bad group %+v", i, g)
			}
			groups[key] = true
			for _, e := range g.Endpoints {
				at := fmt.Sprint(e.Address, e.Port)
				if seen[at] || e.Weight < 1 {
					t.Fatalf("bad endpoint %+v", e)
				}
				seen[at] = true
			}
		}
		if anyBad(p) && (i != len(a.Priorities)-1 || anyHealthy(p)) {
			t.Fatalf("priority %d mixes bad endpoints in or comes before others: %+v", i, a)
		}
	}
}

func TestAssignmentsAreWellFormed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkShape(t, Assign(genRequest(t, rapid.Bool().Draw(t, "collisions")))) })
}

// passed reports whether a cluster is called by its workloads' own Envoys: while one of those is ready that has not died lately, and while
// nothing else is ready.
func passed(r Request, c model.ClusterName) bool {
	some := func(match func(RemoteCapacity) bool) bool {
		return slices.ContainsFunc(r.Remote, func(o RemoteCapacity) bool { return o.Cluster == c && match(o) })
	}
	if !some(func(o RemoteCapacity) bool { return !o.Terminated }) {
		return false
	}
	return some(func(o RemoteCapacity) bool {
		percent, limited := r.Ramps[RampKey{r.Service, c, o.Locality, false}]
		return !o.Terminated && o.Ready > 0 && (!limited || percent == 100)
	}) || !some(func(o RemoteCapacity) bool { return o.Terminated && o.Ready > 0 })
}

// readyBy is what of a capacity is ready by the way in which its cluster is called.
func readyBy(r Request, c RemoteCapacity) uint32 {
	if c.Terminated == passed(r, c.Cluster) {
		return 0
	}
	return c.Ready
}

// ofOneWay leaves each cluster one way in which it can be called.
func ofOneWay(remote []RemoteCapacity) []RemoteCapacity {
	way := map[model.ClusterName]bool{}
	for _, c := range remote {
		way[c.Cluster] = c.Terminated
	}
	return slices.DeleteFunc(slices.Clone(remote), func(c RemoteCapacity) bool { return c.Terminated != way[c.Cluster] })
}

// TestEndpointsGoOneWay: a cluster is called in one way, to Envoys of workloads while any is ready, and a workload of this cluster as it is.
func TestEndpointsGoOneWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genRequest(t, false)
		plain := map[string]bool{}
		for _, e := range r.Local {
			plain[e.Address] = e.Plain
		}
		for _, p := range Assign(r).Priorities {
			for _, g := range p.Groups {
				for _, e := range g.Endpoints {
					want := ViaEnvoy
					switch {
					case e.Gateway && !passed(r, g.Cluster):
						want = ViaTerminated
					case !e.Gateway && plain[e.Address]:
						want = ViaPlain
					}
					if e.Via != want {
						t.Fatalf("%+v of cluster %s is called by %q, want %q", e, g.Cluster, e.Via, want)
					}
				}
			}
		}
	})
}

// What gateways terminate counts in the totals while it does not serve: what serves must not be taken for all there is.
func TestCapacityOfTheOtherWayCountsInTheTotal(t *testing.T) {
	at := model.Locality{Region: "us", Zone: "a"}
	r := Request{Cluster: "a", From: model.Locality{Region: "eu", Zone: "a"},
		Remote: []RemoteCapacity{
			{Cluster: "b", Capacity: model.Capacity{Locality: at, Ready: 1, Total: 1}},
			{Cluster: "b", Capacity: model.Capacity{Locality: at, Ready: 9, Total: 9}, Terminated: true},
			{Cluster: "c", Capacity: model.Capacity{Locality: model.Locality{Region: "ap"}, Ready: 5, Total: 5}, Terminated: true},
		},
		Gateways: map[model.ClusterName][]GatewayPoint{"b": {{Address: "192.0.2.1", Port: 1}}, "c": {{Address: "192.0.2.2", Port: 1}}},
		Order:    policy.RegionOrder{To: []string{"us", "ap"}},
	}
	if share := shareOf(Assign(r), "b", anywhere); share < 0.13 || share > 0.15 {
		t.Errorf("one of ten workloads can be reached in b, and it gets %v of the calls", share)
	}
}

// admitted lists the addresses that an assignment must hold and whether any of them takes calls. Gateways that drain belong to it only
// when none does.
func admitted(r Request) (addresses map[string]bool, usable bool) {
	addresses = map[string]bool{}
	var draining []string
	in := func(l model.Locality) bool {
		return !r.Order.Only || l.Region == r.From.Region || slices.Contains(r.Order.To, l.Region)
	}
	for _, e := range r.Local {
		if in(e.Locality) {
			addresses[fmt.Sprint(e.Address, e.Port)] = true
			usable = usable || e.Available
		}
	}
	ready := map[model.ClusterName]uint32{}
	for _, c := range r.Remote {
		ready[c.Cluster] += readyBy(r, c)
	}
	for _, c := range r.Remote {
		c.Ready = readyBy(r, c)
		if !in(c.Locality) || ready[c.Cluster] > 0 && c.Ready == 0 {
			continue
		}
		for _, g := range r.Gateways[c.Cluster] {
			at := fmt.Sprint(g.Address, g.Port)
			if g.Draining {
				draining = append(draining, at)
				continue
			}
			addresses[at] = true
			usable = usable || c.Ready > 0 && g.usable()
		}
	}
	for _, at := range draining {
		addresses[at] = addresses[at] || !usable
	}
	maps.DeleteFunc(addresses, func(_ string, in bool) bool { return !in })
	return addresses, usable
}

func TestNoEndpointIsLostAndTheUsableComeFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genRequest(t, rapid.Bool().Draw(t, "collisions"))
		want, usable := admitted(r)
		a := Assign(r)
		got := endpoints(a)
		if len(got) != len(want) {
			t.Fatalf("%d endpoints, want %d", len(got), len(want))
		}
		for _, e := range got {
			if !want[fmt.Sprint(e.Address, e.Port)] {
				t.Fatalf("nobody registered %+v", e)
			}
		}
		if usable && !anyHealthy(a.Priorities[0]) {
			t.Fatalf("priority 0 has nothing healthy: %+v", a)
		}
		if !usable && len(want) > 0 && len(a.Priorities) != 1 {
			t.Fatalf("all are bad and stand in %d priorities", len(a.Priorities))
		}
	})
}

func TestOrderOfInputsDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genRequest(t, rapid.Bool().Draw(t, "collisions"))
		want := Assign(r)
		shuffled := r
		shuffled.Local = rapid.Permutation(r.Local).Draw(t, "local order")
		shuffled.Remote = rapid.Permutation(r.Remote).Draw(t, "remote order")
		shuffled.Gateways = map[model.ClusterName][]GatewayPoint{}
		for _, c := range clusters {
			if len(r.Gateways[c]) > 0 {
				shuffled.Gateways[c] = rapid.Permutation(r.Gateways[c]).Draw(t, "gateway order")
			}
		}
		if got := Assign(shuffled); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
	})
}

// shareOf is the part of all calls that a source gets while nobody dies.
func shareOf(a Assignment, c model.ClusterName, match func(model.Locality) bool) float64 {
	if len(a.Priorities) == 0 || !anyHealthy(a.Priorities[0]) {
		return 0
	}
	sum, mine := 0.0, 0.0
	for _, g := range a.Priorities[0].Groups {
		sum += float64(g.Weight)
		if g.Cluster == c && match(g.Locality) {
			mine += float64(g.Weight)
		}
	}
	return mine / sum
}

func anywhere(model.Locality) bool { return true }

// rounding is what integer weights with a floor of 1 can change in a share.
const rounding = 0.01

func TestMoreReadyNeverGetsLess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genRequest(t, false)
		before := Assign(r)
		if len(r.Local) > 0 && rapid.Bool().Draw(t, "own") {
			i := rapid.IntRange(0, len(r.Local)-1).Draw(t, "which")
			here := func(l model.Locality) bool { return l == r.Local[i].Locality }
			r.Local[i].Available = true
			if b, a := shareOf(before, "a", here), shareOf(Assign(r), "a", here); a < b-rounding {
				t.Fatalf("one more is ready and the share fell from %v to %v", b, a)
			}
			return
		}
		if len(r.Remote) == 0 {
			return
		}
		// Capacity that was 0 may move its cluster into a nearer and larger tier: that is another question.
		c := &r.Remote[rapid.IntRange(0, len(r.Remote)-1).Draw(t, "which")]
		if c.Ready == 0 || c.Ready == c.Total {
			return
		}
		if readyBy(r, *c) == 0 {
			return
		}
		c.Ready = rapid.Uint32Range(c.Ready, c.Total).Draw(t, "more")
		if b, a := shareOf(before, c.Cluster, anywhere), shareOf(Assign(r), c.Cluster, anywhere); a < b-rounding {
			t.Fatalf("more is ready in %s and its share fell from %v to %v", c.Cluster, b, a)
		}
	})
}

func TestRampNeverRaisesAShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genRequest(t, false)
		if len(r.Remote) == 0 {
			return
		}
		r.Remote = ofOneWay(r.Remote)
		c := r.Remote[rapid.IntRange(0, len(r.Remote)-1).Draw(t, "which")]
		r.Ramps = nil
		before := shareOf(Assign(r), c.Cluster, anywhere)
		r.Ramps = map[RampKey]uint32{{r.Service, c.Cluster, c.Locality, c.Terminated}: rapid.Uint32Range(1, 99).Draw(t, "percent")}
		if after := shareOf(Assign(r), c.Cluster, anywhere); after > before+rounding {
			t.Fatalf("a ramp raised the share of %s from %v to %v", c.Cluster, before, after)
		}
	})
}

func TestAFullyReadyZoneKeepsItsCalls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genRequest(t, false)
		r.Local = append(r.Local, LocalEndpoint{Address: "10.0.2.1", Port: 1, Locality: r.From, Available: true})
		for i := range r.Local {
			r.Local[i].Available = r.Local[i].Available || r.Local[i].Locality == r.From
		}
		// Other clusters stand elsewhere, so that the zone is this cluster's alone.
		r.Remote = slices.DeleteFunc(r.Remote, func(c RemoteCapacity) bool { return c.Locality == r.From })
		groups := Assign(r).Priorities[0].Groups
		if len(groups) != 1 || groups[0].Locality != r.From || groups[0].Cluster != "a" {
			t.Fatalf("calls leave the zone %v: %+v", r.From, groups)
		}
	})
}

func TestAssignChangesNoInput(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genRequest(t, true)
		local, remote := slices.Clone(r.Local), slices.Clone(r.Remote)
		points := map[model.ClusterName][]GatewayPoint{}
		for c, p := range r.Gateways {
			points[c] = slices.Clone(p)
		}
		Assign(r)
		if !slices.Equal(local, r.Local) || !slices.Equal(remote, r.Remote) || !reflect.DeepEqual(points, r.Gateways) {
			t.Fatal("an input was changed")
		}
	})
}

func TestTheMostSpecificPolicyCounts(t *testing.T) {
	names := []string{"", "*", "shop", "hr"}
	rapid.Check(t, func(t *rapid.T) {
		var ps []policy.FailoverPolicy
		for i := range rapid.IntRange(0, 4).Draw(t, "policies") {
			ps = append(ps, policy.FailoverPolicy{Name: fmt.Sprint("p", i), Spec: policy.FailoverPolicySpec{
				Namespace: rapid.SampledFrom(names).Draw(t, "namespace"),
				Services:  rapid.SampledFrom([][]string{nil, {"pay"}, {"cart"}, {"*"}}).Draw(t, "services"),
				Failover:  []policy.RegionOrder{{From: rapid.SampledFrom([]string{"*", "eu", "us"}).Draw(t, "from"), To: []string{fmt.Sprint("r", i)}}}}})
		}
		key := model.ServiceKey{Namespace: "shop", Name: "pay"}
		want := OrderFor(ps, key, "eu")
		got := OrderFor(rapid.Permutation(ps).Draw(t, "order"), key, "eu")
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		for i, p := range ps {
			if specificity(p.Spec, key) == 3 && p.Spec.Failover[0].From != "us" {
				if !reflect.DeepEqual(want.To, []string{fmt.Sprint("r", i)}) {
					t.Fatalf("%+v names service and namespace, but %v counts", p, want)
				}
				break
			}
		}
	})
}
