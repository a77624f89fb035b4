package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/gossip"
)

// gossipMetrics is what an operator watches of the catalog's spread. It reads everything once per scrape, so that the counters fit
// together.
type gossipMetrics struct {
	stats   func() gossip.Stats
	peers   func() []gossip.Peer
	charges func() map[model.ClusterName]gossip.Charge
}

// gossipCounters are the parts of gossip.Stats, each with the name of its metric.
var gossipCounters = []struct {
	desc  *prometheus.Desc
	value func(gossip.Stats) uint64
}{
	{metricDesc("gossip_batches_in_total", "batches taken from other nodes"), func(s gossip.Stats) uint64 { return s.BatchesIn }},
	{metricDesc("gossip_batches_out_total", "batches sent to other nodes"), func(s gossip.Stats) uint64 { return s.BatchesOut }},
	{metricDesc("gossip_full_batches_out_total", "batches sent that stated an origin in full"), func(s gossip.Stats) uint64 { return s.FullsOut }},
	{metricDesc("gossip_bytes_in_total", "bytes of the records in batches taken"), func(s gossip.Stats) uint64 { return s.BytesIn }},
	{metricDesc("gossip_bytes_out_total", "bytes of the records in batches sent"), func(s gossip.Stats) uint64 { return s.BytesOut }},
	{metricDesc("gossip_redundant_batches_total", "batches taken that were held already"), func(s gossip.Stats) uint64 { return s.Asked.Redundant }},
	{metricDesc("gossip_haves_in_total", "short news taken from other nodes, in origins"), func(s gossip.Stats) uint64 { return s.HavesIn }},
	{metricDesc("gossip_haves_out_total", "short news sent to other nodes, in origins"), func(s gossip.Stats) uint64 { return s.HavesOut }},
	{metricDesc("gossip_pulls_in_total", "pulls that other nodes have sent"), func(s gossip.Stats) uint64 { return s.PullsIn }},
	{metricDesc("gossip_pulls_out_total", "pulls sent to other nodes"), func(s gossip.Stats) uint64 { return s.Asked.Pulls }},
	{metricDesc("gossip_grafts_total", "pulls that replaced a link which ended or was late"), func(s gossip.Stats) uint64 { return s.Asked.Grafts }},
	{metricDesc("gossip_prunes_in_total", "prunes that other nodes have sent"), func(s gossip.Stats) uint64 { return s.PrunesIn }},
	{metricDesc("gossip_prunes_out_total", "prunes sent to other nodes"), func(s gossip.Stats) uint64 { return s.Asked.Prunes }},
	{metricDesc("gossip_gaps_total", "batches taken that led on from what was not held"), func(s gossip.Stats) uint64 { return s.Gaps }},
	{metricDesc("gossip_repairs_total", "times that another node held what this one had been lacking"), func(s gossip.Stats) uint64 { return s.Repairs }},
	{metricDesc("gossip_refused_total", "malformed batches and haves"), func(s gossip.Stats) uint64 { return s.Refused }},
}

// The origin label is empty for what came of origins that are not held.
var (
	followedDesc = metricDesc("gossip_followed_nodes", "nodes whose catalog is followed over a stream")
	aliveDesc    = metricDesc("gossip_alive_nodes", "other nodes that are taken for alive")
	batchesDesc  = metricDesc("catalog_batches_total", "batches that were offered of an origin", "origin")
	bytesDesc    = metricDesc("catalog_bytes_total", "bytes of the records in batches that were offered of an origin", "origin")
	clonesDesc   = metricDesc("catalog_clones_total", "batches of an origin as which two processes publish", "origin")
	refusedDesc  = metricDesc("catalog_refused_total", "batches of an origin that exceeded a limit", "origin")
)

func metricDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName("hanse", "", name), help, labels, nil)
}

// Describe sends no description: the set of origins changes.
func (gossipMetrics) Describe(chan<- *prometheus.Desc) {}

// Collect reads everything.
func (g gossipMetrics) Collect(out chan<- prometheus.Metric) {
	stats := g.stats()
	for _, c := range gossipCounters {
		out <- prometheus.MustNewConstMetric(c.desc, prometheus.CounterValue, float64(c.value(stats)))
	}
	followed, alive := 0, 0
	for _, p := range g.peers() {
		if p.Connected {
			followed++
		}
		if p.Alive {
			alive++
		}
	}
	out <- prometheus.MustNewConstMetric(followedDesc, prometheus.GaugeValue, float64(followed))
	out <- prometheus.MustNewConstMetric(aliveDesc, prometheus.GaugeValue, float64(alive))
	for origin, c := range g.charges() {
		out <- prometheus.MustNewConstMetric(batchesDesc, prometheus.CounterValue, float64(c.Batches), string(origin))
		out <- prometheus.MustNewConstMetric(bytesDesc, prometheus.CounterValue, float64(c.Bytes), string(origin))
		out <- prometheus.MustNewConstMetric(clonesDesc, prometheus.CounterValue, float64(c.Clones), string(origin))
		out <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(c.Refused), string(origin))
	}
}
