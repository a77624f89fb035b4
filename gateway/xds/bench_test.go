package xds

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/hanse-mesh/hanse/api/model"
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
