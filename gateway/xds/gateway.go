package xds

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	connectionlimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/connection_limit/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

const (
	// gatewayBuffer bounds what one connection may hold in each direction, in bytes.
	gatewayBuffer = 256 << 10
	// gatewayConnections is how many connections one SNI may hold at a gateway: one service can not use up all of it.
	gatewayConnections = 20000
	// gatewayRefusal is how long a connection over the limit is held before it is closed, so that it is not tried again at once.
	gatewayRefusal = 100 * time.Millisecond
)

// gateway adds what an east-west gateway passes on, and what it answers for: its own name, which probes dial, and workloads without an Envoy.
// It refuses every SNI that is not exported.
func (b *builder) gateway(w *snapshot.Workload) {
	at, err := parseBind(w.Gateway.Bind)
	if err != nil {
		b.problem("gateway", "bind %v", err)
		return
	}
	own := model.GatewaySNI(b.s.Cluster, b.s.Federation)
	parts := []string{at.String(), own}
	trust, ok := b.trustAll()
	if ok {
		parts = append(parts, trust)
	} else {
		b.problem("gateway", "no trust bundle is known: probes of %s are refused", own)
	}
	var answered []func() *listenerv3.FilterChain
	for _, t := range b.s.Terminated {
		if chain, key, ok := b.terminate(t); ok {
			answered, parts = append(answered, chain), append(parts, key)
		}
	}
	for _, p := range b.s.Passthrough {
		cluster := b.part(p.Digest+"/passthrough|"+trust, func() *Resource { return b.passthroughCluster(p, trust) })
		b.add(ClusterType, cluster)
		b.add(EndpointType, b.part(p.Digest+"/endpoints|"+trust, func() *Resource { return passthroughEndpoints(p, cluster.Version) }))
		parts = append(parts, p.SNI)
	}
	b.listen(at, "gateway", digest(parts...)+"/gateway", func() *Resource {
		var chains []*listenerv3.FilterChain
		if ok {
			chains = append(chains, probeChain(own, trust))
		}
		for _, p := range b.s.Passthrough {
			chains = append(chains, passthroughChain(p.SNI))
		}
		for _, chain := range answered {
			chains = append(chains, chain())
		}
		l := tlsListener("gateway", at, chains)
		l.PerConnectionBufferLimitBytes = u32(gatewayBuffer)
		return resource("gateway", l)
	})
}

func passthroughChain(sni string) *listenerv3.FilterChain {
	chain := tlsChain(sni)
	stat := passthroughPrefix + statName(sni)
	chain.Filters = []*listenerv3.Filter{connectionLimit(stat), tcpProxy(stat, sni)}
	return chain
}

// probeChain answers checks and probes with "ok" to whoever proves an identity of a trusted domain.
func probeChain(sni, trust string) *listenerv3.FilterChain {
	m := httpManager("probe")
	m.RouteSpecifier = inlineRoutes(&routev3.RouteConfiguration{
		Name: "probe",
		VirtualHosts: []*routev3.VirtualHost{{Name: "probe", Domains: []string{"*"}, Routes: []*routev3.Route{{
			Match: anyPath(),
			Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{
				Status: 200,
				Body:   &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: "ok\n"}},
			}},
		}}}},
	})
	chain := tlsChain(sni)
	chain.TransportSocket = serverTLS(trust, "h2", "http/1.1")
	chain.Filters = []*listenerv3.Filter{connectionLimit("probe"), managerFilter(m)}
	return chain
}

func connectionLimit(stat string) *listenerv3.Filter {
	return networkFilter("envoy.filters.network.connection_limit", &connectionlimitv3.ConnectionLimit{
		StatPrefix:     stat,
		MaxConnections: wrapperspb.UInt64(gatewayConnections),
		Delay:          duration(gatewayRefusal),
	})
}
