package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/cluster-agent/mcs"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
	"github.com/hanse-mesh/hanse/trust/authz"
)

// abroad is what the federation says to a Kubernetes cluster.
type abroad struct {
	remotes []mcs.Remote
	// refusals say why exports of this cluster are not let out. known are the exports that they are about.
	refusals map[model.ServiceKey]string
	known    map[model.ServiceKey]bool
}

// abroad gathers what other clusters export to this one, and what is refused of its own. It is false while that may be less than there is:
// what an API server says is not taken back because of what is merely unknown.
func (c *siteCore) abroad(families []string, now time.Time) (abroad, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.facts.complete() || !c.told(now) {
		return abroad{}, false
	}
	out := abroad{refusals: maps.Clone(c.facts.ledger.Records(c.terms()).Refusals), known: map[model.ServiceKey]bool{}}
	for k := range c.facts.exports {
		out.known[k] = true
	}
	for _, r := range c.refused {
		if k, ok := model.CutRecordKey(r.Key); ok {
			out.refusals[k] = "the federation refuses it: " + r.Reason
		}
	}
	for _, origin := range c.imports.All() {
		m := c.memberOf(origin.Origin)
		if m.Incarnation != origin.Version.Incarnation {
			continue
		}
		for _, r := range origin.Records {
			if r.Service == nil || authz.CheckRecord(m, c.rules, r) != nil || !c.open(origin.Origin, r.Service.Service) {
				continue
			}
			out.remotes = append(out.remotes, mcs.Remote{Cluster: origin.Origin, Export: exportOrStandIn(*r.Service, m, families), StandIn: r.Service.Export == nil})
		}
	}
	return out, true
}

// told reports whether every member that opens something to this cluster has been heard, once and for all: after a restart the disk says so.
func (c *siteCore) told(now time.Time) bool {
	if c.toldOnce || c.view == nil {
		return c.toldOnce && c.view != nil
	}
	heard := map[model.ClusterName]bool{}
	for _, origin := range c.imports.All() {
		heard[origin.Origin] = c.memberOf(origin.Origin).Incarnation == origin.Version.Incarnation
	}
	settled := !c.session.since.IsZero() && !now.Before(c.session.since.Add(settleTime))
	for name, m := range c.view.Clusters {
		if name != c.member.Cluster && policy.ExportsAnything(c.rules, m, c.member.Cluster) && !heard[name] && !settled {
			return false
		}
	}
	c.toldOnce, c.unsaved[cacheFile] = true, true
	return true
}

// standInEpoch is after the creation of any ServiceExport.
const standInEpoch = 1 << 37

// exportOrStandIn is what a record says of its ServiceExport, or what stands in for one: services of sites that are no Kubernetes clusters
// are called by the same names. They give way to exports, and among themselves to the older member, as they do in a snapshot.
func exportOrStandIn(r model.ServiceRecord, m model.Cluster, families []string) model.ServiceExport {
	if r.Export != nil {
		return *r.Export
	}
	e := model.ServiceExport{
		Service: r.Service, CreatedAt: time.Unix(standInEpoch+int64(m.Incarnation), 0), SessionAffinity: "None", Ports: slices.Clone(r.Ports),
	}
	for _, f := range families {
		e.IPFamilies = append(e.IPFamilies, model.IPFamily(f))
	}
	if len(e.IPFamilies) == 0 {
		e.IPFamilies = []model.IPFamily{model.IPv4}
	}
	if len(e.Ports) > 1 {
		// A Service with several ports must name each.
		for i, p := range e.Ports {
			e.Ports[i].Name = cmp.Or(p.Name, fmt.Sprintf("port-%d", p.Number))
		}
	}
	return e
}

// recoverEgress takes the egress ports that the cluster's API server remembers; what the disk knew counts more.
func (c *siteCore) recoverEgress(ports map[mcs.PortKey]uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := maps.Clone(ports)
	if next == nil {
		next = map[mcs.PortKey]uint16{}
	}
	maps.Copy(next, c.egress)
	c.setEgress(next)
}

// maxEgressKept is how many egress ports there may be before those of services that are gone are given up.
const maxEgressKept = (mcs.LastEgressPort - mcs.FirstEgressPort) / 2

// allotEgress keeps the egress ports of what can be called, and returns them. Ports of services that are gone are kept for their return,
// while there is room. The error says what has none.
func (c *siteCore) allotEgress(wanted []mcs.PortKey) (map[mcs.PortKey]uint16, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(wanted)+len(c.egress) <= maxEgressKept {
		wanted = slices.AppendSeq(slices.Clone(wanted), maps.Keys(c.egress))
	}
	next, err := mcs.AllotPorts(c.egress, wanted, mcs.FirstEgressPort, mcs.LastEgressPort)
	if !maps.Equal(next, c.egress) {
		c.setEgress(next)
		c.changed(cacheFile)
	}
	return next, err
}

// setEgress replaces the egress ports: who has read them may keep them. It is called with the lock held.
func (c *siteCore) setEgress(ports map[mcs.PortKey]uint16) {
	c.egress, c.egressPorts = ports, make(map[snapshot.EgressPort]uint16, len(ports))
	for k, port := range ports {
		c.egressPorts[snapshot.EgressPort(k)] = port
	}
}

// egressOnDisk is one egress port in the cache.
type egressOnDisk struct {
	mcs.PortKey
	Port uint16 `json:"port"`
}

// news tells the importer that what the federation says may be other than it was. It is called with the lock held.
func (c *siteCore) news() {
	select {
	case c.heard <- struct{}{}:
	default:
	}
}
