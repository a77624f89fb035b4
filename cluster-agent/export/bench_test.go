package export

import (
	"fmt"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

// BenchmarkChange is what a change of one pod costs at a cluster that exports 1,000 services of ten pods each.
func BenchmarkChange(b *testing.B) {
	terms := openTerms
	terms.Cluster.ExportNamespaces, terms.ByExport = []string{"*"}, true
	var l Ledger
	var pods []model.Workload
	for i := range 10_000 {
		service := model.ServiceKey{Namespace: "shop", Name: fmt.Sprint("service-", i/10)}
		pods = append(pods, pod(fmt.Sprint("w-", i), func(w *model.Workload) { w.Service = service }))
		l.Set(pods[i])
		l.SetExport(exported(func(e *model.ServiceExport) { e.Service = service }))
	}
	var t Throttle
	now := time.Unix(1_000_000, 0)
	b.ReportAllocs()
	for b.Loop() {
		w := &pods[77]
		w.Health.Ready = !w.Health.Ready
		l.Set(*w)
		now = now.Add(time.Second)
		var d Decision
		if t, d = t.Step(l.Records(terms).Records, now); len(d.Upserts) == 0 {
			b.Fatal("the change is not published")
		}
	}
}
