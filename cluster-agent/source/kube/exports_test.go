package kube

import (
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ktesting "k8s.io/client-go/testing"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	mcsfake "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned/fake"
)

// unserved makes the fake answer as an API server that does not serve the version.
func unserved(f *mcsfake.Clientset, version string) {
	refuse := func(a ktesting.Action) (bool, error) {
		gvr := a.GetResource()
		return gvr.Version == version, apierrors.NewNotFound(gvr.GroupResource(), "")
	}
	f.PrependReactor("list", "*", func(a ktesting.Action) (bool, runtime.Object, error) {
		handled, err := refuse(a)
		return handled, nil, err
	})
}

func TestExportsInTheOlderVersionLookLikeTheNewer(t *testing.T) {
	condition := metav1.Condition{Type: "Valid", Status: metav1.ConditionTrue, Reason: "Valid"}
	f := mcsfake.NewSimpleClientset(&mcsv1alpha1.ServiceExport{
		ObjectMeta: metav1.ObjectMeta{Name: "payments", Namespace: "shop", Generation: 3},
		Spec:       mcsv1alpha1.ServiceExportSpec{ExportedLabels: map[string]string{"a": "b"}, ExportedAnnotations: map[string]string{"c": "d"}},
		Status:     mcsv1alpha1.ServiceExportStatus{Conditions: []metav1.Condition{condition}},
	})
	unserved(f, "v1beta1")
	list, err := exportLister{f}.list(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	items := list.(*mcsv1beta1.ServiceExportList).Items
	if len(items) != 1 || items[0].Generation != 3 || items[0].Spec.ExportedLabels["a"] != "b" || items[0].Spec.ExportedAnnotations["c"] != "d" ||
		len(items[0].Status.Conditions) != 1 {
		t.Errorf("got %+v", items)
	}
}

func TestNoVersionOfServiceExportIsServed(t *testing.T) {
	f := mcsfake.NewSimpleClientset()
	unserved(f, "v1beta1")
	unserved(f, "v1alpha1")
	if _, err := (exportLister{f}).list(t.Context(), metav1.ListOptions{}); !errors.Is(err, errNoServiceExport) {
		t.Errorf("got %v", err)
	}
}
