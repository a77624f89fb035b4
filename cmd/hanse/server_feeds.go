package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/server"
	"github.com/hanse-mesh/hanse/federation/state"
)

// feedMetrics is what an operator watches of each member's feed at a federation node.
type feedMetrics struct {
	view    func() *state.View
	origins func() []catalog.Origin
	feed    func(catalog.Origin) server.Feed
}

var (
	feedAgeDesc      = metricDesc("feed_age_seconds", "time since the cluster's agent last confirmed what is held, by this node's clock", "cluster")
	feedCompleteDesc = metricDesc("feed_complete", "1 when the cluster's full state is held, 0 before the first one", "cluster")
	feedRecordsDesc  = metricDesc("feed_records", "records held of the cluster", "cluster")
	feedBytesDesc    = metricDesc("feed_bytes", "bytes of the records held of the cluster", "cluster")
	feedSlowedDesc   = metricDesc("feed_slowed_total", "times that the cluster had to wait because it sent more than a node takes", "cluster")
	feedRivalsDesc   = metricDesc("feed_rival_publishers", "processes connected to this node that would publish as the cluster besides the one that does", "cluster")
)

// Describe sends no description: the set of clusters changes.
func (feedMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect reads every member's feed. One that has published nothing yet has no age.
func (m feedMetrics) Collect(out chan<- prometheus.Metric) {
	held := map[model.ClusterName]catalog.Origin{}
	for _, o := range m.origins() {
		held[o.Name] = o
	}
	for name, member := range m.view().Clusters {
		send := func(desc *prometheus.Desc, kind prometheus.ValueType, v float64) {
			out <- prometheus.MustNewConstMetric(desc, kind, v, string(name))
		}
		o, ok := held[name]
		if !ok || o.Version.Incarnation != member.Incarnation {
			send(feedCompleteDesc, prometheus.GaugeValue, 0)
			continue
		}
		f := m.feed(o)
		send(feedCompleteDesc, prometheus.GaugeValue, 1)
		send(feedAgeDesc, prometheus.GaugeValue, f.Age.Seconds())
		send(feedRecordsDesc, prometheus.GaugeValue, float64(o.Records))
		send(feedBytesDesc, prometheus.GaugeValue, float64(o.Bytes))
		send(feedSlowedDesc, prometheus.CounterValue, float64(f.Slowed))
		send(feedRivalsDesc, prometheus.GaugeValue, float64(len(f.Rivals)))
	}
}
