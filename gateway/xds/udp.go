package xds

import (
	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	httpcapsulev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/udp/udp_proxy/session/http_capsule/v3"
	udpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/udp/udp_proxy/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

const (
	connectUDP = "CONNECT-UDP"
	// tunnelAttempts is how many gateways a session tries.
	tunnelAttempts = 5
	// heldDatagrams bounds what a session holds in bytes while its tunnel is being made: its first datagrams would be lost.
	heldDatagrams = 64 << 10
)

func upgradeUDP() *hcmv3.HttpConnectionManager_UpgradeConfig {
	return &hcmv3.HttpConnectionManager_UpgradeConfig{UpgradeType: connectUDP}
}

// udpRoute ends tunnels and sends their datagrams to a workload.
func udpRoute(t *snapshot.Terminated) *routev3.Route {
	return &routev3.Route{
		Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_ConnectMatcher_{ConnectMatcher: &routev3.RouteMatch_ConnectMatcher{}}},
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: t.SNI},
			Timeout:          seconds(0),
			UpgradeConfigs: []*routev3.RouteAction_UpgradeConfig{{
				UpgradeType: connectUDP, ConnectConfig: &routev3.RouteAction_UpgradeConfig_ConnectConfig{},
			}},
		}},
		TypedPerFilterConfig: map[string]*anypb.Any{rbacFilter: pack(permit(t.Callers))},
	}
}

// egressUDP offers a service port of datagrams.
//
// Envoy sends the sessions of one listener either through tunnels or as they are, never both. While workloads of this cluster are among those
// that take the calls, they take all; when none can, all go through tunnels to other clusters.
func (b *builder) egressUDP(name string, at address, sp *snapshot.ServicePort, from model.Locality) {
	local, _ := sp.For(from)
	if len(sp.Terminators) > 0 && !servedHere(local.Assignment) {
		if b.offer(sp, from) {
			key := sp.ConfigDigest + "/" + at.String() + "|" + name + "|tunnel"
			b.listen(at, name, key, func() *Resource { return udpListener(name, at, sp, sp.SNI, tunnel(sp)) })
		}
		return
	}
	direct := plainPrefix + sp.SNI
	cluster := b.part(sp.ConfigDigest+"/"+direct, func() *Resource { return directCluster(direct, sp.Affinity) })
	b.add(ClusterType, cluster)
	b.add(EndpointType, b.part(sp.Digest+"/endpoints|"+direct+"|"+from.String(), func() *Resource {
		plain := only(local.Assignment, isPlain)
		return assignmentResource(direct, cluster.Version, plain, nil)
	}))
	key := sp.ConfigDigest + "/" + at.String() + "|" + name + "|direct"
	b.listen(at, name, key, func() *Resource { return udpListener(name, at, sp, direct, nil) })
}

// servedHere reports whether workloads of this cluster are among those that take the calls.
func servedHere(a route.Assignment) bool {
	return len(a.Priorities) > 0 && len(only(route.Assignment{Priorities: a.Priorities[:1]}, isPlain).Priorities) > 0
}

func isPlain(e route.Endpoint) bool { return e.Via == route.ViaPlain }

// directCluster reaches this cluster's workloads. Datagrams tell nothing of who receives them: readiness is all that is known.
func directCluster(name string, affinity bool) *Resource {
	c := remoteCluster(name, 1, siteConnectTimeout)
	if affinity {
		byHash(c)
	}
	c.UpstreamConnectionOptions, c.OutlierDetection = nil, nil
	c.CommonLbConfig.LocalityConfigSpecifier = byLocality()
	return resource(name, c)
}

// tunnel has each session of datagrams go through a call of its own. The gateway knows the service by its name in the TLS handshake: what the
// call names decides nothing.
func tunnel(sp *snapshot.ServicePort) *udpproxyv3.UdpProxyConfig_UdpTunnelingConfig {
	return &udpproxyv3.UdpProxyConfig_UdpTunnelingConfig{
		ProxyHost: sp.Service.Host(), TargetHost: sp.Service.Host(), DefaultTargetPort: uint32(sp.Port.Number),
		RetryOptions:  &udpproxyv3.UdpProxyConfig_UdpTunnelingConfig_RetryOptions{MaxConnectAttempts: u32(tunnelAttempts)},
		BufferOptions: &udpproxyv3.UdpProxyConfig_UdpTunnelingConfig_BufferOptions{MaxBufferedBytes: wrapperspb.UInt64(heldDatagrams)},
	}
}

func udpListener(name string, at address, sp *snapshot.ServicePort, cluster string, t *udpproxyv3.UdpProxyConfig_UdpTunnelingConfig) *Resource {
	proxy := &udpproxyv3.UdpProxyConfig{
		StatPrefix:      egressPrefix + statName(sp.SNI),
		TunnelingConfig: t,
		// Envoy says of this field that it is new, and of the one before it that it goes.
		RouteSpecifier: &udpproxyv3.UdpProxyConfig_Matcher{Matcher: &xdsmatcherv3.Matcher{OnNoMatch: &xdsmatcherv3.Matcher_OnMatch{
			OnMatch: &xdsmatcherv3.Matcher_OnMatch_Action{Action: &xdscorev3.TypedExtensionConfig{
				Name: "route", TypedConfig: pack(&udpproxyv3.Route{Cluster: cluster}),
			}},
		}}},
	}
	if t != nil {
		proxy.SessionFilters = []*udpproxyv3.UdpProxyConfig_SessionFilter{{
			Name:       "envoy.filters.udp.session.http_capsule",
			ConfigType: &udpproxyv3.UdpProxyConfig_SessionFilter_TypedConfig{TypedConfig: pack(&httpcapsulev3.FilterConfig{})},
		}}
	}
	if sp.Affinity {
		proxy.HashPolicies = []*udpproxyv3.UdpProxyConfig_HashPolicy{{PolicySpecifier: &udpproxyv3.UdpProxyConfig_HashPolicy_SourceIp{SourceIp: true}}}
	}
	return resource(name, &listenerv3.Listener{
		Name:              name,
		Address:           at.proto(),
		TrafficDirection:  corev3.TrafficDirection_OUTBOUND,
		UdpListenerConfig: &listenerv3.UdpListenerConfig{},
		ListenerFilters: []*listenerv3.ListenerFilter{{
			Name:       "envoy.filters.udp_listener.udp_proxy",
			ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: pack(proxy)},
		}},
	})
}
