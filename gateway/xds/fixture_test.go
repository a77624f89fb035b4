package xds

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"slices"
	"testing"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

var (
	here     = model.Locality{Region: "eu", Zone: "eu-1"}
	payments = model.ServiceKey{Namespace: "shop", Name: "payments"}
	ledger   = model.ServiceKey{Namespace: "bank", Name: "ledger"}
)

func httpPort(n uint16) model.Port {
	return model.Port{Name: "http", Number: n, Protocol: model.ProtocolHTTP}
}

func tcpPort(n uint16) model.Port {
	return model.Port{Name: "tcp", Number: n, Protocol: model.ProtocolTCP}
}

// served is a service port with one assignment, for callers from here.
func served(key model.ServiceKey, port model.Port, identities []string, priorities ...route.Priority) *snapshot.ServicePort {
	return &snapshot.ServicePort{
		Service: key, Port: port, SNI: model.PassthroughSNI(key, port.Number), Identities: identities,
		Assignments: []snapshot.LocalAssignment{{Locality: here, Assignment: route.Assignment{Priorities: priorities}}},
	}
}

func group(cluster, region string, endpoints ...route.Endpoint) route.Group {
	return route.Group{Cluster: model.ClusterName(cluster), Locality: model.Locality{Region: region}, Weight: 100, Endpoints: endpoints}
}

func one(g ...route.Group) route.Priority { return route.Priority{Groups: g} }

func endpoint(host string, port uint16) route.Endpoint {
	return route.Endpoint{Address: host, Port: port, Weight: 1, Healthy: true}
}

// seal gives every part its digest and sorts the lists, as Build does.
func seal(s *snapshot.Snapshot) *snapshot.Snapshot {
	of := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return digest(string(text))
	}
	for _, sp := range s.Services {
		config := *sp
		config.Digest, config.ConfigDigest, config.Assignments = "", "", nil
		sp.ConfigDigest = of(config)
		sp.Digest = ""
		sp.Digest = of(sp)
	}
	for _, w := range s.Workloads {
		w.Digest = ""
		w.Digest = of(w)
	}
	for _, p := range s.Passthrough {
		p.Digest = ""
		p.Digest = of(p)
	}
	for _, p := range s.Terminated {
		p.Digest = ""
		p.Digest = of(p)
	}
	if s.Trust != nil {
		s.Trust.Digest = ""
		s.Trust.Digest = of(s.Trust)
	}
	slices.SortFunc(s.Services, func(a, b *snapshot.ServicePort) int { return cmp.Compare(a.SNI, b.SNI) })
	slices.SortFunc(s.Workloads, func(a, b *snapshot.Workload) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(s.Terminated, func(a, b *snapshot.Terminated) int { return cmp.Compare(a.SNI, b.SNI) })
	slices.SortFunc(s.Passthrough, func(a, b *snapshot.Passthrough) int { return cmp.Compare(a.SNI, b.SNI) })
	s.Digest = ""
	s.Digest = of(s)
	return s
}

// example is a site "alpha" that calls two services of "beta", serves one of its own and has a gateway.
func example() *snapshot.Snapshot {
	web := served(payments, httpPort(8080), []string{"spiffe://alpha.acme/ns/shop/sa/payments", "spiffe://beta.acme/ns/shop/sa/payments"},
		one(group("alpha", "eu", endpoint("10.0.0.5", 15006)), group("beta", "us", endpoint("192.0.2.7", 8443))),
		one(group("gamma", "ap", route.Endpoint{Address: "192.0.2.9", Port: 8443, Weight: 2, Gateway: true})))
	web.VIP = netip.MustParseAddr("127.64.0.1")
	low := served(payments, httpPort(80), web.Identities, one(group("beta", "us", endpoint("192.0.2.7", 8443))))
	low.VIP = web.VIP
	db := served(ledger, tcpPort(5432), []string{"spiffe://beta.acme/ns/bank/sa/ledger"}, one(group("beta", "us", endpoint("192.0.2.7", 8443))))
	db.VIP = netip.MustParseAddr("127.64.0.2")
	callers := []string{"alpha.acme", "beta.acme"}
	base := model.Workload{Namespace: "shop", ServiceAccount: "payments", Locality: here, Address: "10.0.0.5", InboundPort: 15006}
	server, caller, open, gateway := base, base, base, base
	server.ID, server.Service = "payments-1", payments
	server.Ports = []model.WorkloadPort{
		{Port: httpPort(8080), Target: "127.0.0.1:3000"},
		{Port: model.Port{Name: "grpc", Number: 9090, Protocol: model.ProtocolGRPC}, Target: "localhost:3001"},
		{Port: tcpPort(5432), Target: "[::1]:3002"},
	}
	caller.ID, open.ID, gateway.ID = "web-1", "open-1", "gateway-1"
	open.Open = &model.OpenUpstreams{VIPs: true, HTTPBind: "127.0.0.1:9000"}
	gateway.Gateway = &model.WorkloadGateway{Bind: "0.0.0.0:8443", AdvertiseAddress: "192.0.2.1", AdvertisePort: 8443}
	return seal(&snapshot.Snapshot{
		Federation: "acme", Cluster: "alpha", TrustDomain: "alpha.acme",
		Services: []*snapshot.ServicePort{web, low, db},
		Workloads: []*snapshot.Workload{
			{Workload: server, Callers: callers},
			{Workload: caller, Callers: callers, Calls: []snapshot.Call{
				{Bind: "127.0.0.1:9001", SNI: web.SNI, Protocol: model.ProtocolHTTP},
				{Bind: "127.0.0.1:9002", SNI: db.SNI, Protocol: model.ProtocolTCP},
			}},
			{Workload: open, Callers: callers},
			{Workload: gateway, Callers: callers},
		},
		Passthrough: []*snapshot.Passthrough{{SNI: web.SNI, Protocol: web.Port.Protocol, Endpoints: []route.Endpoint{
			endpoint("10.0.0.5", 15006), {Address: "10.0.0.6", Port: 15006, Weight: 1},
		}}},
		Trust: &snapshot.Trust{Bundles: []model.Bundle{
			{TrustDomain: "alpha.acme", Roots: [][]byte{[]byte("alpha root")}},
			{TrustDomain: "beta.acme", Roots: [][]byte{[]byte("beta root"), []byte("beta's next root")}},
		}},
	})
}

// plainExample is a cluster "alpha" whose workloads have no Envoy: an egress gateway, and a gateway that answers for them.
func plainExample() *snapshot.Snapshot {
	s := example()
	egress, gateway := *workload(s, "web-1"), *workload(s, "gateway-1")
	egress.ID, egress.Calls, egress.Egress = "egress-1", nil, &model.WorkloadEgress{Bind: "::"}
	s.Workloads = []*snapshot.Workload{&egress, &gateway}
	s.Services, s.Passthrough = nil, nil
	for i, port := range []model.Port{
		httpPort(80), {Name: "grpc", Number: 9090, Protocol: model.ProtocolGRPC}, tcpPort(5432), {Name: "dns", Number: 53, Protocol: model.ProtocolUDP},
	} {
		pod, far := endpoint("10.1.0.5", 3000), endpoint("192.0.2.7", 8443)
		pod.Via, far.Via, far.Gateway = route.ViaPlain, route.ViaTerminated, true
		sp := served(payments, port, []string{"spiffe://alpha.acme/ns/shop/sa/payments"}, one(group("alpha", "eu", pod, endpoint("10.1.0.6", 15006))), one(group("beta", "us", far)))
		sp.Terminators, sp.Plain, sp.EgressPort = []string{"spiffe://beta.acme/ns/hanse-system/sa/gateway"}, true, uint16(20000+i)
		sp.Affinity = i != 1
		if port.Protocol == model.ProtocolUDP {
			sp.SNI, sp.Identities = model.TerminatedSNI(payments, port), nil
		}
		s.Services = append(s.Services, sp)
		s.Terminated = append(s.Terminated, &snapshot.Terminated{
			SNI: model.TerminatedSNI(payments, port), Protocol: port.Protocol, Callers: []string{"alpha.acme", "beta.acme"}, Endpoints: []route.Endpoint{pod},
		})
	}
	tunnelled := served(ledger, model.Port{Number: 53, Protocol: model.ProtocolUDP}, nil, s.Services[3].Assignments[0].Assignment.Priorities[1])
	tunnelled.SNI, tunnelled.Terminators, tunnelled.EgressPort = model.TerminatedSNI(ledger, tunnelled.Port), s.Services[3].Terminators, 20009
	s.Services = append(s.Services, tunnelled)
	return seal(s)
}

func generate(t *testing.T, s *snapshot.Snapshot, workload string) Resources {
	t.Helper()
	r, problems := Generate(s, Target{Workload: workload}, nil)
	if r == nil {
		t.Fatalf("%s: %v", workload, problems)
	}
	return r
}
