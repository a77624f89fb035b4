package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/gateway/route"
)

// confirmedEvery is how often the disk is told at least that others are alive: a restart takes nothing for fresher than the disk says.
const confirmedEvery = time.Minute

// age ends the holds of what vanished in a mass, and notes which clusters' records have become stale or are so no more. It returns
// whether calls may have to go elsewhere, and when to look again.
func (c *siteCore) age(now time.Time) (changed bool, next time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ageLocked(now)
}

// ageLocked is age with the lock held.
func (c *siteCore) ageLocked(now time.Time) (changed bool, next time.Time) {
	changed, next = c.imports.Expire(now)
	if changed {
		c.news()
		c.unsaved[cacheFile] = true
	}
	stale := map[model.ClusterName]bool{}
	for _, origin := range c.imports.All() {
		due := origin.ConfirmedAt.Add(route.StaleAfter)
		switch {
		case !due.After(now):
			stale[origin.Origin] = true
		case next.IsZero() || due.Before(next):
			next = due
		}
		if stale[origin.Origin] != c.stale[origin.Origin] {
			changed = true
			c.logger.Info("another cluster's records", "cluster", origin.Origin, "stale", stale[origin.Origin], "confirmed", origin.ConfirmedAt)
		}
		if origin.ConfirmedAt.Sub(c.confirmed) >= confirmedEvery {
			c.confirmed, c.unsaved[cacheFile] = origin.ConfirmedAt, true
		}
	}
	c.stale = stale
	return changed, next
}

// importStatus is what an agent holds of one other cluster.
type importStatus struct {
	Cluster model.ClusterName `json:"cluster"`
	// Complete is false until the first full state has come.
	Complete bool   `json:"complete"`
	Epoch    uint64 `json:"epoch"`
	Seq      uint64 `json:"seq"`
	Instance string `json:"instance"`
	// AgeSeconds is the time since the cluster's agent last confirmed it, by this machine's clock.
	AgeSeconds float64 `json:"ageSeconds"`
	Stale      bool    `json:"stale"`
	Services   int     `json:"services"`
	// Held says which of the services vanished in a mass and stay in force for a while.
	Held        []string `json:"held,omitempty"`
	HeldRecords int      `json:"heldServices"`
}

// importing describes what is held of the other members that open something to this cluster.
func (c *siteCore) importing(now time.Time) []importStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.view == nil {
		return nil
	}
	held := map[model.ClusterName]catalog.Imported{}
	for _, origin := range c.imports.All() {
		held[origin.Origin] = origin
	}
	out := []importStatus{}
	for _, m := range c.view.ClusterList() {
		if m.Name == c.member.Cluster {
			continue
		}
		s := importStatus{Cluster: m.Name}
		if origin, ok := held[m.Name]; ok && origin.Version.Incarnation == m.Incarnation {
			s = importStatus{
				Cluster: m.Name, Complete: true, Epoch: origin.Version.Epoch, Seq: origin.Version.Seq, Instance: origin.Instance,
				AgeSeconds: max(0, now.Sub(origin.ConfirmedAt).Seconds()), Stale: c.stale[m.Name], Held: origin.Held, HeldRecords: origin.HeldRecords,
			}
			for _, r := range origin.Records {
				if r.Service != nil {
					s.Services++
				}
			}
		}
		out = append(out, s)
	}
	return out
}

// importMetrics is what an operator watches of what an agent imports.
type importMetrics struct{ imports func() []importStatus }

var (
	importAgeDesc  = metricDesc("import_age_seconds", "time since the other cluster's agent last confirmed what is imported of it, by this machine's clock", "cluster")
	importHeldDesc = metricDesc("imports_held", "services of other clusters that vanished in a mass and stay in force for a while")
)

// Describe sends no description: the set of clusters changes.
func (importMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect reads what is imported.
func (m importMetrics) Collect(out chan<- prometheus.Metric) {
	held := 0
	for _, s := range m.imports() {
		held += s.HeldRecords
		if s.Complete {
			out <- prometheus.MustNewConstMetric(importAgeDesc, prometheus.GaugeValue, s.AgeSeconds, string(s.Cluster))
		}
	}
	out <- prometheus.MustNewConstMetric(importHeldDesc, prometheus.GaugeValue, float64(held))
}
