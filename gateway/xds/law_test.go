package xds

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	udpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/udp/udp_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

// failer is what testing.T and rapid.T share.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// references lists the names of other resources that a message refers to, by type URL, however deep.
func references(t failer, m proto.Message, found map[string][]string) {
	t.Helper()
	switch m := m.(type) {
	case *anypb.Any:
		inner, err := m.UnmarshalNew()
		if err != nil {
			t.Fatalf("%s: %v", m.GetTypeUrl(), err)
		}
		references(t, inner, found)
		return
	case *tlsv3.SdsSecretConfig:
		found[SecretType] = append(found[SecretType], m.GetName())
	case *clusterv3.Cluster:
		if m.GetType() == clusterv3.Cluster_EDS {
			found[EndpointType] = append(found[EndpointType], m.GetName())
		}
	case *hcmv3.Rds:
		found[RouteType] = append(found[RouteType], m.GetRouteConfigName())
	case *routev3.RouteAction:
		found[ClusterType] = append(found[ClusterType], m.GetCluster())
	case *tcpproxyv3.TcpProxy:
		found[ClusterType] = append(found[ClusterType], m.GetCluster())
	case *udpproxyv3.Route:
		found[ClusterType] = append(found[ClusterType], m.GetCluster())
	}
	m.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.IsMap() && f.MapValue().Message() != nil:
			v.Map().Range(func(_ protoreflect.MapKey, e protoreflect.Value) bool {
				references(t, e.Message().Interface(), found)
				return true
			})
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				references(t, v.List().Get(i).Message().Interface(), found)
			}
		case f.Message() != nil && !f.IsMap() && !f.IsList():
			references(t, v.Message().Interface(), found)
		}
		return true
	})
}

// checkReferences verifies that a set is closed, that names are sorted and stand once, and that nothing is sent that nobody refers to.
func checkReferences(t failer, r Resources) {
	t.Helper()
	names, found := map[string][]string{}, map[string][]string{}
	for typeURL, list := range r {
		for i, one := range list {
			if i > 0 && list[i-1].Name >= one.Name {
				t.Errorf("%s: %q does not stand before %q", typeURL, list[i-1].Name, one.Name)
			}
			if one.Body.GetTypeUrl() != typeURL || one.Version == "" {
				t.Errorf("%q has type %q and version %q", one.Name, one.Body.GetTypeUrl(), one.Version)
			}
			names[typeURL] = append(names[typeURL], one.Name)
			references(t, one.Body, found)
		}
	}
	for typeURL, list := range found {
		for _, name := range list {
			if !slices.Contains(names[typeURL], name) && name != DefaultSecret {
				t.Errorf("%s %q is referred to and missing", typeURL, name)
			}
		}
	}
	for _, typeURL := range []string{SecretType, EndpointType, RouteType} {
		for _, name := range names[typeURL] {
			if !slices.Contains(found[typeURL], name) {
				t.Errorf("%s %q is sent, but nothing refers to it", typeURL, name)
			}
		}
	}
}

// checkClear verifies that nobody is spoken to in the clear but workloads that have no Envoy, and nobody by a context of another kind.
func checkClear(t failer, s *snapshot.Snapshot, r Resources) {
	t.Helper()
	vias := map[string]route.Via{}
	for _, sp := range s.Services {
		for _, p := range sp.Assignments[0].Assignment.Priorities {
			for _, e := range p.Groups[0].Endpoints {
				vias[address{host: e.Address, port: e.Port}.String()] = e.Via
			}
		}
	}
	clusters := map[string]*clusterv3.Cluster{}
	for _, c := range r[ClusterType] {
		m, err := c.Body.UnmarshalNew()
		if err != nil {
			t.Fatalf("%v", err)
		}
		clusters[c.Name] = m.(*clusterv3.Cluster)
	}
	for _, one := range r[EndpointType] {
		m, err := one.Body.UnmarshalNew()
		if err != nil {
			t.Fatalf("%v", err)
		}
		for _, l := range m.(*endpointv3.ClusterLoadAssignment).GetEndpoints() {
			for _, e := range l.GetLbEndpoints() {
				at := e.GetEndpoint().GetAddress().GetSocketAddress()
				via := vias[address{host: at.GetAddress(), port: uint16(at.GetPortValue())}.String()]
				if socket := socketOf(clusters[one.Name], e); socket == nil && via != route.ViaPlain || socket != nil && !speaks(t, socket, via) {
					t.Fatalf("%s: %s, which is reached %q, is spoken to by %v", one.Name, at, via, socket)
				}
			}
		}
	}
}

// socketOf is the socket that Envoy picks for calls to an endpoint; nil is in the clear.
func socketOf(c *clusterv3.Cluster, e *endpointv3.LbEndpoint) *corev3.TransportSocket {
	mark := e.GetMetadata().GetFilterMetadata()["envoy.transport_socket_match"]
	for _, m := range c.GetTransportSocketMatches() {
		if mark != nil && proto.Equal(mark, m.GetMatch()) {
			return m.GetTransportSocket()
		}
	}
	return c.GetTransportSocket()
}

func speaks(t failer, socket *corev3.TransportSocket, via route.Via) bool {
	config, err := socket.GetTypedConfig().UnmarshalNew()
	if err != nil {
		t.Fatalf("%v", err)
	}
	context, tls := config.(*tlsv3.UpstreamTlsContext)
	if !tls {
		return via == route.ViaPlain
	}
	return strings.HasPrefix(context.GetSni(), map[route.Via]string{route.ViaEnvoy: "p.", route.ViaTerminated: "t.", route.ViaPlain: "none"}[via])
}

type mapMemo map[string]*Resource

func (m mapMemo) Get(key string) (*Resource, bool) { r, ok := m[key]; return r, ok }
func (m mapMemo) Put(key string, r *Resource)      { m[key] = r }
func (m mapMemo) without(key string) (out mapMemo) { out = maps.Clone(m); delete(out, key); return out }

var _ Memo = mapMemo{}

func drawSnapshot(t *rapid.T) *snapshot.Snapshot {
	domains := []string{"alpha.acme", "beta.acme", "gamma.acme"}
	some := func(label string) []string {
		return slices.DeleteFunc(slices.Clone(domains), func(string) bool { return rapid.Bool().Draw(t, label) })
	}
	protocols := rapid.SampledFrom([]model.Protocol{model.ProtocolHTTP, model.ProtocolHTTP2, model.ProtocolGRPC, model.ProtocolTCP, model.ProtocolUDP})
	s := &snapshot.Snapshot{Federation: "acme", Cluster: "alpha", TrustDomain: domains[0], Trust: &snapshot.Trust{}}
	for _, d := range some("trusted") {
		s.Trust.Bundles = append(s.Trust.Bundles, model.Bundle{TrustDomain: d, Roots: [][]byte{[]byte(d)}})
	}
	var calls []snapshot.Call
	for i := range rapid.IntRange(0, 4).Draw(t, "services") {
		port := model.Port{Number: rapid.SampledFrom([]uint16{80, 8080, 9090}).Draw(t, "port"), Protocol: protocols.Draw(t, "protocol")}
		sp := served(model.ServiceKey{Namespace: "n", Name: fmt.Sprint("s", i)}, port, nil)
		for _, d := range some("serves") {
			sp.Identities = append(sp.Identities, model.WorkloadID(d, "n", sp.Service.Name))
		}
		for _, d := range some("answers") {
			sp.Terminators = append(sp.Terminators, model.WorkloadID(d, model.SystemNamespace, model.GatewayServiceAccount))
		}
		sp.Plain, sp.Affinity = rapid.Bool().Draw(t, "plain"), rapid.Bool().Draw(t, "affinity")
		sp.EgressPort = rapid.SampledFrom([]uint16{0, 20001, 20002, 20003}).Draw(t, "egress port")
		if port.Protocol == model.ProtocolUDP {
			sp.SNI, sp.Identities = model.TerminatedSNI(sp.Service, port), nil
		}
		for j, via := range rapid.SliceOfN(rapid.SampledFrom([]route.Via{route.ViaEnvoy, route.ViaTerminated, route.ViaPlain}), 0, 3).Draw(t, "placed") {
			e := endpoint("192.0.2.1", uint16(10*i+j+1))
			e.Via, e.Gateway = via, via == route.ViaTerminated
			sp.Assignments[0].Assignment.Priorities = append(sp.Assignments[0].Assignment.Priorities, one(group("beta", "us", e)))
		}
		if rapid.Bool().Draw(t, "vip") {
			sp.VIP = netip.AddrFrom4([4]byte{127, 64, 0, byte(i)})
		}
		s.Services = append(s.Services, sp)
		if rapid.Bool().Draw(t, "called") {
			calls = append(calls, snapshot.Call{Bind: fmt.Sprint("127.0.0.1:", 9000+rapid.IntRange(0, 3).Draw(t, "bind")), SNI: sp.SNI})
		}
		s.Passthrough = append(s.Passthrough, &snapshot.Passthrough{SNI: model.PassthroughSNI(sp.Service, port.Number)})
		s.Terminated = append(s.Terminated, &snapshot.Terminated{SNI: model.TerminatedSNI(sp.Service, port), Protocol: port.Protocol, Callers: some("admitted")})
	}
	w := model.Workload{ID: "w", Service: payments, Locality: here, Address: "10.0.0.1", InboundPort: 15006}
	for i := range rapid.IntRange(0, 3).Draw(t, "ports") {
		port := model.Port{Number: uint16(i + 1), Protocol: protocols.Draw(t, "protocol")}
		w.Ports = append(w.Ports, model.WorkloadPort{Port: port, Target: "127.0.0.1:3000"})
	}
	if rapid.Bool().Draw(t, "open") {
		w.Open = &model.OpenUpstreams{VIPs: rapid.Bool().Draw(t, "vips"), HTTPBind: rapid.SampledFrom([]string{"", "127.0.0.1:9001"}).Draw(t, "http")}
	}
	if rapid.IntRange(0, 3).Draw(t, "gateway") == 0 {
		w.Gateway = &model.WorkloadGateway{Bind: ":8443"}
	} else if rapid.IntRange(0, 2).Draw(t, "egress") == 0 {
		w.Egress = &model.WorkloadEgress{Bind: rapid.SampledFrom([]string{"::", "10.0.0.1", "here"}).Draw(t, "bind")}
	}
	s.Workloads = []*snapshot.Workload{{Workload: w, Callers: some("callers"), Calls: calls}}
	return seal(s)
}

// For every snapshot the set is closed and deterministic, and a memo changes nothing: neither its own entries of another snapshot nor
// the loss of any of them.
func TestLaws(t *testing.T) {
	memo := mapMemo{}
	rapid.Check(t, func(t *rapid.T) {
		s := drawSnapshot(t)
		plain, problems := Generate(s, Target{Workload: "w"}, nil)
		checkReferences(t, plain)
		checkClear(t, s, plain)
		for range 2 {
			memoized, again := Generate(s, Target{Workload: "w"}, memo)
			if !slices.Equal(problems, again) {
				t.Fatalf("problems differ: %v, %v", problems, again)
			}
			same(t, plain, memoized)
			for key := range memo {
				memo = memo.without(key)
				break
			}
		}
	})
}

func same(t failer, a, b Resources) {
	t.Helper()
	for _, typeURL := range Types {
		if len(a[typeURL]) != len(b[typeURL]) {
			t.Fatalf("%s: %d and %d resources", typeURL, len(a[typeURL]), len(b[typeURL]))
		}
		for i, x := range a[typeURL] {
			if y := b[typeURL][i]; x.Name != y.Name || x.Version != y.Version || !proto.Equal(x.Body, y.Body) {
				t.Fatalf("%s: %q differs", typeURL, x.Name)
			}
		}
	}
}

func TestMemoSharesWhatDidNotChange(t *testing.T) {
	memo := mapMemo{}
	s := example()
	first, _ := Generate(s, Target{Workload: "web-1"}, memo)
	sp := service(s, payments, 8080)
	sp.Assignments[0].Assignment.Priorities = sp.Assignments[0].Assignment.Priorities[:1]
	next, _ := Generate(seal(s), Target{Workload: "web-1"}, memo)
	changed := map[string]int{}
	for _, typeURL := range Types {
		for i, r := range next[typeURL] {
			if r.Version != first[typeURL][i].Version {
				changed[typeURL]++
			}
		}
	}
	if want := map[string]int{EndpointType: 1}; !maps.Equal(changed, want) {
		t.Errorf("a lost priority changed %v, want %v", changed, want)
	}
	if find(first[ClusterType], sp.SNI) != find(next[ClusterType], sp.SNI) {
		t.Error("the cluster was made again for another assignment")
	}
	other, _ := Generate(s, Target{Workload: "open-1"}, memo)
	if find(other[ClusterType], sp.SNI) != find(next[ClusterType], sp.SNI) {
		t.Error("two targets do not share the cluster that both have")
	}
}

// Envoy warms a changed cluster until its endpoints come again, so their version must change with it.
func TestEndpointsFollowTheirCluster(t *testing.T) {
	s := example()
	sni := service(s, payments, 8080).SNI
	before := generate(t, s, "web-1")
	service(s, payments, 8080).Identities = []string{"spiffe://beta.acme/ns/shop/sa/other"}
	after := generate(t, seal(s), "web-1")
	was, is := find(before[EndpointType], sni), find(after[EndpointType], sni)
	if !proto.Equal(was.Body, is.Body) || was.Version == is.Version {
		t.Error("the endpoints' version does not cover their cluster")
	}
	if find(before[EndpointType], service(s, ledger, 5432).SNI).Version != find(after[EndpointType], service(s, ledger, 5432).SNI).Version {
		t.Error("another service's endpoints are sent again")
	}
}

func find(list []*Resource, name string) *Resource {
	for _, r := range list {
		if r.Name == name {
			return r
		}
	}
	return nil
}
