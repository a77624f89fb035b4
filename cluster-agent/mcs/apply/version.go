package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	mcsclient "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"
)

// errNotServed says what an API server without the definitions needs.
var errNotServed = errors.New("install the CustomResourceDefinitions of the Multi-Cluster Services API (sigs.k8s.io/mcs-api v0.5.2, in the chart's crds folder)")

// client is what a typed client of one version offers.
type client[O metav1.Object, L runtime.Object] interface {
	List(ctx context.Context, o metav1.ListOptions) (L, error)
	Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)
	Patch(ctx context.Context, name string, t types.PatchType, body []byte, o metav1.PatchOptions, subresources ...string) (O, error)
	Delete(ctx context.Context, name string, o metav1.DeleteOptions) error
}

// resource is one kind of the Multi-Cluster Services API, in v1beta1 if the API server serves that, else in v1alpha1. Both have one schema:
// all objects are handed out as v1beta1's.
type resource[O, A metav1.Object, L, M runtime.Object] struct {
	name  string
	beta  func(namespace string) client[O, L]
	alpha func(namespace string) client[A, M]
	// convert makes an object or a list of v1alpha1 one of v1beta1.
	convert func(runtime.Object) (runtime.Object, error)
	// old says that the API server served only v1alpha1 when it was read last. Each list and watch asks for v1beta1 first: definitions may
	// be replaced at any time.
	old atomic.Bool
}

func (r *resource[O, A, L, M]) list(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	list, err := r.beta(corev1.NamespaceAll).List(ctx, o)
	if !apierrors.IsNotFound(err) {
		r.old.Store(false)
		return list, err
	}
	old, err := r.alpha(corev1.NamespaceAll).List(ctx, o)
	if err != nil {
		return nil, r.missing(err)
	}
	r.old.Store(true)
	return r.convert(old)
}

func (r *resource[O, A, L, M]) watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	w, err := r.beta(corev1.NamespaceAll).Watch(ctx, o)
	if !apierrors.IsNotFound(err) {
		r.old.Store(false)
		return w, err
	}
	if w, err = r.alpha(corev1.NamespaceAll).Watch(ctx, o); err != nil {
		return nil, r.missing(err)
	}
	r.old.Store(true)
	return convertWatch(w, r.convert), nil
}

// missing says that neither version is served.
func (r *resource[O, A, L, M]) missing(err error) error {
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("the API server serves no %s in v1beta1 or v1alpha1: %w", r.name, errNotServed)
	}
	return err
}

func (r *resource[O, A, L, M]) patch(ctx context.Context, k objectKey, body []byte, o metav1.PatchOptions, sub ...string) (metav1.Object, error) {
	if !r.old.Load() {
		return r.beta(k.namespace).Patch(ctx, k.name, types.ApplyPatchType, body, o, sub...)
	}
	var fields map[string]any
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, err
	}
	fields["apiVersion"] = mcsv1alpha1.GroupVersion.String()
	body, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	old, err := r.alpha(k.namespace).Patch(ctx, k.name, types.ApplyPatchType, body, o, sub...)
	if err != nil {
		return nil, err
	}
	object, err := r.convert(any(old).(runtime.Object))
	if err != nil {
		return nil, err
	}
	return object.(metav1.Object), nil
}

func (r *resource[O, A, L, M]) remove(ctx context.Context, k objectKey, o metav1.DeleteOptions) error {
	if r.old.Load() {
		return r.alpha(k.namespace).Delete(ctx, k.name, o)
	}
	return r.beta(k.namespace).Delete(ctx, k.name, o)
}

type imports = resource[*mcsv1beta1.ServiceImport, *mcsv1alpha1.ServiceImport, *mcsv1beta1.ServiceImportList, *mcsv1alpha1.ServiceImportList]

func importResource(c mcsclient.Interface) *imports {
	return &imports{
		name: mcsv1beta1.ServiceImportFullName,
		beta: func(n string) client[*mcsv1beta1.ServiceImport, *mcsv1beta1.ServiceImportList] {
			return c.MulticlusterV1beta1().ServiceImports(n)
		},
		alpha: func(n string) client[*mcsv1alpha1.ServiceImport, *mcsv1alpha1.ServiceImportList] {
			return c.MulticlusterV1alpha1().ServiceImports(n)
		},
		convert: func(o runtime.Object) (runtime.Object, error) {
			if _, list := o.(*mcsv1alpha1.ServiceImportList); list {
				return recode(o, &mcsv1beta1.ServiceImportList{})
			}
			return recode(o, &mcsv1beta1.ServiceImport{})
		},
	}
}

type exports = resource[*mcsv1beta1.ServiceExport, *mcsv1alpha1.ServiceExport, *mcsv1beta1.ServiceExportList, *mcsv1alpha1.ServiceExportList]

func exportResource(c mcsclient.Interface) *exports {
	return &exports{
		name: mcsv1beta1.ServiceExportFullName,
		beta: func(n string) client[*mcsv1beta1.ServiceExport, *mcsv1beta1.ServiceExportList] {
			return c.MulticlusterV1beta1().ServiceExports(n)
		},
		alpha: func(n string) client[*mcsv1alpha1.ServiceExport, *mcsv1alpha1.ServiceExportList] {
			return c.MulticlusterV1alpha1().ServiceExports(n)
		},
		convert: func(o runtime.Object) (runtime.Object, error) {
			if _, list := o.(*mcsv1alpha1.ServiceExportList); list {
				return recode(o, &mcsv1beta1.ServiceExportList{})
			}
			return recode(o, &mcsv1beta1.ServiceExport{})
		},
	}
}

// convertedWatch is a watch whose objects are converted.
type convertedWatch struct {
	watch.Interface
	out  chan watch.Event
	stop context.CancelFunc
}

// convertWatch converts a watch's objects until it ends or is stopped.
func convertWatch(w watch.Interface, convert func(runtime.Object) (runtime.Object, error)) watch.Interface {
	ctx, stop := context.WithCancel(context.Background())
	c := &convertedWatch{Interface: w, out: make(chan watch.Event), stop: stop}
	go func() {
		defer close(c.out)
		for e := range w.ResultChan() {
			if e.Type != watch.Error {
				o, err := convert(e.Object)
				if err != nil {
					return // the reflector lists anew
				}
				e.Object = o
			}
			select {
			case c.out <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	return c
}

func (c *convertedWatch) ResultChan() <-chan watch.Event { return c.out }

func (c *convertedWatch) Stop() {
	c.stop()
	c.Interface.Stop()
}

// recode makes one type another by their common JSON form.
func recode(from, to runtime.Object) (runtime.Object, error) {
	text, err := json.Marshal(from)
	if err != nil {
		return nil, err
	}
	return to, json.Unmarshal(text, to)
}
