package xds

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	upstreamhttpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

// siteRetries is how many more workloads a gateway tries that answers for them.
const siteRetries = 2

// terminate adds what stands behind one SNI that a gateway answers for, and returns its filter chain.
//
// Calls of HTTP ports are taken apart and spread one by one: a connection that was only passed on would hold its calls to one workload, and
// fail them when that goes. A call that did not reach one workload is sent to another, and told as not reached when there is none. Callers
// are refused as workloads' own Envoys refuse them, see inboundPort.
func (b *builder) terminate(t *snapshot.Terminated) (chain func() *listenerv3.FilterChain, key string, ok bool) {
	sessions := !t.Protocol.IsHTTP() && t.Protocol != model.ProtocolUDP
	var trust string
	if sessions {
		trust, ok = b.trustOf(t.Callers)
	} else {
		trust, ok = b.trustAll()
	}
	if !ok {
		b.problem("gateway", "no trust bundle is known of those who may call %s", t.SNI)
		return nil, "", false
	}
	cluster := b.part(t.Digest+"/terminated", func() *Resource { return terminatedCluster(t) })
	b.add(ClusterType, cluster)
	b.add(EndpointType, b.part(t.Digest+"/endpoints", func() *Resource { return terminatedEndpoints(t, cluster.Version) }))
	if sessions {
		return func() *listenerv3.FilterChain { return sessionChain(t.SNI, trust) }, t.SNI + "|" + trust, true
	}
	b.add(RouteType, b.part(t.Digest+"/routes", func() *Resource { return terminatedConfig(t) }))
	udp := t.Protocol == model.ProtocolUDP
	return func() *listenerv3.FilterChain { return callChain(t.SNI, trust, udp) }, t.SNI + "|" + trust, true
}

// terminatedCluster is what a gateway reaches workloads by that have no Envoy.
func terminatedCluster(t *snapshot.Terminated) *Resource {
	c := remoteCluster(t.SNI, 1, siteConnectTimeout)
	switch {
	case t.Protocol == model.ProtocolUDP:
		c.UpstreamConnectionOptions, c.OutlierDetection = nil, nil
	case t.Protocol.IsHTTP():
		options := &upstreamhttpv3.HttpProtocolOptions{
			CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{IdleTimeout: duration(appIdleTimeout)},
			UpstreamProtocolOptions:   explicitHTTP1(),
		}
		if t.Protocol != model.ProtocolHTTP {
			options.UpstreamProtocolOptions = explicitHTTP2(&corev3.Http2ProtocolOptions{})
		}
		c.TypedExtensionProtocolOptions = httpOptions(options)
		c.UpstreamBindConfig = &corev3.BindConfig{SocketOptions: []*corev3.SocketOption{userTimeout(silence)}}
	}
	return resource(t.SNI, c)
}

func terminatedEndpoints(t *snapshot.Terminated, clusterVersion string) *Resource {
	out := &endpointv3.ClusterLoadAssignment{ClusterName: t.SNI}
	if len(t.Endpoints) > 0 {
		out.Endpoints = []*endpointv3.LocalityLbEndpoints{{Locality: &corev3.Locality{}, LbEndpoints: lbEndpoints(t.Endpoints)}}
	}
	return resource(t.SNI, out, clusterVersion)
}

// sessionChain leads the sessions of those whom the context admits to a workload.
func sessionChain(sni, trust string) *listenerv3.FilterChain {
	chain := passthroughChain(sni)
	chain.TransportSocket = serverTLS(trust)
	return chain
}

// callChain takes calls apart. Datagrams come as calls, too (RFC 9298).
func callChain(sni, trust string, udp bool) *listenerv3.FilterChain {
	m := inboundManager(inboundPrefix+statName(sni), sni)
	if udp {
		m.UpgradeConfigs = append(m.UpgradeConfigs, upgradeUDP())
	}
	chain := tlsChain(sni)
	chain.TransportSocket = serverTLS(trust, "h2", "http/1.1")
	chain.Filters = []*listenerv3.Filter{connectionLimit(terminatedPrefix + statName(sni)), managerFilter(m)}
	return chain
}

// terminatedConfig leads calls to workloads, as inboundConfig does to one.
func terminatedConfig(t *snapshot.Terminated) *Resource {
	routes := []*routev3.Route{siteRoute(t, safeMethods(), siteRetrySafeOn), siteRoute(t, anyPath(), siteRetryOn)}
	if t.Protocol == model.ProtocolUDP {
		routes = []*routev3.Route{udpRoute(t)}
	}
	return resource(t.SNI, &routev3.RouteConfiguration{
		Name:         t.SNI,
		VirtualHosts: []*routev3.VirtualHost{{Name: t.SNI, Domains: []string{"*"}, Routes: routes}},
	})
}

// What a gateway tries again: an application can not say that it was not reached.
const (
	siteRetryOn     = "connect-failure,refused-stream,reset-before-request"
	siteRetrySafeOn = siteRetryOn + ",reset"
)

func siteRoute(t *snapshot.Terminated, match *routev3.RouteMatch, on string) *routev3.Route {
	retry := retryPolicy(on)
	retry.NumRetries, retry.RetriableHeaders, retry.RetryPriority = u32(siteRetries), nil, nil
	return &routev3.Route{
		Match: match,
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: t.SNI},
			Timeout:          seconds(0),
			RetryPolicy:      retry,
		}},
		ResponseHeadersToRemove: []string{notReachedHeader},
		TypedPerFilterConfig:    map[string]*anypb.Any{rbacFilter: pack(permit(t.Callers))},
	}
}
