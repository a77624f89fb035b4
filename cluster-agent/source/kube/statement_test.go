package kube

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
)

// world is all objects of a small cluster; the laws draw changes to it.
type world struct {
	index *index
	// live are the objects as they are, by what would put them into an index.
	live map[string]func(*index)
}

// change draws one change of one object, and makes it in the index.
func (w *world) change(t *rapid.T) {
	k := model.ServiceKey{Namespace: "shop", Name: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "service")}
	if rapid.IntRange(0, 4).Draw(t, "gone") == 0 {
		w.drop(t, k)
		return
	}
	switch rapid.SampledFrom([]string{"service", "export", "slice", "slice", "slice", "node"}).Draw(t, "kind") {
	case "service":
		s := serviceOf(k)
		if rapid.Bool().Draw(t, "headless") {
			s.Spec.ClusterIP = corev1.ClusterIPNone
		}
		if rapid.Bool().Draw(t, "dual") {
			s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv6Protocol, corev1.IPv4Protocol}
		}
		s.Spec.Type = rapid.SampledFrom([]corev1.ServiceType{corev1.ServiceTypeClusterIP, corev1.ServiceTypeExternalName}).Draw(t, "type")
		w.live["service/"+k.Name] = func(x *index) { x.services.put(s) }
		w.index.services.put(s)
	case "export":
		e := exportObject(k)
		e.Generation = int64(rapid.IntRange(1, 3).Draw(t, "generation"))
		w.live["export/"+k.Name] = func(x *index) { x.exports.put(e) }
		w.index.exports.put(e)
	case "slice":
		s := sliceOf(k, rapid.SampledFrom([]string{"s1", "s2", "s3"}).Draw(t, "slice"),
			rapid.SliceOfDistinct(rapid.SampledFrom([]string{"10.0.0.1", "10.0.0.2", "fd00::1"}), rapid.ID).Draw(t, "addresses")...)
		for i := range s.Endpoints {
			s.Endpoints[i].Conditions = conditions(rapid.Bool().Draw(t, "ready"), rapid.Bool().Draw(t, "serving"), rapid.Bool().Draw(t, "terminating"))
		}
		w.live["slice/"+s.Name] = func(x *index) { x.slices.put(s) }
		w.index.slices.put(s)
	case "node":
		n := nodeOf("node-1", rapid.SampledFrom([]string{"eu", "us", ""}).Draw(t, "region"), rapid.SampledFrom([]string{"a", "b"}).Draw(t, "zone"))
		w.live["node/"+n.Name] = func(x *index) { x.nodes.put(n) }
		w.index.nodes.put(n)
	}
}

func (w *world) drop(t *rapid.T, k model.ServiceKey) {
	switch key := (objectKey{k.Namespace, k.Name}); rapid.SampledFrom([]string{"service", "export", "slice", "node"}).Draw(t, "kind") {
	case "service":
		delete(w.live, "service/"+k.Name)
		w.index.services.drop(key)
	case "export":
		delete(w.live, "export/"+k.Name)
		w.index.exports.drop(key)
	case "slice":
		name := rapid.SampledFrom([]string{"s1", "s2", "s3"}).Draw(t, "slice")
		delete(w.live, "slice/"+name)
		w.index.slices.drop(objectKey{k.Namespace, name})
	case "node":
		delete(w.live, "node/node-1")
		w.index.nodes.drop(objectKey{name: "node-1"})
	}
}

// TestUpdatesLeadToWhatAFreshLookSees is the law of the whole index: whatever changed, in whatever order and told in whatever steps, the sum
// of the updates is what somebody sees who comes new; and so are the facts.
func TestUpdatesLeadToWhatAFreshLookSees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := world{index: newIndex("eu", "hanse-system"), live: map[string]func(*index){}}
		workloads, exports := map[string]model.Workload{}, map[model.ServiceKey]model.ServiceExport{}
		for range rapid.IntRange(1, 30).Draw(t, "changes") {
			w.change(t)
			if rapid.Bool().Draw(t, "tell") {
				apply(t, w.index.next(), workloads, exports)
			}
		}
		apply(t, w.index.next(), workloads, exports)
		if again := w.index.next(); !reflect.DeepEqual(again, w.index.next()) || len(again.Upserts)+len(again.Removals)+len(again.Exports)+len(again.Unexported) != 0 {
			t.Errorf("told again: %+v", again)
		}

		fresh := newIndex("eu", "hanse-system")
		for _, name := range slices.Sorted(maps.Keys(w.live)) {
			w.live[name](fresh)
		}
		seen, seenExports := map[string]model.Workload{}, map[model.ServiceKey]model.ServiceExport{}
		apply(t, fresh.all(), seen, seenExports)
		if !reflect.DeepEqual(workloads, seen) || !reflect.DeepEqual(exports, seenExports) {
			t.Errorf("told:\n%+v\n%+v\nseen:\n%+v\n%+v", workloads, exports, seen, seenExports)
		}
		if told, fresh := w.index.facts(), fresh.facts(); !reflect.DeepEqual(told, fresh) {
			t.Errorf("facts are\n%+v\nand for a fresh look\n%+v", told, fresh)
		}
	})
}

func TestRepeatedObjectsAreNoChange(t *testing.T) {
	x := newIndex("eu", "hanse-system")
	k := payments
	objects := func() {
		x.services.put(serviceOf(k))
		x.exports.put(exportObject(k))
		x.slices.put(sliceOf(k, "s", "10.0.0.1"))
		x.nodes.put(nodeOf("node-1", "eu", "a"))
		x.namespaces.put(namespaceOf("shop"))
	}
	objects()
	x.all()
	x.news = false
	objects()
	x.slices.replace([]*discoveryv1.EndpointSlice{sliceOf(k, "s", "10.0.0.1")})
	if len(x.touched) != 0 || x.moved || x.news {
		t.Errorf("touched %v, moved %v, news %v", x.touched, x.moved, x.news)
	}
}

func TestOnlyWhatChangedIsWorkedOut(t *testing.T) {
	x := newIndex("eu", "hanse-system")
	for i := range 3 {
		k := model.ServiceKey{Namespace: "shop", Name: fmt.Sprint("s", i)}
		x.services.put(serviceOf(k))
		x.slices.put(sliceOf(k, k.Name, "10.0.0.1"))
		if i > 0 {
			x.exports.put(exportObject(k))
		}
	}
	x.all()
	x.slices.put(sliceOf(model.ServiceKey{Namespace: "shop", Name: "s0"}, "s0", "10.0.0.2"))
	if len(x.touched) != 0 {
		t.Errorf("a service that is not exported is worked out: %v", x.touched)
	}
	x.slices.put(sliceOf(model.ServiceKey{Namespace: "shop", Name: "s1"}, "s1", "10.0.0.2"))
	if len(x.touched) != 1 {
		t.Errorf("touched %v", x.touched)
	}
	n := nodeOf("node-1", "eu", "a")
	x.nodes.put(n)
	x.next()
	n = n.DeepCopy()
	n.Status.Conditions[0].Status = corev1.ConditionFalse
	x.nodes.put(n)
	if len(x.touched) != 0 {
		t.Errorf("a node that fails moves nothing: %v", x.touched)
	}
}
