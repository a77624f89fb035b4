package kube

import (
	"fmt"
	"runtime"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"

	"github.com/hanse-mesh/hanse/api/model"
)

const (
	manyServices  = 1000
	manyEndpoints = 10
)

func numbered(i int) model.ServiceKey {
	return model.ServiceKey{Namespace: fmt.Sprint("team-", i%50), Name: fmt.Sprint("service-", i)}
}

// manySlice is a slice of pods with the names and the length of names that a Deployment gives. Turn changes one pod's readiness.
func manySlice(i, turn int) *discoveryv1.EndpointSlice {
	k := numbered(i)
	var addresses []string
	for j := range manyEndpoints {
		addresses = append(addresses, fmt.Sprintf("10.%d.%d.%d", i/250, i%250, j+1))
	}
	s := sliceOf(k, k.Name+"-abcde", addresses...)
	for j := range s.Endpoints {
		node := fmt.Sprint("node-", (i+j)%100)
		s.Endpoints[j].NodeName = &node
		s.Endpoints[j].TargetRef.Name = fmt.Sprintf("%s-6d4cf56db6-%05d", k.Name, j)
	}
	s.Endpoints[turn%manyEndpoints].Conditions = conditions(turn%2 == 0, true, false)
	return s
}

func manyObjects() []kruntime.Object {
	var out []kruntime.Object
	for i := range 100 {
		out = append(out, nodeOf(fmt.Sprint("node-", i), "eu-north", fmt.Sprint("zone-", i%3)))
	}
	for i := range manyServices {
		out = append(out, serviceOf(numbered(i)), exportObject(numbered(i)), manySlice(i, 0))
	}
	return out
}

// TestThousandServicesChurn changes pods all over a large cluster: each change is told, alone, and nothing else is.
func TestThousandServicesChurn(t *testing.T) {
	c := newCluster(t, manyObjects()...)
	c.start()
	if len(c.workloads) != manyServices*manyEndpoints || len(c.exports) != manyServices {
		t.Fatalf("%d workloads of %d exports", len(c.workloads), len(c.exports))
	}
	const changes = manyServices - 1
	for turn := 1; turn <= changes; turn++ {
		i := turn * 7 % manyServices
		s := manySlice(i, turn)
		mustDo[any](t)(c.client.DiscoveryV1().EndpointSlices(s.Namespace).Update(t.Context(), s, metav1.UpdateOptions{}))
		if turn%50 == 49 { // a fake's watch holds a hundred events and no more
			id := workloadID(numbered(i), endpoint{pod: s.Endpoints[turn%manyEndpoints].TargetRef.Name})
			c.until("the change is told", func() bool { return !c.workloads[id].Available() })
		}
	}
	for turn := 1; turn <= changes; turn++ {
		i := turn * 7 % manyServices
		want := manySlice(i, turn)
		for _, e := range want.Endpoints {
			id := workloadID(numbered(i), endpoint{pod: e.TargetRef.Name})
			if c.workloads[id].Available() != *e.Conditions.Ready {
				t.Fatalf("%s is told to be %+v", id, c.workloads[id].Health)
			}
		}
	}
	if c.fulls != 1 || len(c.workloads) != manyServices*manyEndpoints {
		t.Errorf("%d full updates, %d workloads", c.fulls, len(c.workloads))
	}
}

func manyIndex() *index {
	x := newIndex("eu", "hanse-system")
	for i := range 100 {
		x.nodes.put(nodeOf(fmt.Sprint("node-", i), "eu-north", fmt.Sprint("zone-", i%3)))
	}
	for i := range manyServices {
		x.services.put(serviceOf(numbered(i)))
		x.exports.put(exportObject(numbered(i)))
		x.slices.put(manySlice(i, 0))
	}
	x.all()
	return x
}

// TestMemoryOfAThousandServices bounds what a large cluster costs for as long as it is watched.
func TestMemoryOfAThousandServices(t *testing.T) {
	before := liveHeap()
	x := manyIndex()
	grown := liveHeap() - before
	t.Logf("%d services of %d endpoints: %.1f MiB", manyServices, manyEndpoints, float64(grown)/(1<<20))
	if grown > 16<<20 {
		t.Errorf("the index takes %d bytes", grown)
	}
	runtime.KeepAlive(x)
}

func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkOneSlice is one pod's change in a large cluster, until it is an update.
func BenchmarkOneSlice(b *testing.B) {
	x := manyIndex()
	slices := []*discoveryv1.EndpointSlice{manySlice(500, 1), manySlice(500, 2)}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		x.slices.put(slices[i%2])
		if u := x.next(); len(u.Upserts) == 0 {
			b.Fatal("nothing changed")
		}
	}
}

// BenchmarkFacts is what a plan asks for.
func BenchmarkFacts(b *testing.B) {
	x := manyIndex()
	b.ReportAllocs()
	for b.Loop() {
		x.facts()
	}
}

// BenchmarkRelist is a list that repeats what is known.
func BenchmarkRelist(b *testing.B) {
	x := manyIndex()
	all := make([]*discoveryv1.EndpointSlice, manyServices)
	for i := range all {
		all[i] = manySlice(i, 0)
	}
	b.ReportAllocs()
	for b.Loop() {
		x.slices.replace(all)
	}
}
