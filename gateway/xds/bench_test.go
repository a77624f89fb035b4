package xds

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/gateway/route"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

// large is a site that can call 1,000 services, with a caller of two of them and one that is offered all.
func large() *snapshot.Snapshot {
	s := &snapshot.Snapshot{Federation: "acme", Cluster: "alpha", Trust: example().Trust}
	vip := netip.MustParseAddr("127.64.0.1")
	for i := range 1000 {
		key := model.ServiceKey{Namespace: "shop", Name: fmt.Sprint("service-", i)}
		sp := served(key, httpPort(8080), []string{"spiffe://beta.acme/ns/shop/sa/x"}, one(group("beta", "us", endpoint("192.0.2.7", 8443))))
		sp.VIP, vip = vip, vip.Next()
		s.Services = append(s.Services, sp)
	}
	caller, open := model.Workload{ID: "web", Locality: here}, model.Workload{ID: "open", Locality: here}
	open.Open = &model.OpenUpstreams{VIPs: true, HTTPBind: "127.0.0.1:9000"}
	s.Workloads = []*snapshot.Workload{
		{Workload: caller, Calls: []snapshot.Call{{Bind: "127.0.0.1:9001", SNI: s.Services[3].SNI}, {Bind: "127.0.0.1:9002", SNI: s.Services[7].SNI}}},
		{Workload: open},
	}
	return seal(s)
}

// manyPods is a cluster of 1,000 exported services with ten pods each, which another cluster exports, too.
func manyPods() snapshot.Inputs {
	domain := func(c string) model.Cluster {
		return model.Cluster{Name: model.ClusterName(c), Incarnation: 1, TrustDomain: c + ".acme", ExportNamespaces: []string{"*"}}
	}
	in := snapshot.Inputs{
		Federation: "acme", Cluster: "alpha", TrustDomain: "alpha.acme", EgressPorts: map[snapshot.EgressPort]uint16{},
		Members:  map[model.ClusterName]model.Cluster{"alpha": domain("alpha"), "beta": domain("beta")},
		Exports:  []policy.ExportRule{{Name: "all", Spec: policy.ExportRuleSpec{From: []string{"*"}, Namespaces: []string{"*"}, To: []string{"*"}}}},
		Gateways: map[model.ClusterName][]route.GatewayPoint{"beta": {{Address: "192.0.2.7", Port: 8443}, {Address: "192.0.2.8", Port: 8443}}},
		Bundles:  []model.Bundle{{TrustDomain: "alpha.acme", Sequence: 1, Roots: [][]byte{{1}}}, {TrustDomain: "beta.acme", Sequence: 1, Roots: [][]byte{{2}}}},
		Workloads: []model.Workload{
			{ID: "egress", Locality: here, Egress: &model.WorkloadEgress{Bind: "::"}}, {ID: "gateway", Locality: here, Gateway: &model.WorkloadGateway{Bind: ":8443"}},
		},
	}
	zones := []model.Locality{here, {Region: "eu", Zone: "eu-2"}, {Region: "eu", Zone: "eu-3"}}
	ports := []model.Port{httpPort(80)}
	for i := range 1000 {
		key := model.ServiceKey{Namespace: "shop", Name: fmt.Sprint("service-", i)}
		export := model.ServiceExport{Service: key, CreatedAt: time.Unix(1, 0), Ports: ports, IPFamilies: []model.IPFamily{model.IPv4}}
		in.OwnExports = append(in.OwnExports, export)
		in.EgressPorts[snapshot.EgressPort{Service: key, Number: 80}] = uint16(20000 + i)
		in.Imports = append(in.Imports, snapshot.Import{Cluster: "beta", Record: model.ServiceRecord{
			Service: key, Ports: ports, Export: &export, Terminated: []model.Capacity{{Locality: model.Locality{Region: "us"}, Ready: 10, Total: 10}},
		}})
		for j := range 10 {
			in.Workloads = append(in.Workloads, model.Workload{
				ID: fmt.Sprintf("shop/%s/pod-%d", key.Name, j), Service: key, Namespace: "shop", Locality: zones[j%3], Plain: true, Export: true,
				Health: model.WorkloadHealth{Ready: true},
				Ports:  []model.WorkloadPort{{Port: ports[0], Target: fmt.Sprintf("10.%d.%d.%d:8080", 1+i/250, i%250, j)}},
			})
		}
	}
	return in
}

// BenchmarkPods is what a change of one pod costs: the snapshot, and the sets of an egress gateway and of one that answers for the pods.
func BenchmarkPods(b *testing.B) {
	in := manyPods()
	_, m := snapshot.Memory{}.Build(in)
	b.Run("snapshot", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			in.Workloads = slices.Clone(in.Workloads)
			in.Workloads[5007].Health.Ready = !in.Workloads[5007].Health.Ready
			_, m = m.Build(in)
		}
	})
	before, m := m.Build(in)
	in.Workloads = slices.Clone(in.Workloads)
	in.Workloads[5007].Health.Ready = !in.Workloads[5007].Health.Ready
	after, _ := m.Build(in)
	versions := [2]*snapshot.Snapshot{before, after}
	for _, id := range []string{"egress", "gateway"} {
		b.Run(id, func(b *testing.B) {
			memo, target := mapMemo{}, Target{Workload: id}
			if set, problems := Generate(before, target, memo); len(set[ClusterType]) != 1000 {
				b.Fatal(len(set[ClusterType]), problems)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if Unchanged(versions[i%2], versions[1-i%2], target) {
					b.Fatal("the change is not seen")
				}
				Generate(versions[1-i%2], target, memo)
			}
		})
	}
}

// BenchmarkGenerate is what a change of one service's endpoints costs for one of its callers, which is offered 1,000 services, and for a
// workload that it does not concern.
func BenchmarkGenerate(b *testing.B) {
	versions := [2]*snapshot.Snapshot{large(), large()}
	service(versions[1], model.ServiceKey{Namespace: "shop", Name: "service-500"}, 8080).Assignments[0].Assignment.Priorities = nil
	seal(versions[1])
	for id, concerned := range map[string]bool{"open": true, "web": false} {
		b.Run(id, func(b *testing.B) {
			memo, target := mapMemo{}, Target{Workload: id}
			Generate(versions[1], target, memo)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if Unchanged(versions[i%2], versions[1-i%2], target) == concerned {
					b.Fatal("the change concerns the wrong workload")
				}
				if concerned {
					Generate(versions[i%2], target, memo)
				}
			}
		})
	}
}
