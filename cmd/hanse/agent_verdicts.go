package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/probe"
	"github.com/hanse-mesh/hanse/cluster-agent/verdict"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/gateway/route"
)

// beliefs is what a site makes of other clusters' gateways.
type beliefs struct {
	// others was collected at a time from what was heard, among the members of view.
	others verdict.Others
	heard  []verdict.Heard
	view   *state.View
	at     time.Time
	// ways are what calls go by.
	ways map[verdict.Address]way
}

// way is what calls go by of one gateway address.
type way struct {
	state    verdict.State
	degraded bool
}

// recollect bounds how long it takes to notice that a prober which had fallen silent speaks again.
const recollect = time.Second

// judge brings up to date what is believed of the gateways, and has those probed more often of which somebody says otherwise. It returns
// whether calls should go elsewhere now, and when to look again.
func (c *siteCore) judge(now time.Time) (changed bool, next time.Time) {
	c.mu.Lock()
	c.listen(now)
	ways, suspects := map[verdict.Address]way{}, map[verdict.Address]bool{}
	for _, p := range c.gatewayPoints() {
		j := verdict.Judge(p.State, c.beliefs.others.On(p.Judged()))
		ways[p.Judged()] = way{j.State, p.Degraded}
		if j.Suspicious {
			suspects[p.Judged()] = true
		}
	}
	changed = !maps.Equal(ways, c.beliefs.ways)
	c.beliefs.ways = ways
	next = c.beliefs.others.Next()
	c.mu.Unlock()
	c.out.suspect(suspects)
	return changed, next
}

// listen collects what the other clusters say when it may have changed; the lock is held.
func (c *siteCore) listen(now time.Time) {
	if c.view == nil {
		return
	}
	var heard []verdict.Heard
	for _, origin := range c.imports.All() {
		// Verdicts sort behind all other records.
		first := len(origin.Records)
		for first > 0 && origin.Records[first-1].Verdicts != nil {
			first--
		}
		if first < len(origin.Records) {
			heard = append(heard, verdict.Heard{
				Prober: origin.Origin, Incarnation: origin.Version.Incarnation, ConfirmedAt: origin.ConfirmedAt, Records: origin.Records[first:],
			})
		}
	}
	b := &c.beliefs
	lasts := now.Before(b.at.Add(recollect)) && (b.others.Next().IsZero() || now.Before(b.others.Next()))
	if lasts && b.view == c.view && slices.EqualFunc(heard, b.heard, sameWords) {
		return
	}
	b.heard, b.view, b.at = heard, c.view, now
	b.others = verdict.Collect(c.member.Cluster, c.view.Clusters, heard, now)
}

// sameWords reports whether two states of a prober say the same; a record that has not changed is the same value.
func sameWords(a, b verdict.Heard) bool {
	return a.Prober == b.Prober && a.Incarnation == b.Incarnation &&
		slices.EqualFunc(a.Records, b.Records, func(x, y model.Record) bool { return x.Verdicts == y.Verdicts && x.Version == y.Version })
}

// gatewayPoints are the addresses of the gateways that this cluster imports from; the lock is held.
func (c *siteCore) gatewayPoints() []probe.Point {
	var out []probe.Point
	for _, origin := range c.imports.All() {
		if c.memberOf(origin.Origin).Incarnation == origin.Version.Incarnation {
			out = append(out, c.out.points(origin.Origin)...)
		}
	}
	return out
}

// findings are what the site's own probes show, for the others.
func (c *siteCore) findings() []verdict.Finding {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []verdict.Finding
	for _, p := range c.gatewayPoints() {
		// A zone means something on this machine only.
		if p.Address.Zone() == "" {
			out = append(out, verdict.Finding{Address: p.Judged(), State: p.State, Since: p.Since})
		}
	}
	return out
}

// verdictRecords are the records that tell of verdicts, sorted by key.
func (c *siteCore) verdictRecords(sets []model.VerdictSet) []model.Record {
	out := make([]model.Record, len(sets))
	for i := range sets {
		out[i] = model.Record{Cluster: c.member.Cluster, Verdicts: &sets[i]}
	}
	return out
}

// routePoints are points as route judges them: what nobody knows anything of counts as reachable. The lock is held.
func (c *siteCore) routePoints(points []probe.Point) []route.GatewayPoint {
	out := make([]route.GatewayPoint, len(points))
	for i, p := range points {
		out[i] = route.GatewayPoint{
			Address: p.Address.String(), Port: p.Port, Locality: p.Locality, Draining: p.Draining,
			Reach:    reachability(verdict.Judge(p.State, c.beliefs.others.On(p.Judged())).State),
			Degraded: p.Degraded,
		}
	}
	return out
}

func reachability(s verdict.State) route.Reachability {
	switch s {
	case verdict.Good:
		return route.ReachGood
	case verdict.Bad:
		return route.ReachBad
	default:
		return route.ReachUnknown
	}
}

// maxAvoided bounds what a status record says of gateways.
const maxAvoided = 50

// avoided says which gateways calls avoid, and why or who says so; the lock is held.
func (c *siteCore) avoided() []string {
	var out []string
	for _, p := range c.gatewayPoints() {
		voices := c.beliefs.others.On(p.Judged())
		switch {
		case verdict.Judge(p.State, voices).State == verdict.Bad:
			out = append(out, unreachableText(p, voices))
		case p.Degraded:
			out = append(out, degradedText(p))
		}
	}
	if more := len(out) - maxAvoided; more > 0 {
		out = append(out[:maxAvoided], fmt.Sprintf("… and %d more gateways are avoided", more))
	}
	return out
}

func degradedText(p probe.Point) string {
	return fmt.Sprintf("the path to gateway %s of %s at %s port %d is degraded: calls go elsewhere where they can", p.Gateway, p.Cluster, p.Address, p.Port)
}

// unreachableText leaves out why the last probe failed: it changes with each, and every change would be published.
func unreachableText(p probe.Point, others verdict.Voices) string {
	text := fmt.Sprintf("gateway %s of %s at %s port %d", p.Gateway, p.Cluster, p.Address, p.Port)
	if p.State == verdict.Bad {
		text += " is unreachable since " + p.Since.UTC().Format(time.RFC3339)
		if len(others.Bad) > 0 {
			text += ", also for " + namesText(others.Bad)
		}
	} else {
		text += " has not answered yet and is unreachable for " + namesText(others.Bad)
	}
	if len(others.Good) > 0 {
		text += "; " + namesText(others.Good) + " can reach it"
	}
	return text
}

// namesText lists a few names.
func namesText(names []model.ClusterName) string {
	const few = 5
	list := make([]string, 0, few)
	for _, n := range names[:min(len(names), few)] {
		list = append(list, string(n))
	}
	text := strings.Join(list, ", ")
	if more := len(names) - few; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
