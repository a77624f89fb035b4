package mcs

import (
	"fmt"
	"testing"

	"github.com/hanse-mesh/hanse/api/model"
)

// BenchmarkMake derives the plan of 1,000 services, each of which three clusters export: what every change costs.
func BenchmarkMake(b *testing.B) {
	f := lone(hello())
	f.Exports = nil
	for i := range 1000 {
		e := hello()
		e.Service.Name = fmt.Sprintf("hello-%d", i)
		f.Exports = append(f.Exports, LocalExport{Service: e.Service, Generation: 1, Export: &e})
		for _, c := range []model.ClusterName{"north", "west"} {
			f.Remotes = append(f.Remotes, Remote{Cluster: c, Export: e})
		}
	}
	f.allot()
	f, _ = converged(b, f)
	b.ReportAllocs()
	for b.Loop() {
		Make(f, start)
	}
}
