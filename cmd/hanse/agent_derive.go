package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/export"
	"github.com/hanse-mesh/hanse/cluster-agent/probe"
	"github.com/hanse-mesh/hanse/gateway/route"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

// build derives the site's snapshot; nil while too little is known to configure any Envoy. It is for one goroutine, the publisher's.
func (c *siteCore) build() *snapshot.Snapshot {
	in, ok := c.inputs()
	if !ok {
		return nil
	}
	s, next := c.built.Build(in)
	c.built = next
	return s
}

// inputs gathers what a snapshot is derived from.
func (c *siteCore) inputs() (snapshot.Inputs, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.facts.complete() {
		return snapshot.Inputs{}, false
	}
	in := snapshot.Inputs{
		Federation: c.member.Federation, Cluster: c.member.Cluster, TrustDomain: c.member.TrustDomain,
		Workloads: c.facts.current(),
		Gateways:  map[model.ClusterName][]route.GatewayPoint{},
		Members:   map[model.ClusterName]model.Cluster{c.member.Cluster: c.own()},
		VIPs:      c.vips, EgressPorts: c.egressPorts,
		Ramps: c.failback.Ramps(),
	}
	for k, e := range c.facts.exports {
		if _, refused := c.unexported[k]; !refused {
			in.OwnExports = append(in.OwnExports, e)
		}
	}
	if c.view != nil {
		in.Index, in.Members, in.Failover = c.view.Index, c.view.Clusters, c.view.FailoverList()
		in.Exports, in.Takes = c.view.ExportList(), c.view.ImportList()
	}
	for _, origin := range c.imports.All() {
		if c.memberOf(origin.Origin).Incarnation != origin.Version.Incarnation {
			continue
		}
		for _, r := range origin.Records {
			if r.Service != nil {
				in.Imports = append(in.Imports, snapshot.Import{Cluster: origin.Origin, Record: *r.Service, Stale: c.stale[origin.Origin]})
			}
		}
		in.Gateways[origin.Origin] = c.routePoints(c.out.points(origin.Origin))
	}
	for _, e := range c.bundles.Entries() {
		if e.Bundle.TrustDomain == c.member.TrustDomain || c.trusted(e.Bundle.TrustDomain) {
			in.Bundles = append(in.Bundles, e.Bundle)
		}
	}
	return in, true
}

// isMember reports whether a trust domain is a member's.
func (c *siteCore) isMember(trustDomain string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trusted(trustDomain)
}

// trusted is isMember with the lock held.
func (c *siteCore) trusted(trustDomain string) bool {
	if c.view == nil {
		return false
	}
	_, ok := c.view.ClusterByTrustDomain(trustDomain)
	return ok
}

// targets are the gateways that this cluster imports from.
func (c *siteCore) targets() []probe.Target {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []probe.Target
	for _, origin := range c.imports.All() {
		for _, r := range origin.Records {
			for _, g := range r.Gateways {
				out = append(out, probe.Target{
					Cluster: origin.Origin, Gateway: g.Name, Address: g.Address, Port: g.Port, Locality: g.Locality, Draining: g.Draining,
					SNI: model.GatewaySNI(origin.Origin, c.member.Federation),
				})
			}
		}
	}
	return out
}

// records are what the site publishes but for its verdicts, sorted by key, once it knows both its workloads and the federation's rules.
func (c *siteCore) records() ([]model.Record, bool) {
	status := c.out.status()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.facts.complete() || c.view == nil {
		return nil, false
	}
	out := c.facts.ledger.Records(c.terms())
	if !maps.Equal(c.unexported, out.Refusals) {
		c.news()
	}
	c.dropped, c.unexported = out.Reasons, out.Refusals
	status.Dropped = append(status.Dropped, out.Reasons...)
	for _, r := range c.refused {
		status.Dropped = append(status.Dropped, fmt.Sprintf("the federation refuses %s: %s", r.Key, r.Reason))
	}
	for _, origin := range c.imports.All() {
		status.Dropped = append(status.Dropped, origin.Refused...)
		status.Held = append(status.Held, origin.Held...)
	}
	for _, e := range c.bundles.Entries() {
		if e.Introduced {
			status.Introduced = append(status.Introduced, introducedText(e.Bundle.TrustDomain, e.Sole))
		}
	}
	status.Dropped = append(status.Dropped, c.avoided()...)
	slices.Sort(status.Dropped)
	return append(out.Records, model.Record{Cluster: c.member.Cluster, Status: &status}), true
}

// terms are what the federation says of what this site may publish; c.mu is held.
func (c *siteCore) terms() export.Terms {
	return export.Terms{Cluster: c.own(), Rules: c.rules, ByExport: c.facts.kubernetes(), Gateways: c.facts.gateways}
}

func introducedText(trustDomain string, sole bool) string {
	if sole {
		return trustDomain + " (by one node: no second one could be asked)"
	}
	return trustDomain
}

// problemsFor lists what of a workload's registration cannot be offered.
func problemsFor(s *snapshot.Snapshot, id string) []string {
	if s == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(s.Workloads, id, func(w *snapshot.Workload, id string) int { return strings.Compare(w.ID, id) })
	if !ok {
		return nil
	}
	return s.Workloads[i].Problems
}
