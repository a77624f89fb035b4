package route

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

// tiny is what floating point may be wrong by.
const tiny = 1e-9

// parts are the sources of a request with their parts of all calls, before they become weights.
func parts(r Request) (serving, waiting []source) {
	sources, _ := place(&r, collect(&r, nil))
	return split(sources)
}

func sum(sources []source) float64 {
	total := 0.0
	for _, s := range sources {
		total += s.part
	}
	return total
}

func TestPartsSumToOneUnlessAllTogetherAreTooFew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		serving, waiting := parts(genRequest(t, rapid.Bool().Draw(t, "collisions")))
		all := sum(serving)
		if all > 1+negligible {
			t.Fatalf("parts sum to %v", all)
		}
		if all < 1-negligible && slices.ContainsFunc(waiting, func(s source) bool { return s.serves() }) {
			t.Fatalf("parts sum to %v and others wait: %+v", all, waiting)
		}
		for _, s := range serving {
			if !s.serves() && s.part != 0 {
				t.Fatalf("a source that is dead or held down gets %v", s.part)
			}
		}
	})
}

func TestATierGetsNoMoreThanItsShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		serving, _ := parts(genRequest(t, false))
		for len(serving) > 0 {
			end := tierEnd(serving, 0)
			var ready, total float64
			for _, s := range serving[:end] {
				ready, total = ready+s.steady+s.climbing, total+s.total
			}
			if got, most := sum(serving[:end]), min(1, 1.4*ready/total); got > most+tiny {
				t.Fatalf("%v of %v are ready and get %v of the calls", ready, total, got)
			}
			serving = serving[end:]
		}
	})
}

// Capacity that climbs gets its percentage of what it would get without its ramp; less where others of its tier climb as well.
func TestARampGetsItsPercentage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genRequest(t, false)
		if len(r.Remote) == 0 {
			return
		}
		r.Remote = ofOneWay(r.Remote)
		c := r.Remote[rapid.IntRange(0, len(r.Remote)-1).Draw(t, "which")].Cluster
		alone := rapid.Bool().Draw(t, "alone")
		if alone {
			clear(r.Ramps)
		}
		// A cluster with several localities is one source; only where all of it climbs the percentage is that of its calls.
		partAt := func(percent uint32) float64 {
			for _, capacity := range r.Remote {
				if capacity.Cluster == c {
					r.Ramps[RampKey{r.Service, c, capacity.Locality, capacity.Terminated}] = percent
				}
			}
			serving, _ := parts(r)
			for _, s := range serving {
				if s.cluster == c && !s.absent {
					return s.part
				}
			}
			return 0
		}
		percent := rapid.SampledFrom([]uint32{HeldDown, 10, 25, 50}).Draw(t, "percent")
		before := partAt(whole)
		got, want := partAt(percent), before*float64(percent)/whole
		if got > want+tiny || alone && got < want-tiny {
			t.Fatalf("%d %% of %v is %v, not %v", percent, before, want, got)
		}
	})
}

// What dies far away takes nothing from who is nearer, wherever else its cluster has capacity.
func TestAFarDeathTakesNothingFromTheNear(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genRequest(t, false)
		if len(r.Remote) == 0 {
			return
		}
		r.Remote = ofOneWay(r.Remote)
		dying := &r.Remote[rapid.IntRange(0, len(r.Remote)-1).Draw(t, "which")]
		near := map[string]float64{}
		serving, _ := parts(r)
		rank := rankNever
		for _, s := range serving {
			if s.cluster == dying.Cluster && !s.absent {
				rank = s.rank
			}
		}
		for _, s := range serving {
			if s.rank < rank && s.serves() {
				near[fmt.Sprint(s.cluster, s.locality)] = s.part
			}
		}
		if rank == rankNever || dying.Ready == 0 {
			return
		}
		dying.Ready = rapid.Uint32Range(0, dying.Ready-1).Draw(t, "ready")
		serving, _ = parts(r)
		for _, s := range serving {
			if before, was := near[fmt.Sprint(s.cluster, s.locality)]; was && s.part < before-tiny {
				t.Fatalf("%s in %s falls from %v to %v", s.cluster, s.locality, before, s.part)
			}
		}
	})
}

// Weights are integers: a share of a priority is right to one in maxWeight for each group.
func TestPartOfARemoteLocalitySpillsExactlyTheRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Uint32Range(1, 1000).Draw(t, "total")
		ready := rapid.Uint32Range(1, total).Draw(t, "ready")
		r := Request{Service: pay, Cluster: "a", From: euA, Gateways: gateways("b", "c"),
			Remote: []RemoteCapacity{far("b", euB, ready, total), far("c", usA, 1, 1)}}
		want := min(1, 1.4*float64(ready)/float64(total))
		a := Assign(r)
		if got := shareOf(a, "b", anywhere); math.Abs(got-want) > 2.0/maxWeight {
			t.Fatalf("%d of %d ready get %v, want %v", ready, total, got, want)
		}
		if got := shareOf(a, "c", anywhere); math.Abs(got-(1-want)) > 2.0/maxWeight {
			t.Fatalf("the rest of %v is %v", want, got)
		}
	})
}

func TestStaleCapacityWaitsForTheFresh(t *testing.T) {
	stale := func(c RemoteCapacity) RemoteCapacity { c.Stale = true; return c }
	for name, c := range map[string]struct {
		remote []RemoteCapacity
		want   []string
	}{
		"near and stale after far and fresh": {[]RemoteCapacity{stale(far("b", euA, 3, 3)), far("c", apA, 3, 3)}, []string{"c@ap/a:100", "b@eu/a:100"}},
		"it serves what the fresh cannot":    {[]RemoteCapacity{stale(far("b", euA, 3, 3)), far("c", apA, 1, 2)}, []string{"c@ap/a:70 b@eu/a:30"}},
		"all stale: as if none were":         {[]RemoteCapacity{stale(far("b", euA, 3, 3)), stale(far("c", apA, 3, 3))}, []string{"b@eu/a:100", "c@ap/a:100"}},
		"the last one stays":                 {[]RemoteCapacity{stale(far("b", usA, 1, 9))}, []string{"b@us/a:100"}},
		"a part that is fresh speaks for it": {[]RemoteCapacity{stale(far("b", euA, 3, 3)), far("b", usA, 1, 1), far("c", apA, 3, 3)}, []string{"b@eu/a:100", "c@ap/a:100"}},
	} {
		got := show(Assign(Request{Service: pay, Cluster: "a", From: euA, Gateways: gateways("b", "c"), Remote: c.remote}))
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestADegradedPathWaitsForTheOthers(t *testing.T) {
	point := func(address string, degraded bool, reach Reachability) GatewayPoint {
		return GatewayPoint{Address: address, Port: 15443, Degraded: degraded, Reach: reach}
	}
	for name, c := range map[string]struct {
		b      []GatewayPoint
		remote []RemoteCapacity
		want   []string
	}{
		"near and degraded after far": {
			[]GatewayPoint{point("b1", true, ReachGood)}, []RemoteCapacity{far("b", usA, 3, 3), far("c", apA, 3, 3)},
			[]string{"c@ap/a:100", "b@us/a:100"},
		},
		"it serves what the others cannot": {
			[]GatewayPoint{point("b1", true, ReachGood)}, []RemoteCapacity{far("b", usA, 3, 3), far("c", apA, 1, 2)},
			[]string{"c@ap/a:70 b@us/a:30"},
		},
		"the last one stays": {
			[]GatewayPoint{point("b1", true, ReachGood)}, []RemoteCapacity{far("b", usA, 3, 3)},
			[]string{"b@us/a:100"},
		},
		"degraded before stale": {
			[]GatewayPoint{point("b1", true, ReachGood)},
			[]RemoteCapacity{{Cluster: "c", Capacity: model.Capacity{Locality: euA, Ready: 3, Total: 3}, Stale: true}, far("b", usA, 3, 3)},
			[]string{"b@us/a:100", "c@eu/a:100"},
		},
		"one better path is enough": {
			[]GatewayPoint{point("b1", true, ReachGood), point("b2", false, ReachUnknown)}, []RemoteCapacity{far("b", usA, 3, 3), far("c", apA, 3, 3)},
			[]string{"b@us/a:100", "c@ap/a:100", "b@us/a:100"},
		},
		"a dead one is no better path": {
			[]GatewayPoint{point("b1", true, ReachGood), point("b2", false, ReachBad)}, []RemoteCapacity{far("b", usA, 3, 3), far("c", apA, 3, 3)},
			[]string{"c@ap/a:100", "b@us/a:100", "!b@us/a:100"},
		},
	} {
		ways := gateways("b", "c")
		ways["b"] = c.b
		order := policy.RegionOrder{To: []string{"us", "ap"}}
		got := show(Assign(Request{Service: pay, Cluster: "a", From: euA, Order: order, Gateways: ways, Remote: c.remote}))
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Age moves capacity behind the fresh and changes nothing else: without fresh sources the assignment is as if all were fresh.
func TestAgeAloneChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := genRequest(t, rapid.Bool().Draw(t, "collisions"))
		r.Local = nil
		all := func(stale bool) Assignment {
			r.Remote = slices.Clone(r.Remote)
			for i := range r.Remote {
				r.Remote[i].Stale = stale
			}
			return Assign(r)
		}
		if fresh, stale := all(false), all(true); !reflect.DeepEqual(fresh, stale) {
			t.Fatalf("all stale: %+v\nall fresh: %+v", stale, fresh)
		}
	})
}

// others are the parts of the calls that everybody but one cluster gets.
func others(a Assignment, c model.ClusterName) map[string]float64 {
	out := map[string]float64{}
	for _, g := range a.Priorities[0].Groups {
		if g.Cluster != c && g.Endpoints[0].Healthy {
			out[fmt.Sprint(g.Cluster, g.Locality)] = shareOf(a, g.Cluster, func(l model.Locality) bool { return l == g.Locality })
		}
	}
	return out
}

// unready is a request's remote side while a cluster, or the first locality of it, is down.
func unready(r Request, c model.ClusterName, byGateway, one bool) ([]RemoteCapacity, map[model.ClusterName][]GatewayPoint) {
	remote, points := slices.Clone(r.Remote), maps.Clone(r.Gateways)
	if byGateway {
		points[c] = slices.Clone(points[c])
		for i := range points[c] {
			points[c][i].Reach = ReachBad
		}
		return remote, points
	}
	for i := range remote {
		if remote[i].Cluster == c {
			if remote[i].Ready = 0; one {
				break
			}
		}
	}
	return remote, points
}

// Capacity that goes up and down every 500 ms for a minute moves the others' calls five times at most: at its first three deaths and two
// returns. From then on it is held down, which is to the others as if it were dead.
func TestFlappingCapacityLeavesTheOthersAlone(t *testing.T) {
	const most = 5
	rapid.Check(t, func(t *rapid.T) {
		r := genRequest(t, false)
		r.Ramps = nil
		r.Local = append(r.Local, LocalEndpoint{Address: "10.0.2.1", Port: 1, Locality: r.From, Available: true})
		r.Order.Only = false
		flaps := rapid.SampledFrom(clusters).Draw(t, "flaps")
		byGateway := rapid.Bool().Draw(t, "by its gateways")
		one := rapid.Bool().Draw(t, "one locality of it")
		var f Failback
		var last map[string]float64
		changes := 0
		for half := range 120 {
			now := r
			if half%2 == 1 {
				now.Remote, now.Gateways = unready(r, flaps, byGateway, one)
			}
			observed := Available{}
			observed.Observe(now)
			f, _ = f.Step(observed, noon.Add(time.Duration(half)*500*time.Millisecond))
			now.Ramps = f.Ramps()
			got := others(Assign(now), flaps)
			if half > 0 && !reflect.DeepEqual(got, last) {
				if changes++; changes > most {
					t.Fatalf("%d changes, the last one after %d half seconds: %v, before %v", changes, half, got, last)
				}
			}
			last = got
		}
	})
}
