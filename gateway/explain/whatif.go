package explain

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/gateway/route"
)

// WhatIf is where calls would go if one fact were another.
type WhatIf struct {
	// Change completes "if …".
	Change string      `json:"change"`
	Shares []CallShare `json:"shares"`
	// Later is where they would go after that, one step for each priority that would have to die first.
	Later [][]CallShare `json:"later"`
	// Differs is false when calls would go where they go now, and afterwards, too.
	Differs bool   `json:"differs"`
	Text    string `json:"text"`
}

// maxWhatIf bounds the list: it is read by people.
const maxWhatIf = 24

// counterfactual is one fact that might be another. apply may replace what a request points to, but not change it.
type counterfactual struct {
	change string
	apply  func(r *route.Request)
}

// whatIf has route.Assign decide with one fact changed at a time.
func (x *explainer) whatIf(now route.Assignment) []WhatIf {
	present, presentLater := shares(now), later(now)
	out := []WhatIf{}
	for _, c := range x.counterfactuals() {
		if len(out) == maxWhatIf {
			break
		}
		r := x.port.Request
		c.apply(&r)
		then := route.Assign(r)
		w := WhatIf{Change: c.change, Shares: shares(then), Later: later(then)}
		moves, laterMoves := !slices.Equal(present, w.Shares), !slices.EqualFunc(presentLater, w.Later, slices.Equal)
		w.Differs = moves || laterMoves
		switch {
		case !w.Differs:
			w.Text = "nothing would change for these callers"
		case len(w.Shares) == 0:
			w.Text = "calls would go nowhere"
		case moves:
			w.Text = "calls would go to " + SharesText(w.Shares)
		default:
			w.Text = "calls would go where they go now, and after that " + laterText(w.Later)
		}
		w.Text = "if " + c.change + ", " + w.Text
		out = append(out, w)
	}
	return out
}

// laterText lists where calls go one after another.
func laterText(steps [][]CallShare) string {
	if len(steps) == 0 {
		return "nowhere"
	}
	out := make([]string, len(steps))
	for i, s := range steps {
		out[i] = "to " + SharesText(s)
	}
	return strings.Join(out, ", then ")
}

func (x *explainer) counterfactuals() []counterfactual {
	return slices.Concat(x.policyChanges(), x.capacityChanges(), x.gatewayChanges())
}

// gatewayChanges turn the verdict on each gateway that is not as it should be, and lose those of each cluster.
func (x *explainer) gatewayChanges() []counterfactual {
	var out []counterfactual
	r := x.port.Request
	for _, cluster := range offering(r) {
		points := r.Gateways[cluster]
		usable := 0
		for i, p := range points {
			name := x.gatewayName(cluster, p)
			switch {
			case p.Reach == route.ReachBad:
				out = append(out, onPoint(cluster, i, name+" could be reached", func(p *route.GatewayPoint) { p.Reach = route.ReachGood }))
			case p.Draining:
				out = append(out, onPoint(cluster, i, name+" did not drain", func(p *route.GatewayPoint) { p.Draining = false }))
			default:
				usable++
			}
			if p.Degraded {
				out = append(out, onPoint(cluster, i, "the path to "+name+" were not degraded", func(p *route.GatewayPoint) { p.Degraded = false }))
			}
			if len(points) > 1 && p.Reach != route.ReachBad && !p.Draining {
				out = append(out, onPoint(cluster, i, name+" could not be reached", func(p *route.GatewayPoint) { p.Reach = route.ReachBad }))
			}
		}
		if usable > 0 {
			out = append(out, counterfactual{fmt.Sprintf("no gateway of cluster %s could be reached", cluster), onPoints(cluster, func(int, *route.GatewayPoint) bool { return true },
				func(p *route.GatewayPoint) { p.Reach = route.ReachBad })})
		}
	}
	return out
}

// offering are the other clusters that have capacity, sorted.
func offering(r route.Request) []model.ClusterName {
	var out []model.ClusterName
	for _, c := range r.Remote {
		out = append(out, c.Cluster)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (x *explainer) gatewayName(cluster model.ClusterName, p route.GatewayPoint) string {
	at := address(p.Address, p.Port)
	for _, g := range x.in.Gateways {
		if g.Cluster == cluster && g.Address == at {
			return fmt.Sprintf("gateway %s of %s at %s", g.Gateway, cluster, at)
		}
	}
	return fmt.Sprintf("the gateway of %s at %s", cluster, at)
}

func onPoint(cluster model.ClusterName, at int, change string, apply func(*route.GatewayPoint)) counterfactual {
	return counterfactual{change, onPoints(cluster, func(i int, _ *route.GatewayPoint) bool { return i == at }, apply)}
}

// onPoints changes copies of some of a cluster's points.
func onPoints(cluster model.ClusterName, which func(int, *route.GatewayPoint) bool, apply func(*route.GatewayPoint)) func(*route.Request) {
	return func(r *route.Request) {
		points := slices.Clone(r.Gateways[cluster])
		for i := range points {
			if which(i, &points[i]) {
				apply(&points[i])
			}
		}
		r.Gateways = maps.Clone(r.Gateways)
		r.Gateways[cluster] = points
	}
}

// capacityChanges lose each region and this cluster's own part, and let what has failed be as if it had not.
func (x *explainer) capacityChanges() []counterfactual {
	r := x.port.Request
	var out []counterfactual
	for _, region := range regions(r) {
		out = append(out, counterfactual{"nothing in region " + region + " were ready", onCapacity(func(l model.Locality, _ model.ClusterName) bool { return l.Region == region }, false)})
	}
	if slices.ContainsFunc(r.Local, func(e route.LocalEndpoint) bool { return e.Available }) {
		out = append(out, counterfactual{"no workload of this cluster were ready", onCapacity(func(_ model.Locality, c model.ClusterName) bool { return c == r.Cluster }, false)})
	}
	if slices.ContainsFunc(r.Local, func(e route.LocalEndpoint) bool { return !e.Available }) {
		out = append(out, counterfactual{"all workloads of this cluster were ready", onCapacity(func(_ model.Locality, c model.ClusterName) bool { return c == r.Cluster }, true)})
	}
	for _, cluster := range offering(r) {
		less := func(c route.RemoteCapacity) bool { return c.Cluster == cluster && c.Ready < c.Total }
		if slices.ContainsFunc(r.Remote, less) {
			out = append(out, counterfactual{fmt.Sprintf("all workloads of cluster %s were ready", cluster), onCapacity(func(_ model.Locality, c model.ClusterName) bool { return c == cluster }, true)})
		}
		if slices.ContainsFunc(r.Remote, func(c route.RemoteCapacity) bool { return c.Cluster == cluster && c.Stale }) {
			out = append(out, counterfactual{fmt.Sprintf("cluster %s confirmed what it offers", cluster), freshen(cluster)})
		}
	}
	if slices.ContainsFunc(slices.Collect(maps.Keys(r.Ramps)), func(k route.RampKey) bool { return k.Service == r.Service }) {
		out = append(out, counterfactual{"what has died and come back had its whole share", func(r *route.Request) { r.Ramps = nil }})
	}
	return out
}

// regions are those in which something is ready, sorted.
func regions(r route.Request) []string {
	var out []string
	for _, e := range r.Local {
		if e.Available {
			out = append(out, e.Locality.Region)
		}
	}
	for _, c := range r.Remote {
		if c.Ready > 0 {
			out = append(out, c.Locality.Region)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// onCapacity makes some capacity ready, or not.
func onCapacity(which func(model.Locality, model.ClusterName) bool, ready bool) func(*route.Request) {
	return func(r *route.Request) {
		r.Local, r.Remote = slices.Clone(r.Local), slices.Clone(r.Remote)
		for i := range r.Local {
			if e := &r.Local[i]; which(e.Locality, r.Cluster) {
				e.Available = ready
			}
		}
		for i := range r.Remote {
			c := &r.Remote[i]
			switch {
			case !which(c.Locality, c.Cluster):
			case ready:
				c.Ready = max(c.Ready, c.Total)
			default:
				c.Total, c.Ready = max(c.Ready, c.Total), 0
			}
		}
	}
}

func freshen(cluster model.ClusterName) func(*route.Request) {
	return func(r *route.Request) {
		r.Remote = slices.Clone(r.Remote)
		for i := range r.Remote {
			if r.Remote[i].Cluster == cluster {
				r.Remote[i].Stale = false
			}
		}
	}
}

// policyChanges leave out the policy that counts.
func (x *explainer) policyChanges() []counterfactual {
	name := x.of.Policy.Name
	if name == "" {
		return nil
	}
	return []counterfactual{{"there were no FailoverPolicy " + name, func(r *route.Request) {
		left := slices.DeleteFunc(slices.Clone(x.in.Facts.Failover), func(p policy.FailoverPolicy) bool { return p.Name == name })
		r.Order = route.OrderFor(left, r.Service, r.From.Region)
	}}}
}
