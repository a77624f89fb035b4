package explain

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/gateway/route"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

// drawWorld makes up a site and what it knows of three other clusters.
func drawWorld(t *rapid.T) (Input, Question) {
	in, q := world()
	regions := []string{"eu", "us", "asia", "sa"}
	locality := rapid.Custom(func(t *rapid.T) model.Locality {
		return at(rapid.SampledFrom(regions).Draw(t, "region"), rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "zone"))
	})
	in.Facts.Workloads = in.Facts.Workloads[:1]
	in.Facts.Workloads[0].Locality = locality.Draw(t, "caller")
	for i := range rapid.IntRange(0, 4).Draw(t, "workloads") {
		w := workload(fmt.Sprint("pay-", i), fmt.Sprint("10.0.0.", rapid.IntRange(1, 4).Draw(t, "address")), locality.Draw(t, "locality"))
		w.Health.Ready, w.Health.Draining = rapid.Bool().Draw(t, "ready"), rapid.Bool().Draw(t, "draining")
		if w.Plain = rapid.Bool().Draw(t, "plain"); w.Plain {
			w.Export, w.InboundPort = rapid.Bool().Draw(t, "exported"), 0
			w.Ports = []model.WorkloadPort{{Port: http, Target: w.Address + ":8080"}}
		}
		in.Facts.Workloads = append(in.Facts.Workloads, w)
	}
	in.Facts.Imports, in.Facts.Gateways, in.Gateways = nil, map[model.ClusterName][]route.GatewayPoint{}, nil
	for i, cluster := range []string{"asia", "us"} {
		if !rapid.Bool().Draw(t, "offers") {
			continue
		}
		imp := offer(cluster)
		imp.Stale = rapid.Bool().Draw(t, "stale")
		for _, l := range rapid.SliceOfNDistinct(locality, 1, 3, func(l model.Locality) model.Locality { return l }).Draw(t, "localities") {
			total := rapid.Uint32Range(0, 4).Draw(t, "total")
			c := model.Capacity{Locality: l, Ready: rapid.Uint32Range(0, total).Draw(t, "ready"), Total: total}
			if rapid.Bool().Draw(t, "terminated") {
				imp.Record.Terminated = append(imp.Record.Terminated, c)
			} else {
				imp.Record.Capacity = append(imp.Record.Capacity, c)
			}
		}
		in.Facts.Imports = append(in.Facts.Imports, imp)
		for j := range rapid.IntRange(0, 3).Draw(t, "gateways") {
			p := point(fmt.Sprintf("192.0.2.%d", 10*i+j), locality.Draw(t, "at"))
			p.Reach = rapid.SampledFrom([]route.Reachability{route.ReachUnknown, route.ReachGood, route.ReachBad}).Draw(t, "reach")
			p.Draining, p.Degraded = rapid.Bool().Draw(t, "drains"), rapid.Bool().Draw(t, "degraded")
			in.Facts.Gateways[model.ClusterName(cluster)] = append(in.Facts.Gateways[model.ClusterName(cluster)], p)
			in.Gateways = append(in.Gateways, finding(cluster, fmt.Sprint("gw-", j), fmt.Sprintf("%s:%d", p.Address, p.Port)))
		}
	}
	in.Facts.Ramps = map[route.RampKey]uint32{}
	for range rapid.IntRange(0, 3).Draw(t, "ramps") {
		k := route.RampKey{Service: pay, Cluster: model.ClusterName(rapid.SampledFrom([]string{"asia", "eu", "us"}).Draw(t, "of")), Locality: locality.Draw(t, "in"),
			Terminated: rapid.Bool().Draw(t, "of pods")}
		in.Facts.Ramps[k] = rapid.SampledFrom([]uint32{0, 10, 25, 50}).Draw(t, "percent")
	}
	in.Facts.Failover = nil
	if rapid.Bool().Draw(t, "policy") {
		order := policy.RegionOrder{From: "*", To: rapid.SliceOfNDistinct(rapid.SampledFrom(regions), 1, 3, func(r string) string { return r }).Draw(t, "to"), Only: rapid.Bool().Draw(t, "only")}
		in.Facts.Failover = []policy.FailoverPolicy{{Name: "p", Spec: policy.FailoverPolicySpec{Failover: []policy.RegionOrder{order}}}}
	}
	return in, q
}

// TestEveryEndpointIsExplained: an explanation shows what a snapshot of the same facts gives the proxy, no more and no less, and says of
// each part why it is there.
func TestEveryEndpointIsExplained(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, q := drawWorld(t)
		e, err := Explain(in, q)
		if err != nil {
			t.Fatal(err)
		}
		s := snapshot.Build(in.Facts)
		if len(s.Services) == 0 {
			if len(e.Priorities) != 0 || len(e.Problems) == 0 {
				t.Fatalf("nothing is offered, and the explanation is %+v", e)
			}
			return
		}
		want, ok := s.Services[0].For(e.Locality)
		if !ok {
			t.Fatalf("no assignment for %s", e.Locality)
		}
		if got := asAssignment(e); fmt.Sprint(got) != fmt.Sprint(plain(want.Assignment)) {
			t.Fatalf("explained is\n%v, in force is\n%v", got, plain(want.Assignment))
		}
		if len(e.Priorities) == 0 && len(e.LeftOut) == 0 {
			t.Fatal("nothing is called and nothing is left out")
		}
	})
}

// asAssignment is what an explanation shows; a group or endpoint without a fact shows as such.
func asAssignment(e Explanation) []string {
	var out []string
	for i, p := range e.Priorities {
		for _, g := range p.Groups {
			for _, x := range g.Endpoints {
				line := fmt.Sprint(i, g.Cluster, g.Locality, g.Weight, x.Address, x.Weight, x.Healthy, x.Gateway, x.Via)
				if len(g.Facts) < 2 || len(x.Facts) == 0 {
					line += " without a fact"
				}
				out = append(out, line)
			}
		}
	}
	return out
}

func plain(a route.Assignment) []string {
	var out []string
	for i, p := range a.Priorities {
		for _, g := range p.Groups {
			for _, x := range g.Endpoints {
				out = append(out, fmt.Sprint(i, g.Cluster, g.Locality, g.Weight, fmt.Sprintf("%s:%d", x.Address, x.Port), x.Weight, x.Healthy, x.Gateway, x.Via))
			}
		}
	}
	return out
}

// TestSharesAddUp: all calls go somewhere, as things are and as they might be, unless there is nowhere to go.
func TestSharesAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, q := drawWorld(t)
		e, err := Explain(in, q)
		if err != nil {
			t.Fatal(err)
		}
		groups, endpoints := 0.0, 0.0
		for _, p := range e.Priorities {
			for _, g := range p.Groups {
				groups += g.SharePercent
				for _, x := range g.Endpoints {
					endpoints += x.SharePercent
				}
			}
		}
		whole := 0.0
		if len(e.Priorities) > 0 {
			whole = 100
		}
		if math.Abs(groups-whole) > 1e-6 || math.Abs(endpoints-whole) > 1e-6 {
			t.Fatalf("the groups get %v %%, the endpoints %v %%, of %v %%", groups, endpoints, whole)
		}
		for _, w := range e.WhatIf {
			sum := 0.0
			for _, s := range w.Shares {
				sum += s.Percent
			}
			if len(w.Shares) > 0 && math.Abs(sum-100) > 1e-6 {
				t.Fatalf("%s: %v %%", w.Text, sum)
			}
			if !w.Differs && fmt.Sprint(w.Shares) != fmt.Sprint(now(e)) {
				t.Fatalf("%s: now is %v", w.Text, now(e))
			}
		}
	})
}

func now(e Explanation) []CallShare {
	if len(e.Priorities) == 0 {
		return []CallShare{}
	}
	return e.Priorities[0].shares()
}

// TestExplainingChangesNothing: the facts are shared with what is being derived from them.
func TestExplainingChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, q := drawWorld(t)
		before := fmt.Sprintf("%+v", in.Facts)
		first, err := Explain(in, q)
		if err != nil {
			t.Fatal(err)
		}
		if after := fmt.Sprintf("%+v", in.Facts); after != before {
			t.Fatalf("the facts were\n%s, they are\n%s", before, after)
		}
		again, _ := Explain(in, q)
		if one, other := encoded(t, first), encoded(t, again); one != other {
			t.Fatal("the same facts give another explanation")
		}
	})
}

func encoded(t *rapid.T, e Explanation) string {
	data, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
