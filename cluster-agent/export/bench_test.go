package export

import (
	"fmt"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

// BenchmarkChange is what a change of one workload costs at a site that exports 1,000 services of two workloads each.
func BenchmarkChange(b *testing.B) {
	in := Input{
		Cluster: model.Cluster{Name: "eu", TrustDomain: "eu.acme", ExportNamespaces: []string{"*"}},
		Rules:   []policy.ExportRule{{Name: "all", Spec: policy.ExportRuleSpec{From: []string{"*"}, Namespaces: []string{"*"}, To: []string{"*"}}}},
	}
	for i := range 2000 {
		name := fmt.Sprint("service-", i/2)
		in.Workloads = append(in.Workloads, model.Workload{
			ID: fmt.Sprint("w-", i), Service: model.ServiceKey{Namespace: "shop", Name: name}, Namespace: "shop", ServiceAccount: name,
			Locality: model.Locality{Region: "eu", Zone: "eu-a"}, Address: "10.0.0.1", InboundPort: 7721, Export: true,
			Ports:  []model.WorkloadPort{{Port: model.Port{Name: "http", Number: 8080, Protocol: model.ProtocolHTTP}, Target: "127.0.0.1:8080"}},
			Health: model.WorkloadHealth{Ready: true},
		})
	}
	var t Throttle
	now := time.Unix(1_000_000, 0)
	b.ReportAllocs()
	for b.Loop() {
		in.Workloads[77].Health.Ready = !in.Workloads[77].Health.Ready
		now = now.Add(time.Second)
		records, _ := Records(in)
		var d Decision
		if t, d = t.Step(records, now); len(d.Upserts) == 0 {
			b.Fatal("the change is not published")
		}
	}
}
