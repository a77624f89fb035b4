package main

import (
	"net"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/verdict"
)

// gatewayView is what an operator is told of one address of another cluster's gateway.
type gatewayView = model.GatewayFinding

// gateways lists what is known of the gateways that this cluster imports from.
func (c *siteCore) gateways() []gatewayView {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := []gatewayView{}
	for _, p := range c.gatewayPoints() {
		voices := c.beliefs.others.On(p.Judged())
		j := verdict.Judge(p.State, voices)
		v := gatewayView{
			Cluster: p.Cluster, Gateway: p.Gateway, Address: net.JoinHostPort(p.Address.String(), strconv.Itoa(int(p.Port))),
			Draining: p.Draining, Reachable: j.State.String(), Own: p.State.String(), LastError: p.LastError,
			ConnectSeconds: p.Connect.Seconds(), ProbeSeconds: p.RTT.Seconds(),
			GoodFor: voices.Good, BadFor: voices.Bad, Suspicious: j.Suspicious,
			Degraded: p.Degraded,
		}
		if !p.Since.IsZero() {
			v.Since = &p.Since
		}
		out = append(out, v)
	}
	return out
}

// maxGatewayMetrics bounds the addresses that metrics tell of one by one: other clusters decide how many there are.
const maxGatewayMetrics = 1000

// gatewayMetrics tells of each gateway address; it is a prometheus.Collector.
type gatewayMetrics struct {
	reachable, probe *prometheus.Desc
	gateways         func() []gatewayView
}

func newGatewayMetrics(gateways func() []gatewayView) gatewayMetrics {
	labels := []string{"cluster", "gateway", "address"}
	return gatewayMetrics{
		reachable: prometheus.NewDesc("hanse_gateway_reachable",
			"1 when calls may use the gateway's address, 0 when they avoid it; absent while nothing is known", labels, nil),
		probe:    prometheus.NewDesc("hanse_gateway_probe_seconds", "how long the last successful probe took: TCP, TLS and an answer", labels, nil),
		gateways: gateways,
	}
}

// Describe sends what Collect may send.
func (m gatewayMetrics) Describe(out chan<- *prometheus.Desc) {
	out <- m.reachable
	out <- m.probe
}

// Collect sends a sample for each address that is known.
func (m gatewayMetrics) Collect(out chan<- prometheus.Metric) {
	list := m.gateways()
	for _, g := range list[:min(len(list), maxGatewayMetrics)] {
		labels := []string{string(g.Cluster), g.Gateway, g.Address}
		switch g.Reachable {
		case verdict.Good.String():
			out <- prometheus.MustNewConstMetric(m.reachable, prometheus.GaugeValue, 1, labels...)
		case verdict.Bad.String():
			out <- prometheus.MustNewConstMetric(m.reachable, prometheus.GaugeValue, 0, labels...)
		}
		if g.ProbeSeconds > 0 {
			out <- prometheus.MustNewConstMetric(m.probe, prometheus.GaugeValue, g.ProbeSeconds, labels...)
		}
	}
}

// measureGateways registers what an operator watches of other clusters' gateways.
func (a *agentParts) measureGateways() {
	count := func(counts func(gatewayView) bool) func() float64 {
		return func() float64 {
			n := 0
			for _, g := range a.core.gateways() {
				if counts(g) {
					n++
				}
			}
			return float64(n)
		}
	}
	gauge(a.registry, "gateways_unreachable", "addresses of other clusters' gateways that calls avoid",
		count(func(g gatewayView) bool { return g.Reachable == verdict.Bad.String() }))
	gauge(a.registry, "gateways_degraded", "addresses of other clusters' gateways to which the path has become much longer or loses packets",
		count(func(g gatewayView) bool { return g.Degraded }))
	gauge(a.registry, "gateways_suspicious", "addresses of other clusters' gateways of which another prober says the opposite",
		count(func(g gatewayView) bool { return g.Suspicious }))
	a.registry.MustRegister(newGatewayMetrics(a.core.gateways), prometheus.NewCounterFunc(
		prometheus.CounterOpts{Namespace: "hanse", Name: "gateway_probes_total", Help: "probes of other clusters' gateways"},
		func() float64 { return float64(a.prober.Probes()) }))
}
