package xds

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	upstreamhttpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

const (
	// A host whose kernel answers and whose Envoy does not is noticed by pings after pingInterval and pingPatience, which is as long as the
	// worst of what a connection that goes on takes at a round trip of 300 ms and a loss of 5 %.
	pingInterval = 500 * time.Millisecond
	pingPatience = 1500 * time.Millisecond
	// silence is how long a host may acknowledge nothing of what an HTTP connection sends. It is shorter than pingPatience, because lost
	// packets alone do not come near it: what is sent after them is acknowledged selectively. A GET that was under way when a path was cut
	// has then time left to be answered elsewhere within two seconds.
	silence = 800 * time.Millisecond
	// Two checks in a row that fail are noticed within 2.75 s. An answer may take as long as one that is lost once and sent again at a round
	// trip of 300 ms.
	checkInterval = 500 * time.Millisecond
	checkTimeout  = time.Second
	recheck       = 250 * time.Millisecond
	// siteCheckTimeout is for a gateway's checks of its own site's workloads, which are near: two that fail are noticed within 1.75 s, and
	// callers need as long again to find a workload that answers.
	siteCheckTimeout = 500 * time.Millisecond
	// sessionFailures is how many attempts in a row put a host of sessions aside, callFailures one of calls, which are tried elsewhere. One
	// connection that is not made in time fails all attempts that wait for one to its host, and each counts.
	sessionFailures = 100
	callFailures    = 3
	// standby has the next connection made while the present one still has requests left: a handshake takes two round trips, or longer
	// where packets are lost.
	standby = 3
	// affinityPlaces is the size of the table that leads client addresses to endpoints, a prime number.
	affinityPlaces = 4093
)

// serviceCluster reaches a service port in this cluster and others, by the rules that make failover hold: a dead host is noticed within
// some two seconds by HTTP/2 pings or by what it does not acknowledge, and within three by a check of TCP hosts; it is put aside for its own
// failures only, never for what applications answer; and when all hosts look bad traffic goes on.
func serviceCluster(sp *snapshot.ServicePort, k kinds) *Resource {
	c := remoteCluster(sp.SNI, callFailures, connectTimeout)
	c.CommonLbConfig.LocalityConfigSpecifier = byLocality()
	if sp.Affinity {
		byHash(c)
	}
	if k.multiplexed(sp) {
		multiplexed(c, sp, k)
	} else {
		sessions(c, sp, k)
	}
	return resource(sp.SNI, c)
}

// byHash has what a listener hashes pick the endpoint: at an egress gateway a client's address, elsewhere nothing, as local applications share
// one. A few thousand places are enough for the endpoints of one service, and a table of each worker for each service costs memory.
//
// All egress gateways lead an address alike. What they do not do: Kubernetes' timeout, after which a client may be led elsewhere, and to lead
// an address to one pod of another cluster, whose gateway spreads its calls.
func byHash(c *clusterv3.Cluster) {
	c.LbPolicy = clusterv3.Cluster_MAGLEV
	c.LbConfig = &clusterv3.Cluster_MaglevLbConfig_{MaglevLbConfig: &clusterv3.Cluster_MaglevLbConfig{TableSize: wrapperspb.UInt64(affinityPlaces)}}
}

// byLocality has the weights of groups count.
func byLocality() *clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig_ {
	return &clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig_{
		LocalityWeightedLbConfig: &clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig{},
	}
}

// multiplexed carries calls on HTTP/2 connections.
func multiplexed(c *clusterv3.Cluster, sp *snapshot.ServicePort, k kinds) {
	k.sockets(c, sp, "h2")
	c.UpstreamBindConfig = &corev3.BindConfig{SocketOptions: []*corev3.SocketOption{userTimeout(silence)}}
	if sp.Plain && sp.Port.Protocol != model.ProtocolUDP {
		beside(c, sp, k)
		return
	}
	c.TypedExtensionProtocolOptions = httpOptions(&upstreamhttpv3.HttpProtocolOptions{
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{MaxRequestsPerConnection: u32(requestsPerConnection)},
		UpstreamProtocolOptions:   explicitHTTP2(pinged()),
	})
	c.PreconnectPolicy = &clusterv3.Cluster_PreconnectPolicy{PerUpstreamPreconnectRatio: wrapperspb.Double(standby)}
}

func pinged() *corev3.Http2ProtocolOptions {
	return &corev3.Http2ProtocolOptions{
		ConnectionKeepalive: &corev3.KeepaliveSettings{Interval: duration(pingInterval), Timeout: duration(pingPatience)},
	}
}

// beside carries calls also to workloads that have no Envoy, which speak the port's own protocol and know nothing of the rules between Envoys.
//
// HTTP/1.1 applications are told from Envoys by what the connection negotiates. HTTP/2 applications end connections that are pinged more
// often than they like (gRPC: every five minutes), so nobody is; gateways are checked instead. No connection is kept ready: applications
// would get three for each call.
func beside(c *clusterv3.Cluster, sp *snapshot.ServicePort, k kinds) {
	options := &upstreamhttpv3.HttpProtocolOptions{CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{
		MaxRequestsPerConnection: u32(requestsPerConnection), IdleTimeout: duration(appIdleTimeout),
	}}
	switch {
	case sp.Port.Protocol != model.ProtocolHTTP:
		options.UpstreamProtocolOptions = explicitHTTP2(&corev3.Http2ProtocolOptions{})
		if k.check != "" {
			checked(c, sp.SNI, k.check)
		}
	case k.check == "":
		options.UpstreamProtocolOptions = explicitHTTP1()
	default:
		options.UpstreamProtocolOptions = &upstreamhttpv3.HttpProtocolOptions_AutoConfig{AutoConfig: &upstreamhttpv3.HttpProtocolOptions_AutoHttpConfig{
			Http2ProtocolOptions: pinged(),
		}}
	}
	c.TypedExtensionProtocolOptions = httpOptions(options)
}

// checked has hosts checked, and ends what is open to those that fail.
func checked(c *clusterv3.Cluster, sni, trust string) {
	c.TransportSocketMatches = append(checkContext(sni, trust), c.GetTransportSocketMatches()...)
	c.HealthChecks = []*corev3.HealthCheck{check(checkTimeout)}
	c.CloseConnectionsOnHostHealthFailure = true
}

// sessions carries each session on a TCP connection of its own, and ends those of a host that fails: to put a host aside closes its
// sessions too, so it takes more than a few attempts that fail in a row, which are seen where packets are lost as well.
func sessions(c *clusterv3.Cluster, sp *snapshot.ServicePort, k kinds) {
	k.sockets(c, sp)
	if k.check != "" {
		checked(c, sp.SNI, k.check)
	}
	c.OutlierDetection = ejection(sessionFailures)
}

// userTimeout ends a connection of which nothing was acknowledged for so long.
func userTimeout(d time.Duration) *corev3.SocketOption {
	const tcp, tcpUserTimeout = 6, 18
	return &corev3.SocketOption{
		Description: "TCP_USER_TIMEOUT", Level: tcp, Name: tcpUserTimeout, State: corev3.SocketOption_STATE_PREBIND,
		Value: &corev3.SocketOption_IntValue{IntValue: d.Milliseconds()},
	}
}

// checkedAs names the endpoints of a service port that are checked: each by its own name, since a check that a gateway passed on would judge
// it by one of its workloads. Of HTTP ports those are gateways, as workloads' Envoys answer checks only where they serve sessions; it is nil
// where nobody is checked.
func (b *builder) checkedAs(sp *snapshot.ServicePort) func(model.ClusterName, route.Endpoint) string {
	p := sp.Port.Protocol
	calls := p.IsHTTP() || p == model.ProtocolUDP
	if calls && (!sp.Plain || p == model.ProtocolHTTP || p == model.ProtocolUDP) {
		return nil
	}
	return func(cluster model.ClusterName, e route.Endpoint) string {
		switch {
		case e.Gateway:
			return model.GatewaySNI(cluster, b.s.Federation)
		case calls || e.Via == route.ViaPlain:
			return ""
		default:
			return model.EnvoySNI(cluster, b.s.Federation)
		}
	}
}

// checkMark picks the TLS context of checks.
func checkMark() *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{"hanse.check": structpb.NewBoolValue(true)}}
}

// check asks a host, by its name, for an answer on a connection that is kept: it costs one round trip and no handshake. A host that a
// cluster without calls finds well is checked seldom: its first call finds a live one by trying. One that it finds bad is checked each
// second: sessions that are opened to it for want of a better one are closed only when a check fails after one that passed.
func check(timeout time.Duration) *corev3.HealthCheck {
	return &corev3.HealthCheck{
		Timeout:                  duration(timeout),
		Interval:                 duration(checkInterval),
		UnhealthyInterval:        duration(recheck),
		UnhealthyEdgeInterval:    seconds(1),
		NoTrafficInterval:        seconds(1),
		NoTrafficHealthyInterval: seconds(5),
		UnhealthyThreshold:       u32(2),
		HealthyThreshold:         u32(1),
		// Calls are made with another context.
		TransportSocketMatchCriteria: checkMark(),
		HealthChecker: &corev3.HealthCheck_HttpHealthCheck_{HttpHealthCheck: &corev3.HealthCheck_HttpHealthCheck{
			Host: "check", Path: "/", CodecClientType: typev3.CodecClientType_HTTP2,
		}},
	}
}

// checkContext is the TLS context of a cluster's checks.
func checkContext(sni, trust string) []*clusterv3.Cluster_TransportSocketMatch {
	return []*clusterv3.Cluster_TransportSocketMatch{{Name: "check", Match: checkMark(), TransportSocket: checkTLS(sni, trust)}}
}
