package kube

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"

	"github.com/hanse-mesh/hanse/api/model"
)

func TestFirstUpdateIsEverything(t *testing.T) {
	c := newCluster(t, append(shop(), serviceOf(model.ServiceKey{Namespace: "shop", Name: "private"}))...)
	c.start()
	want := model.Workload{
		ID: podOne, Service: payments, Namespace: "shop", Locality: model.Locality{Region: "eu-north", Zone: "a"}, Address: "10.1.0.1",
		Export: true, Plain: true, Health: model.WorkloadHealth{Ready: true},
		Ports: []model.WorkloadPort{{Port: model.Port{Name: "http", Number: 80, Protocol: "http"}, Target: "10.1.0.1:8080"}},
	}
	if len(c.workloads) != 2 || !reflect.DeepEqual(c.workloads[podOne], want) {
		t.Errorf("workloads are %+v", c.workloads)
	}
	export := model.ServiceExport{
		Service: payments, CreatedAt: now, Ports: []model.Port{{Name: "http", Number: 80, Protocol: "http"}}, IPFamilies: []model.IPFamily{"IPv4"},
		SessionAffinity: "None", InternalTrafficPolicy: "Cluster",
	}
	if len(c.exports) != 1 || !reflect.DeepEqual(c.exports[payments], export) {
		t.Errorf("exports are %+v", c.exports)
	}
	if p := c.Problems(); len(p) != 0 {
		t.Errorf("problems: %q", p)
	}
}

func TestNothingIsSentBeforeAllIsSeen(t *testing.T) {
	c := newCluster(t, shop()...)
	c.failing("nodes", func(string) error { return errors.New("connection refused") })
	c.run()
	c.awaitWatch("services", "endpointslices", "namespaces")
	c.untilChanged("the trouble is told", func() bool { return len(c.Problems()) == 1 })
	if _, ok := c.Facts(); ok || c.fulls != 0 {
		t.Error("facts or an update before the nodes are known")
	}
	c.failing("nodes", nil)
	c.until("the first update", func() bool { return c.fulls == 1 })
	if got := c.workloads[podOne].Locality.Region; got != "eu-north" {
		t.Errorf("the pod is in %q", got)
	}
	c.untilChanged("the trouble is over", func() bool { return len(c.Problems()) == 0 })
}

func TestPodsComeFailDrainAndGo(t *testing.T) {
	c := newCluster(t, shop()...)
	c.start()
	api := c.client.DiscoveryV1().EndpointSlices("shop")
	s := sliceOf(payments, "payments-1", "10.1.0.1", "10.1.0.2")
	for _, step := range []struct {
		ready, serving, terminating bool
		want                        model.WorkloadHealth
	}{
		{false, false, false, model.WorkloadHealth{Reason: "the pod is not ready"}},
		{true, true, false, model.WorkloadHealth{Ready: true}},
		{false, true, true, model.WorkloadHealth{Ready: true, Draining: true, Reason: "the pod is terminating"}},
		{false, false, true, model.WorkloadHealth{Draining: true, Reason: "the pod is terminating"}},
	} {
		s.Endpoints[0].Conditions = conditions(step.ready, step.serving, step.terminating)
		mustDo[any](t)(api.Update(t.Context(), s, metav1.UpdateOptions{}))
		c.until("the pod's health is told", func() bool { return c.workloads[podOne].Health == step.want })
	}
	s.Endpoints = s.Endpoints[1:]
	mustDo[any](t)(api.Update(t.Context(), s, metav1.UpdateOptions{}))
	c.until("the pod is gone", func() bool { return len(c.workloads) == 1 })
	if err := api.Delete(t.Context(), s.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.until("all pods are gone", func() bool { return len(c.workloads) == 0 })
	if _, exported := c.exports[payments]; !exported {
		t.Error("the export went with its last pod")
	}
}

func TestUnexportTakesEverythingBack(t *testing.T) {
	c := newCluster(t, shop()...)
	c.start()
	if err := c.mcs.MulticlusterV1beta1().ServiceExports("shop").Delete(t.Context(), "payments", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.until("nothing is exported", func() bool { return len(c.exports) == 0 && len(c.workloads) == 0 })
}

func TestExportIsValidOnceItsServiceIs(t *testing.T) {
	c := newCluster(t, namespaceOf("shop"), exportObject(payments))
	c.start()
	state := func() string {
		f, _ := c.Facts()
		if len(f.Exports) != 1 || (f.Exports[0].Export == nil) != (f.Exports[0].Invalid != "") {
			t.Fatalf("exports are %+v", f.Exports)
		}
		return f.Exports[0].Invalid
	}
	if state() != "NoService" || len(c.exports) != 0 {
		t.Errorf("%s, %+v", state(), c.exports)
	}
	s := serviceOf(payments)
	mustDo[any](t)(c.client.CoreV1().Services("shop").Create(t.Context(), s, metav1.CreateOptions{}))
	c.until("it is exported", func() bool { return len(c.exports) == 1 })
	if state() != "" {
		t.Errorf("%s", state())
	}
	s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeExternalName, "example.com"
	mustDo[any](t)(c.client.CoreV1().Services("shop").Update(t.Context(), s, metav1.UpdateOptions{}))
	c.until("it is not exported", func() bool { return len(c.exports) == 0 })
	if state() != "InvalidServiceType" {
		t.Errorf("%s", state())
	}
}

func TestRelistTellsOnlyDifferences(t *testing.T) {
	c := newCluster(t, shop()...)
	c.start()
	var heard []int
	first := true
	c.failing("endpointslices", func(string) error {
		if first { // the list that follows: one pod went while nobody watched
			first = false
			if err := c.tracker.Update(discoverySlices, sliceOf(payments, "payments-1", "10.1.0.2"), "shop"); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	for _, r := range []string{"services", "nodes", "namespaces", "serviceexports", "endpointslices"} {
		c.expire(r)
		c.awaitWatch(r)
	}
	c.until("the pod is gone", func() bool {
		heard = append(heard, len(c.workloads))
		return len(c.workloads) == 1
	})
	if !reflect.DeepEqual(heard, []int{2, 1}) || c.fulls != 1 {
		t.Errorf("heard %v updates and %d full ones", heard, c.fulls)
	}
}

var discoverySlices = schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}

func TestAPIServerAwayKeepsEverything(t *testing.T) {
	c := newCluster(t, shop()...)
	c.start()
	kinds := []string{"services", "endpointslices", "nodes", "namespaces", "serviceexports", "servicecidrs"}
	for _, r := range kinds {
		c.failing(r, func(string) error { return errors.New("dial tcp 10.96.0.1:443: connect: connection refused") })
		c.expire(r)
	}
	c.untilChanged("the trouble is told", func() bool { return len(c.Problems()) > 0 })
	c.clock.Advance(5 * time.Minute)
	if p := c.Problems(); len(p) != 1 || !strings.Contains(p[0], "does not answer") || !strings.Contains(p[0], "since 2026-03-01T12:00:00Z") || !strings.Contains(p[0], "refused") {
		t.Errorf("problems: %q", p)
	}
	if f, ok := c.Facts(); !ok || len(f.Exports) != 1 {
		t.Errorf("facts are %+v, %v", f, ok)
	}
	for _, r := range kinds {
		c.failing(r, nil)
	}
	c.untilChanged("all is well", func() bool { return len(c.Problems()) == 0 })
	c.awaitWatch("endpointslices")
	mustDo[any](t)(c.client.DiscoveryV1().EndpointSlices("shop").Update(t.Context(), sliceOf(payments, "payments-1", "10.1.0.2"), metav1.UpdateOptions{}))
	c.until("the change is seen", func() bool { return len(c.workloads) == 1 })
	if len(c.exports) != 1 || c.fulls != 1 {
		t.Errorf("exports %+v, %d full updates", c.exports, c.fulls)
	}
}

func TestPermissionsTakenAwayAreNamed(t *testing.T) {
	c := newCluster(t, shop()...)
	c.start()
	c.failing("endpointslices", func(string) error {
		return apierrors.NewForbidden(discoverySlices.GroupResource(), "", errors.New("no rule"))
	})
	c.failing("servicecidrs", func(string) error {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "servicecidrs"}, "", errors.New("no rule"))
	})
	c.expire("servicecidrs")
	c.expire("endpointslices")
	c.untilChanged("it is told", func() bool { return len(c.Problems()) > 0 })
	if p := c.Problems(); len(p) != 1 || !strings.Contains(p[0], "may not list and watch endpointslices.discovery.k8s.io: grant") {
		t.Errorf("problems: %q", p)
	}
	if len(c.workloads) != 2 {
		t.Errorf("workloads are %+v", c.workloads)
	}
	c.failing("endpointslices", nil)
	c.untilChanged("all is well", func() bool { return len(c.Problems()) == 0 })
}

func notServed(versions ...string) func(string) error {
	return func(version string) error {
		for _, v := range versions {
			if v == version {
				return apierrors.NewNotFound(schema.GroupResource{Resource: "serviceexports"}, "")
			}
		}
		return nil
	}
}

func TestDefinitionsMayComeLater(t *testing.T) {
	c := newCluster(t, shop()...)
	c.failing("serviceexports", notServed("v1beta1", "v1alpha1"))
	c.start()
	if len(c.exports) != 0 || len(c.workloads) != 0 {
		t.Errorf("exports %+v", c.exports)
	}
	if p := c.Problems(); len(p) != 1 || !strings.Contains(p[0], "install the CustomResourceDefinitions") {
		t.Errorf("problems: %q", p)
	}
	if _, ok := c.Facts(); !ok {
		t.Error("no facts without the definitions")
	}
	c.failing("serviceexports", nil)
	c.until("it is exported", func() bool { return len(c.exports) == 1 && len(c.workloads) == 2 })
	c.untilChanged("all is well", func() bool { return len(c.Problems()) == 0 })
}

func TestOnlyTheOlderVersionIsServed(t *testing.T) {
	old := &mcsv1alpha1.ServiceExport{ObjectMeta: meta(payments), Spec: mcsv1alpha1.ServiceExportSpec{ExportedLabels: map[string]string{"tier": "gold"}}}
	c := newCluster(t, namespaceOf("shop"), serviceOf(payments), old)
	c.failing("serviceexports", notServed("v1beta1"))
	c.start()
	c.awaitWatch("serviceexports")
	if c.exports[payments].Labels["tier"] != "gold" {
		t.Errorf("exports are %+v", c.exports)
	}
	changed := old.DeepCopy()
	changed.Spec.ExportedLabels["tier"] = "silver"
	mustDo[any](t)(c.mcs.MulticlusterV1alpha1().ServiceExports("shop").Update(t.Context(), changed, metav1.UpdateOptions{}))
	c.until("the change is seen", func() bool { return c.exports[payments].Labels["tier"] == "silver" })
}

func TestRunAgainStartsWithEverything(t *testing.T) {
	c := newCluster(t, shop()...)
	c.start()
	c.stop()
	if err := c.tracker.Delete(discoverySlices, "shop", "payments-1"); err != nil {
		t.Fatal(err)
	}
	c.run()
	c.until("everything is told again", func() bool { return c.fulls == 2 })
	if len(c.workloads) != 0 || len(c.exports) != 1 {
		t.Errorf("workloads %+v, exports %+v", c.workloads, c.exports)
	}
}
