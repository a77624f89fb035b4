package main

// measure registers what an operator watches on a proxy.
func (p *proxyParts) measure() {
	gauge(p.registry, "proxy_ready", "1 while nothing keeps the proxy from being ready", func() float64 {
		return boolGauge(len(p.state.notReady()) == 0)
	})
	gauge(p.registry, "agent_connected", "1 while the proxy follows its agent's configuration", func() float64 { return boolGauge(p.relay.Connected()) })
	gauge(p.registry, "agent_attached", "1 while the agent holds the registration over a stream", func() float64 { return boolGauge(p.client.Attached()) })
	gauge(p.registry, "nacks", "configurations that the Envoy refuses at the moment", func() float64 { return float64(len(p.cache.Nacks(selfClass))) })
	gauge(p.registry, "configuration_settled", "1 while the Envoy has accepted all of its configuration", func() float64 { return boolGauge(p.cache.Settled(selfClass)) })
	gauge(p.registry, "certificate_expiry_seconds", "time until the workload's certificate ends", func() float64 {
		return p.identity.Expiry().Sub(p.clock.Now()).Seconds()
	})
}
