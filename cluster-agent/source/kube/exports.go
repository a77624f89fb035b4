package kube

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	mcsclient "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"
)

// errNoServiceExport says that the cluster does not have the CustomResourceDefinition, in any version that is understood.
var errNoServiceExport = errors.New("the API server serves no " + mcsv1beta1.ServiceExportFullName + " in v1beta1 or v1alpha1: install the CustomResourceDefinitions of the Multi-Cluster Services API")

// exportLister lists and watches ServiceExports in the newest version that the API server serves, and hands all of them out as v1beta1:
// both versions have one schema, and an object's resource version is the same in both. Each call asks for v1beta1 first, so that
// definitions that are installed or replaced later are found by the next attempt.
type exportLister struct{ client mcsclient.Interface }

func (l exportLister) list(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	list, err := l.client.MulticlusterV1beta1().ServiceExports(metav1.NamespaceAll).List(ctx, o)
	if !apierrors.IsNotFound(err) {
		return list, err
	}
	old, err := l.client.MulticlusterV1alpha1().ServiceExports(metav1.NamespaceAll).List(ctx, o)
	if err != nil {
		return nil, noneServed(err)
	}
	converted := &mcsv1beta1.ServiceExportList{ListMeta: old.ListMeta, Items: make([]mcsv1beta1.ServiceExport, len(old.Items))}
	for i := range old.Items {
		converted.Items[i] = *exportFromAlpha(&old.Items[i])
	}
	return converted, nil
}

func (l exportLister) watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	w, err := l.client.MulticlusterV1beta1().ServiceExports(metav1.NamespaceAll).Watch(ctx, o)
	if !apierrors.IsNotFound(err) {
		return w, err
	}
	w, err = l.client.MulticlusterV1alpha1().ServiceExports(metav1.NamespaceAll).Watch(ctx, o)
	if err != nil {
		return nil, noneServed(err)
	}
	return watch.Filter(w, func(e watch.Event) (watch.Event, bool) {
		if old, ok := e.Object.(*mcsv1alpha1.ServiceExport); ok {
			e.Object = exportFromAlpha(old)
		}
		return e, true
	}), nil
}

func noneServed(err error) error {
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%w (%w)", errNoServiceExport, err)
	}
	return err
}

func exportFromAlpha(old *mcsv1alpha1.ServiceExport) *mcsv1beta1.ServiceExport {
	return &mcsv1beta1.ServiceExport{
		ObjectMeta: old.ObjectMeta,
		Spec:       mcsv1beta1.ServiceExportSpec{ExportedLabels: old.Spec.ExportedLabels, ExportedAnnotations: old.Spec.ExportedAnnotations},
		Status:     mcsv1beta1.ServiceExportStatus{Conditions: old.Status.Conditions},
	}
}
