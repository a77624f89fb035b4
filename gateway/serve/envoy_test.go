package serve

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/hanse-mesh/hanse/gateway/xds"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// envoyBinary returns the Envoy to test with, or skips.
func envoyBinary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("HANSE_ENVOY"); path != "" {
		return path
	}
	path, err := exec.LookPath("envoy")
	if err != nil {
		t.Skip("no Envoy: set HANSE_ENVOY or put envoy on PATH")
	}
	return path
}

func startEnvoy(t *testing.T, binary, dir, xdsSocket string) {
	t.Helper()
	bootstrap := fmt.Sprintf(`{
 "node": {"id": "n", "cluster": "c"},
 "dynamic_resources": {
  "ads_config": {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}]},
  "cds_config": {"ads": {}, "resource_api_version": "V3"}, "lds_config": {"ads": {}, "resource_api_version": "V3"}},
 "static_resources": {"clusters": [{"name": "xds", "connect_timeout": "1s",
  "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
   "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}},
  "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": %q}}}}]}]}}]}}`, xdsSocket)
	cmd := exec.Command(binary, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning", "--config-yaml", bootstrap)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("Envoy's log:\n%s", text)
		}
		_ = log.Close()
	})
}

func message(t *testing.T, name, version string, m proto.Message) *xds.Resource {
	t.Helper()
	body, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return &xds.Resource{Name: name, Version: version, Body: body}
}

func address(host string, port uint32) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: host, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
}

// edsCluster's timeout grows with the version, so that each version is a real change.
func edsCluster(t *testing.T, name string, version int) *xds.Resource {
	return message(t, name, fmt.Sprint(version), &clusterv3.Cluster{
		Name: name, ConnectTimeout: durationpb.New(time.Duration(version) * time.Second),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{EdsConfig: &corev3.ConfigSource{
			ResourceApiVersion: corev3.ApiVersion_V3, InitialFetchTimeout: durationpb.New(0),
			ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		}},
	})
}

func assignment(t *testing.T, name, version, host string) *xds.Resource {
	return message(t, name, version, &endpointv3.ClusterLoadAssignment{
		ClusterName: name,
		Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address(host, 9)}},
		}}}},
	})
}

func tcpListener(t *testing.T, version, host string) *xds.Resource {
	proxy, err := anypb.New(&tcpv3.TcpProxy{
		StatPrefix: "t", ClusterSpecifier: &tcpv3.TcpProxy_Cluster{Cluster: "a"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return message(t, "l", version, &listenerv3.Listener{
		Name: "l", Address: address(host, 0),
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name: "tcp", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: proxy},
		}}}},
	})
}

// envoyRig is a cache, served on a Unix socket, with an Envoy on it.
func envoyRig(t *testing.T) (*Cache, *recorder) {
	t.Helper()
	binary := envoyBinary(t)
	dir, err := os.MkdirTemp("", "serve")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "xds")
	lis, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c, events := NewCache(), newRecorder()
	g := grpc.NewServer()
	all := func(context.Context) (string, error) { return "w", nil }
	NewServer(ctx, c, Config{ClassOf: all, Events: events, Clock: clock.Real{}, Logger: quiet()}).Register(g)
	served := make(chan struct{})
	go func() { defer close(served); _ = g.Serve(lis) }()
	t.Cleanup(func() { cancel(); g.Stop(); <-served; _ = os.RemoveAll(dir) })
	startEnvoy(t, binary, dir, socket)
	return c, events
}

// until waits for a condition on the cache; each event is a chance to look.
func until(t *testing.T, c *Cache, events *recorder, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		events.mu.Lock()
		ping := events.ping
		events.mu.Unlock()
		if ok() {
			return
		}
		select {
		case <-ping:
		case <-deadline:
			t.Fatalf("%s: not reached; refusals %+v, events %q", what, c.Nacks("w"), events.list)
		}
	}
}

func settle(t *testing.T, c *Cache, events *recorder) {
	t.Helper()
	until(t, c, events, "everything acknowledged", func() bool { return c.Settled("w") })
}

// refusedNames are the resources that the class's only stream refuses, once nothing is under way.
func refusedNames(c *Cache) (names []string, idle bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.classes["w"].sessions {
		for r := range s.nacks {
			names = append(names, r.name)
		}
		idle = s.queued == 0 && len(s.unacked) == 0
	}
	return names, idle
}

func TestEnvoyAcceptsAndRefuses(t *testing.T) {
	c, events := envoyRig(t)
	good := xds.Resources{
		cds: {edsCluster(t, "a", 1)}, eds: {assignment(t, "a", "1", "127.0.0.1")}, lds: {tcpListener(t, "1", "127.0.0.1")},
	}
	c.Set("w", good)
	events.wait(t, "acked w Listener", 1)
	settle(t, c, events)

	c.Set("w", xds.Resources{cds: good[cds], eds: good[eds], lds: {tcpListener(t, "2", "no-address")}})
	until(t, c, events, "a refusal", func() bool { return len(c.Nacks("w")) > 0 })
	if n := c.Nacks("w")[0]; n.TypeURL != lds || !strings.Contains(n.Reason, "no-address") {
		t.Fatalf("the refusal is %+v, want the listener's with its address", n)
	}
	c.Set("w", xds.Resources{cds: good[cds], eds: good[eds], lds: {tcpListener(t, "3", "127.0.0.1")}})
	settle(t, c, events)
}

// A changed cluster warms until its endpoints come again, and Envoy holds back the cluster's acknowledgement for so long. Many changes
// in a row must neither wait for one another nor leave a cluster warming.
func TestEnvoyWarmsChangedClusters(t *testing.T) {
	c, events := envoyRig(t)
	for v := 1; v <= 30; v++ {
		var clusters, endpoints []*xds.Resource
		for _, n := range []string{"a", "b", "c"} {
			clusters = append(clusters, edsCluster(t, n, v))
			endpoints = append(endpoints, assignment(t, n, fmt.Sprint(v), "127.0.0.1"))
		}
		c.Set("w", xds.Resources{cds: clusters, eds: endpoints, lds: {tcpListener(t, "1", "127.0.0.1")}})
		if v == 1 {
			events.wait(t, "acked w Listener", 1)
		}
	}
	settle(t, c, events)
}

// Envoy may stop at the first bad assignment of a response. The good ones that came with it must still arrive.
func TestEnvoyGetsTheGoodBesidesTheBad(t *testing.T) {
	c, events := envoyRig(t)
	names := []string{"a", "b", "c", "d"}
	at := func(v int, bad string) xds.Resources {
		var out []*xds.Resource
		var clusters []*xds.Resource
		for _, n := range names {
			host := fmt.Sprintf("127.0.0.%d", v)
			if n == bad {
				host = "no-address"
			}
			out = append(out, assignment(t, n, fmt.Sprint(v), host))
			clusters = append(clusters, edsCluster(t, n, 1))
		}
		return xds.Resources{cds: clusters, eds: out, lds: {tcpListener(t, "1", "127.0.0.1")}}
	}
	c.Set("w", at(1, ""))
	events.wait(t, "acked w Listener", 1)
	settle(t, c, events)
	c.Set("w", at(2, "b"))
	until(t, c, events, "only b refused", func() bool {
		names, idle := refusedNames(c)
		return idle && len(names) == 1 && names[0] == "b"
	})
	if n := c.Nacks("w"); len(n) != 1 || !strings.Contains(n[0].Reason, "no-address") {
		t.Fatalf("refusals are %+v, want the one bad address", n)
	}
	c.Set("w", at(3, ""))
	settle(t, c, events)
}
