// Package bootstrap owns what an Envoy is started with: who it is, and the one stream over which it learns everything else.
//
// It is pure.
package bootstrap

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	overloadv3 "github.com/envoyproxy/go-control-plane/envoy/config/overload/v3"
	connectionsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	upstreamhttpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/hanse-mesh/hanse/api/model"
)

// Config is what an Envoy's bootstrap depends on.
type Config struct {
	// NodeID and Cluster name the Envoy in logs and statistics. What it receives does not depend on them.
	NodeID, Cluster string
	// XDSSocket is the Unix socket of the local proxy's delta ADS, AdminSocket where Envoy's admin interface listens: absolute paths
	// of at most 107 bytes.
	XDSSocket, AdminSocket string
	Locality               model.Locality
}

const (
	// socketPathMax is what Linux takes as the path of a Unix socket, in bytes.
	socketPathMax = 107
	// xdsCluster is the only cluster that an Envoy knows from the start.
	xdsCluster = "xds"
	// adminMode lets only Envoy's own user reach the admin interface.
	adminMode = 0o600
	// maxConnections is how many connections all listeners together accept.
	maxConnections = 100000
)

// Build returns the bootstrap as indented JSON. The same configuration gives the same bytes.
func Build(c Config) ([]byte, error) {
	if err := checkSocket("xds socket", c.XDSSocket); err != nil {
		return nil, err
	}
	if err := checkSocket("admin socket", c.AdminSocket); err != nil {
		return nil, err
	}
	monitors, err := connectionMonitor()
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	static, err := xdsServer(c.XDSSocket)
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	compact, err := protojson.Marshal(&bootstrapv3.Bootstrap{
		Node: &corev3.Node{
			Id: c.NodeID, Cluster: c.Cluster,
			Locality: &corev3.Locality{Region: c.Locality.Region, Zone: c.Locality.Zone},
		},
		Admin:            &bootstrapv3.Admin{Address: pipe(c.AdminSocket, adminMode)},
		StaticResources:  &bootstrapv3.Bootstrap_StaticResources{Clusters: []*clusterv3.Cluster{static}},
		DynamicResources: dynamicResources(),
		OverloadManager:  monitors,
		LayeredRuntime:   runtimeLayers(),
	})
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	// protojson varies its spaces on purpose.
	var out bytes.Buffer
	if err := json.Indent(&out, compact, "", "  "); err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

func checkSocket(field, path string) error {
	if path == "" || path[0] != '/' {
		return fmt.Errorf("bootstrap: %s %q is not an absolute path", field, path)
	}
	if len(path) > socketPathMax {
		return fmt.Errorf("bootstrap: %s %q is longer than %d bytes: use a shorter run directory", field, path, socketPathMax)
	}
	return nil
}

// dynamicResources has everything come over one stream, so that its order holds, and waits for it without end rather than start with
// nothing.
func dynamicResources() *bootstrapv3.Bootstrap_DynamicResources {
	ads := &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		ResourceApiVersion:    corev3.ApiVersion_V3,
		InitialFetchTimeout:   &durationpb.Duration{},
	}
	return &bootstrapv3.Bootstrap_DynamicResources{
		LdsConfig: ads,
		CdsConfig: ads,
		AdsConfig: &corev3.ApiConfigSource{
			ApiType:                   corev3.ApiConfigSource_DELTA_GRPC,
			TransportApiVersion:       corev3.ApiVersion_V3,
			SetNodeOnFirstMessageOnly: true,
			GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{
				ClusterName: xdsCluster,
				// The server is on this machine: there is no crowd to spread.
				RetryPolicy: &corev3.RetryPolicy{RetryBackOff: &corev3.BackoffStrategy{
					BaseInterval: durationpb.New(100 * time.Millisecond), MaxInterval: durationpb.New(2 * time.Second),
				}},
			}}}},
		},
	}
}

func xdsServer(socket string) (*clusterv3.Cluster, error) {
	options, err := anypb.New(&upstreamhttpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
					Http2ProtocolOptions: &corev3.Http2ProtocolOptions{ConnectionKeepalive: &corev3.KeepaliveSettings{
						Interval: durationpb.New(30 * time.Second), Timeout: durationpb.New(10 * time.Second),
					}},
				},
			},
		},
	})
	if err != nil {
		return nil, err
	}
	return &clusterv3.Cluster{
		Name:                 xdsCluster,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		ConnectTimeout:       durationpb.New(time.Second),
		TypedExtensionProtocolOptions: map[string]*anypb.Any{
			"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options,
		},
		LoadAssignment: &endpointv3.ClusterLoadAssignment{
			ClusterName: xdsCluster,
			Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: pipe(socket, 0)}},
			}}}},
		},
	}, nil
}

// mixedProtocols lets one cluster have hosts with which the protocol is negotiated and others that are spoken to in the clear, with HTTP/1.1:
// Envoy refuses such a cluster unless it is told that this is meant.
const mixedProtocols = "config.do_not_validate_alpn_support"

// runtimeLayers has a layer that never changes, and one that the proxy changes by the admin interface: it says at once that the workload is
// not ready.
func runtimeLayers() *bootstrapv3.LayeredRuntime {
	return &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{{
		Name: "static",
		LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: &structpb.Struct{Fields: map[string]*structpb.Value{
			mixedProtocols: structpb.NewNumberValue(100),
		}}},
	}, {
		Name:           "admin",
		LayerSpecifier: &bootstrapv3.RuntimeLayer_AdminLayer_{AdminLayer: &bootstrapv3.RuntimeLayer_AdminLayer{}},
	}}}
}

func connectionMonitor() (*overloadv3.OverloadManager, error) {
	limit, err := anypb.New(&connectionsv3.DownstreamConnectionsConfig{MaxActiveDownstreamConnections: maxConnections})
	if err != nil {
		return nil, err
	}
	return &overloadv3.OverloadManager{ResourceMonitors: []*overloadv3.ResourceMonitor{{
		Name:       "envoy.resource_monitors.global_downstream_max_connections",
		ConfigType: &overloadv3.ResourceMonitor_TypedConfig{TypedConfig: limit},
	}}}, nil
}

func pipe(path string, mode uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: path, Mode: mode}}}
}
