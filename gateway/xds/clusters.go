package xds

import (
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	upstreamhttpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

const (
	// connectTimeout bounds how long a call waits for a host that is gone before it is tried elsewhere. It covers the TLS handshake: two
	// round trips, and what the gateway in between takes to find a workload that answers.
	connectTimeout = time.Second
	// siteConnectTimeout is for the workloads behind a gateway, which are near: the gateway's second attempt fits into connectTimeout.
	siteConnectTimeout = 400 * time.Millisecond
	// appConnectTimeout is for the application beside the Envoy.
	appConnectTimeout = time.Second
	// appIdleTimeout is shorter than applications keep idle connections (5 s in Node.js), so that the side that would use a connection
	// again is the side that closes it: a request that meets the application's close must not be repeated.
	appIdleTimeout = 4 * time.Second
	// requestsPerConnection spreads calls: behind a gateway, one connection holds one workload.
	requestsPerConnection = 100
	// unlimited lifts Envoy's default limits of about a thousand; what protects an Envoy is its limit of connections.
	unlimited = 1 << 20
	// retryLimit is how many retries may be under way at once. Envoy's default of 3 is used up by the first moment of a failover.
	retryLimit = 1000
)

// offer adds a service port's cluster and its endpoints for callers in a locality, once, and reports whether calls can be made.
func (b *builder) offer(sp *snapshot.ServicePort, from model.Locality) bool {
	if ok, done := b.offered[sp.SNI]; done {
		return ok
	}
	subject := "service " + sp.Service.String()
	b.offered[sp.SNI] = false
	if len(sp.Identities)+len(sp.Terminators) == 0 && !sp.Plain {
		b.problem(subject, "no server identity is known for %s: whoever answers could not be verified", sp.SNI)
		return false
	}
	kinds := b.kindsOf(sp)
	if kinds.missing {
		b.problem(subject, "no trust bundle is known of the domains that serve %s", sp.SNI)
	}
	if kinds.none() {
		return false
	}
	local, _ := sp.For(from)
	cluster := b.part(sp.ConfigDigest+"/cluster|"+kinds.key(), func() *Resource { return serviceCluster(sp, kinds) })
	b.add(ClusterType, cluster)
	b.add(EndpointType, b.part(sp.Digest+"/endpoints|"+kinds.key()+"|"+from.String(), func() *Resource {
		return assignmentResource(sp.SNI, cluster.Version, kinds.of(local.Assignment), b.checkedAs(sp))
	}))
	b.offered[sp.SNI] = true
	return true
}

// passthroughCluster is what a gateway passes connections of one SNI on to. Callers of an HTTP port open a connection for so many requests,
// mostly one at a time: in turn, each workload gets as many. To pick the one with the fewest connections would be to pick at random
// then, as hardly any has one. Of other protocols, connections live long and end at any time: there the fewest count. That would draw
// them all to a workload that is frozen, which accepts and loses them, so those workloads are checked, if somebody is trusted. trust is
// empty when nobody is.
func (b *builder) passthroughCluster(p *snapshot.Passthrough, trust string) *Resource {
	c := remoteCluster(p.SNI, 1, siteConnectTimeout)
	switch {
	case p.Protocol.IsHTTP():
		c.LbPolicy = clusterv3.Cluster_ROUND_ROBIN
	case trust != "":
		c.TransportSocketMatches = checkContext(model.EnvoySNI(b.s.Cluster, b.s.Federation), trust)
		c.HealthChecks = []*corev3.HealthCheck{check(siteCheckTimeout)}
	}
	return resource(p.SNI, c)
}

// remoteCluster is what clusters of other machines have in common. After that many failures of its own in a row a host is put aside,
// briefly: it is tried again while the retries cover for it.
func remoteCluster(name string, failures uint32, timeout time.Duration) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                 name,
		AltStatName:          statName(name),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: overADS()},
		ConnectTimeout:       duration(timeout),
		LbPolicy:             clusterv3.Cluster_LEAST_REQUEST,
		CommonLbConfig: &clusterv3.Cluster_CommonLbConfig{
			HealthyPanicThreshold: &typev3.Percent{Value: 1},
			// Changes come coalesced; Envoy's own window would delay the second of two by up to a second.
			UpdateMergeWindow: seconds(0),
		},
		CircuitBreakers:           limits(),
		OutlierDetection:          ejection(failures),
		IgnoreHealthOnHostRemoval: true,
		// A machine that is gone ends its idle sessions within 20 s, whatever else is known of it.
		UpstreamConnectionOptions: &clusterv3.UpstreamConnectionOptions{TcpKeepalive: &corev3.TcpKeepalive{
			KeepaliveTime: u32(10), KeepaliveInterval: u32(3), KeepaliveProbes: u32(3),
		}},
	}
}

func ejection(failures uint32) *clusterv3.OutlierDetection {
	return &clusterv3.OutlierDetection{
		Interval:                           duration(250 * time.Millisecond),
		BaseEjectionTime:                   seconds(3),
		MaxEjectionTime:                    seconds(15),
		MaxEjectionPercent:                 u32(100),
		SplitExternalLocalOriginErrors:     true,
		ConsecutiveLocalOriginFailure:      u32(failures),
		EnforcingConsecutive_5Xx:           u32(0),
		EnforcingConsecutiveGatewayFailure: u32(0),
		EnforcingSuccessRate:               u32(0),
		EnforcingLocalOriginSuccessRate:    u32(0),
	}
}

func limits() *clusterv3.CircuitBreakers {
	return &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
		MaxConnections:     u32(unlimited),
		MaxPendingRequests: u32(unlimited),
		MaxRequests:        u32(unlimited),
		MaxRetries:         u32(retryLimit),
	}}}
}

// appCluster is the application beside the Envoy.
func appCluster(name string, target address, p model.Protocol) *Resource {
	kind := clusterv3.Cluster_STRICT_DNS
	if target.isIP() {
		kind = clusterv3.Cluster_STATIC
	}
	c := &clusterv3.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: kind},
		DnsLookupFamily:      clusterv3.Cluster_V4_PREFERRED,
		ConnectTimeout:       duration(appConnectTimeout),
		CircuitBreakers:      limits(),
		LoadAssignment: &endpointv3.ClusterLoadAssignment{
			ClusterName: name,
			Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: target.proto()}},
			}}}},
		},
	}
	if p.IsHTTP() {
		options := &upstreamhttpv3.HttpProtocolOptions{
			CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{IdleTimeout: duration(appIdleTimeout)},
			UpstreamProtocolOptions:   explicitHTTP1(),
		}
		if p != model.ProtocolHTTP {
			options.UpstreamProtocolOptions = explicitHTTP2(&corev3.Http2ProtocolOptions{})
		}
		c.TypedExtensionProtocolOptions = httpOptions(options)
	}
	return resource(name, c)
}

func explicitHTTP1() *upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_ {
	return &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig{
		ProtocolConfig: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{HttpProtocolOptions: &corev3.Http1ProtocolOptions{}},
	}}
}

func explicitHTTP2(o *corev3.Http2ProtocolOptions) *upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_ {
	return &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig{
		ProtocolConfig: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: o},
	}}
}

func httpOptions(o *upstreamhttpv3.HttpProtocolOptions) map[string]*anypb.Any {
	return map[string]*anypb.Any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": pack(o)}
}

// statName is the SNI without its zone and without dots, which Envoy would read as the end of the cluster's name.
func statName(sni string) string {
	return strings.ReplaceAll(strings.TrimSuffix(sni, ".svc."+model.ClusterSetDomain), ".", "_")
}
