package route

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

var (
	pay = model.ServiceKey{Namespace: "shop", Name: "pay"}
	euA = model.Locality{Region: "eu", Zone: "a"}
	euB = model.Locality{Region: "eu", Zone: "b"}
	euC = model.Locality{Region: "eu", Zone: "c"}
	usA = model.Locality{Region: "us", Zone: "a"}
	apA = model.Locality{Region: "ap", Zone: "a"}
)

func own(l model.Locality, ready, total int) []LocalEndpoint {
	var out []LocalEndpoint
	for i := range total {
		out = append(out, LocalEndpoint{Address: fmt.Sprintf("10.%d.%d.%d", len(l.Zone)+int(l.Region[0]), l.Zone[0], i), Port: 15008, Locality: l, Available: i < ready})
	}
	return out
}

func far(c model.ClusterName, l model.Locality, ready, total uint32) RemoteCapacity {
	return RemoteCapacity{Cluster: c, Capacity: model.Capacity{Locality: l, Ready: ready, Total: total}}
}

func gateways(names ...model.ClusterName) map[model.ClusterName][]GatewayPoint {
	out := map[model.ClusterName][]GatewayPoint{}
	for i, n := range names {
		out[n] = []GatewayPoint{{Address: fmt.Sprintf("192.0.2.%d", i+1), Port: 15443}}
	}
	return out
}

// show renders an assignment as "CLUSTER@LOCALITY:PERCENT …|…" per priority, with "!" for groups of bad endpoints.
func show(a Assignment) []string {
	var out []string
	for _, p := range a.Priorities {
		line, sum := "", 0.0
		for _, g := range p.Groups {
			sum += float64(g.Weight)
		}
		for i, g := range p.Groups {
			if i > 0 {
				line += " "
			}
			mark := ""
			if !g.Endpoints[0].Healthy {
				mark = "!"
			}
			line += fmt.Sprintf("%s%s@%s:%d", mark, g.Cluster, g.Locality, int(math.Round(100*float64(g.Weight)/sum)))
		}
		out = append(out, line)
	}
	return out
}

func TestAssign(t *testing.T) {
	bad := gateways("b", "c")
	bad["b"][0].Reach = ReachBad
	draining := gateways("b")
	draining["b"][0].Draining = true
	half := gateways("b")
	half["b"] = append(half["b"], GatewayPoint{Address: "192.0.2.99", Port: 15443, Reach: ReachBad})
	leaving := gateways("b")
	leaving["b"] = append(leaving["b"], GatewayPoint{Address: "192.0.2.99", Port: 15443, Draining: true})
	closing := gateways("b", "c")
	closing["b"][0].Draining = true
	order := policy.RegionOrder{From: "eu", To: []string{"ap", "us"}}
	only := policy.RegionOrder{From: "eu", To: []string{"us"}, Only: true}
	ramp := func(c model.ClusterName, l model.Locality, percent uint32) map[RampKey]uint32 {
		return map[RampKey]uint32{{Service: pay, Cluster: c, Locality: l}: percent}
	}
	tests := []struct {
		name string
		r    Request
		want []string
	}{
		{"nothing", Request{}, nil},
		{"own zone, region, others", Request{Local: slices.Concat(own(euA, 2, 2), own(euB, 1, 1)), Remote: []RemoteCapacity{far("b", usA, 3, 3), far("c", apA, 1, 1)}, Gateways: gateways("b", "c")},
			[]string{"a@eu/a:100", "a@eu/b:100", "b@us/a:75 c@ap/a:25"}},
		{"policy orders regions", Request{Local: own(euA, 2, 2), Remote: []RemoteCapacity{far("b", usA, 3, 3), far("c", apA, 1, 1)}, Gateways: gateways("b", "c"), Order: order},
			[]string{"a@eu/a:100", "c@ap/a:100", "b@us/a:100"}},
		{"only leaves regions out", Request{Local: own(euA, 2, 2), Remote: []RemoteCapacity{far("b", usA, 3, 3), far("c", apA, 1, 1)}, Gateways: gateways("b", "c"), Order: only},
			[]string{"a@eu/a:100", "b@us/a:100"}},
		// Istio #48084: Envoy sees 2 of 2 healthy where 98 are unready.
		{"2 of 100 ready spill over", Request{Local: own(euA, 2, 100), Remote: []RemoteCapacity{far("b", usA, 3, 3)}, Gateways: gateways("b")},
			[]string{"a@eu/a:3 b@us/a:97", "!a@eu/a:100"}},
		{"5 of 7 ready keep all", Request{Local: own(euA, 5, 7), Remote: []RemoteCapacity{far("b", usA, 3, 3)}, Gateways: gateways("b")},
			[]string{"a@eu/a:100", "b@us/a:100", "!a@eu/a:100"}},
		{"half ready: 70 to 30", Request{Local: own(euA, 2, 4), Remote: []RemoteCapacity{far("b", usA, 3, 3)}, Gateways: gateways("b")},
			[]string{"a@eu/a:70 b@us/a:30", "!a@eu/a:100"}},
		{"three tiers share", Request{Local: own(euA, 1, 4), Remote: []RemoteCapacity{far("b", usA, 1, 4), far("c", apA, 9, 9)}, Gateways: gateways("b", "c"), Order: policy.RegionOrder{To: []string{"us"}}},
			[]string{"a@eu/a:35 b@us/a:35 c@ap/a:30", "!a@eu/a:100"}},
		{"nowhere to spill", Request{Local: own(euA, 2, 100)}, []string{"a@eu/a:100", "!a@eu/a:100"}},
		// Istio #56355: the weight of a network was that of its alphabetically first zone.
		{"weight is the total of all zones", Request{Local: own(euA, 5, 5), Remote: []RemoteCapacity{far("b", euA, 1, 1), far("b", euB, 5, 5), far("b", euC, 9, 9)}, Gateways: gateways("b")},
			[]string{"a@eu/a:25 b@eu/a:75"}},
		{"a cluster stands where it is ready", Request{Local: own(euA, 1, 1), Remote: []RemoteCapacity{far("b", euA, 0, 5), far("b", usA, 5, 5)}, Gateways: gateways("b")},
			[]string{"a@eu/a:23 b@us/a:77"}},
		{"its far death takes nothing from who is near", Request{Local: own(euA, 1, 1), Remote: []RemoteCapacity{far("b", euA, 0, 5), far("b", usA, 0, 5), far("c", apA, 9, 9)}, Gateways: gateways("b", "c")},
			[]string{"a@eu/a:23 c@ap/a:77", "!b@eu/a:100"}},
		{"a dead tier gives way and keeps its endpoints", Request{Local: own(euA, 0, 3), Remote: []RemoteCapacity{far("b", usA, 3, 3)}, Gateways: gateways("b")},
			[]string{"b@us/a:100", "!a@eu/a:100"}},
		{"bad gateway", Request{Remote: []RemoteCapacity{far("b", euA, 3, 3), far("c", usA, 3, 3)}, Gateways: bad},
			[]string{"c@us/a:100", "!b@eu/a:100"}},
		{"a dead sibling's calls spill over", Request{Local: own(euA, 3, 3), Remote: []RemoteCapacity{far("b", euA, 3, 3), far("c", usA, 3, 3)}, Gateways: bad},
			[]string{"a@eu/a:70 c@us/a:30", "!b@eu/a:100"}},
		{"draining gateway is the last resort", Request{Remote: []RemoteCapacity{far("b", euA, 3, 3)}, Gateways: draining}, []string{"!b@eu/a:100"}},
		{"a draining gateway is left when another one is there", Request{Remote: []RemoteCapacity{far("b", euA, 3, 3)}, Gateways: leaving}, []string{"b@eu/a:100"}},
		{"the calls of a cluster that drains spill over like a dead one's", Request{Local: own(euA, 3, 3), Remote: []RemoteCapacity{far("b", euA, 3, 3), far("c", usA, 3, 3)}, Gateways: closing},
			[]string{"a@eu/a:70 c@us/a:30"}},
		{"one gateway of two is bad", Request{Remote: []RemoteCapacity{far("b", euA, 3, 3)}, Gateways: half}, []string{"b@eu/a:100", "!b@eu/a:100"}},
		{"nothing ready behind the gateway", Request{Remote: []RemoteCapacity{far("b", euA, 0, 3)}, Gateways: gateways("b")}, []string{"!b@eu/a:100"}},
		{"a cluster without gateways does not count", Request{Local: own(euA, 3, 3), Remote: []RemoteCapacity{far("b", euA, 30, 30), far("c", usA, 1, 1)}, Gateways: gateways("c")},
			[]string{"a@eu/a:100", "c@us/a:100"}},
		{"a ramp spills over to the next tier", Request{Local: own(euA, 3, 3), Remote: []RemoteCapacity{far("b", usA, 3, 3)}, Gateways: gateways("b"), Ramps: ramp("a", euA, 10)},
			[]string{"a@eu/a:10 b@us/a:90"}},
		{"a ramp of a half ready tier", Request{Local: own(euA, 2, 4), Remote: []RemoteCapacity{far("b", usA, 3, 3)}, Gateways: gateways("b"), Ramps: ramp("a", euA, 10)},
			[]string{"a@eu/a:7 b@us/a:93", "!a@eu/a:100"}},
		{"siblings keep what they had before the return", Request{Local: own(euA, 3, 3), Remote: []RemoteCapacity{far("b", euA, 3, 3), far("c", usA, 3, 3)}, Gateways: gateways("b", "c"), Ramps: ramp("b", euA, 10)},
			[]string{"a@eu/a:70 b@eu/a:5 c@us/a:25"}},
		{"a ramp without others takes all", Request{Local: own(euA, 3, 3), Ramps: ramp("a", euA, 10)}, []string{"a@eu/a:100"}},
		{"another service's ramp", Request{Local: own(euA, 3, 3), Remote: []RemoteCapacity{far("b", usA, 3, 3)}, Gateways: gateways("b"), Ramps: map[RampKey]uint32{{Cluster: "a", Locality: euA}: 10}},
			[]string{"a@eu/a:100", "b@us/a:100"}},
		{"own cluster's record is not remote", Request{Local: own(euA, 1, 1), Remote: []RemoteCapacity{far("a", usA, 3, 3)}, Gateways: gateways("a")}, []string{"a@eu/a:100"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.r.Service, tt.r.Cluster, tt.r.From = pay, "a", euA
			if got := show(Assign(tt.r)); !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestARampIsExactBesideReadySiblings(t *testing.T) {
	r := Request{Service: pay, Cluster: "a", From: euA, Local: own(euA, 9, 9), Remote: []RemoteCapacity{far("b", euA, 3, 3)}, Gateways: gateways("b"),
		Ramps: map[RampKey]uint32{{Service: pay, Cluster: "b", Locality: euA}: 10}}
	groups := Assign(r).Priorities[0].Groups
	if len(groups) != 2 || groups[0].Weight != 9750 || groups[1].Weight != 250 {
		t.Errorf("b may take 10 %% of its quarter: %+v", groups)
	}
}

func TestASharedAddressBelongsToTheNearestHealthySource(t *testing.T) {
	shared := gateways("b", "c")
	shared["c"][0].Address = shared["b"][0].Address
	r := Request{Service: pay, Cluster: "a", From: euA, Remote: []RemoteCapacity{far("b", euB, 1, 1), far("c", usA, 5, 5)}, Gateways: shared}
	if got, want := show(Assign(r)), []string{"b@eu/b:100"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	shared["b"][0].Draining = true
	if got, want := show(Assign(r)), []string{"c@us/a:100"}; !slices.Equal(got, want) {
		t.Errorf("draining at b: got %q, want %q", got, want)
	}
}

func TestManyRegionsStayWithinEnvoysPriorities(t *testing.T) {
	r := Request{Service: pay, Cluster: "a", From: euA, Gateways: map[model.ClusterName][]GatewayPoint{}}
	for i := range 200 {
		c, region := model.ClusterName(fmt.Sprintf("c%03d", i)), fmt.Sprintf("r%03d", i)
		r.Order.To = append(r.Order.To, region)
		r.Remote = append(r.Remote, far(c, model.Locality{Region: region}, 1, 1))
		r.Gateways[c] = []GatewayPoint{{Address: fmt.Sprintf("10.0.0.%d", i), Port: 1}}
	}
	a := Assign(r)
	if n := len(a.Priorities); n > 128 || n < 50 {
		t.Errorf("%d priorities", n)
	}
	if n := len(endpoints(a)); n != 200 {
		t.Errorf("%d endpoints", n)
	}
}

func TestOrderFor(t *testing.T) {
	p := func(name, namespace string, services []string, from ...string) policy.FailoverPolicy {
		out := policy.FailoverPolicy{Name: name, Spec: policy.FailoverPolicySpec{Namespace: namespace, Services: services}}
		for _, f := range from {
			out.Spec.Failover = append(out.Spec.Failover, policy.RegionOrder{From: f, To: []string{name + "/" + f}})
		}
		return out
	}
	tests := []struct {
		name     string
		policies []policy.FailoverPolicy
		want     string
	}{
		{"none", nil, ""},
		{"all", []policy.FailoverPolicy{p("all", "", nil, "eu")}, "all/eu"},
		{"namespace before all", []policy.FailoverPolicy{p("all", "", nil, "eu"), p("ns", "shop", nil, "eu")}, "ns/eu"},
		{"service before namespace", []policy.FailoverPolicy{p("ns", "shop", nil, "eu"), p("svc", "", []string{"pay"}, "eu")}, "svc/eu"},
		{"service and namespace before service", []policy.FailoverPolicy{p("svc", "*", []string{"pay"}, "eu"), p("zz", "shop", []string{"pay"}, "eu")}, "zz/eu"},
		{"other service", []policy.FailoverPolicy{p("svc", "shop", []string{"cart"}, "eu")}, ""},
		{"other namespace", []policy.FailoverPolicy{p("svc", "hr", nil, "eu")}, ""},
		{"smaller name", []policy.FailoverPolicy{p("b", "", nil, "eu"), p("a", "", nil, "eu")}, "a/eu"},
		{"own entry before any", []policy.FailoverPolicy{p("a", "", nil, "*", "eu")}, "a/eu"},
		{"any", []policy.FailoverPolicy{p("a", "", nil, "us", "*")}, "a/*"},
		{"no entry: the next policy counts", []policy.FailoverPolicy{p("ns", "shop", nil, "us"), p("all", "", nil, "*")}, "all/*"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if o := OrderFor(tt.policies, pay, "eu"); len(o.To) > 0 {
				got = o.To[0]
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func BenchmarkAssign(b *testing.B) {
	r := Request{Service: pay, Cluster: "a", From: euA, Local: own(euA, 3, 3), Gateways: gateways("b", "c", "d"),
		Remote: []RemoteCapacity{far("b", euA, 1, 2), far("b", euB, 2, 2), far("c", usA, 3, 3), far("d", apA, 3, 3)}}
	b.ReportAllocs()
	for b.Loop() {
		Assign(r)
	}
}
