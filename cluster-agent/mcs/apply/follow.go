package apply

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// again is how soon an API server that was away is asked again. It is one cluster's own: a few requests in five seconds are nothing to it.
var again = wait.Backoff{Duration: 250 * time.Millisecond, Cap: 5 * time.Second, Steps: 10, Factor: 2, Jitter: 0.5}

// lister makes a typed client's list one of any kind, of the objects with the labels.
func lister[L runtime.Object](list func(context.Context, metav1.ListOptions) (L, error), labels string) func(context.Context, metav1.ListOptions) (runtime.Object, error) {
	return func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		o.LabelSelector = labels
		l, err := list(ctx, o)
		if err != nil {
			return nil, err
		}
		return l, nil
	}
}

func watcher(start func(context.Context, metav1.ListOptions) (watch.Interface, error), labels string) func(context.Context, metav1.ListOptions) (watch.Interface, error) {
	return func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		o.LabelSelector = labels
		return start(ctx, o)
	}
}

// follow lists and watches one kind until ctx ends. The reflector's own log is dropped: what fails is reported by the calls themselves.
func (a *Applier) follow(ctx context.Context, k *kind) {
	quiet := logr.Discard()
	lw := cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			l, err := k.list(ctx, o)
			a.report(ctx, k, err)
			return l, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			w, err := k.watch(ctx, o)
			a.report(ctx, k, err)
			return w, err
		},
	}, a.cfg.Client)
	r := cache.NewReflectorWithOptions(lw, k.example, store{a, k}, cache.ReflectorOptions{Name: k.resource, Backoff: &again, Logger: &quiet})
	r.RunWithContext(logr.NewContext(ctx, quiet))
}

// report takes note of why a kind cannot be read. What was read before counts on.
func (a *Applier) report(ctx context.Context, k *kind, err error) {
	if ctx.Err() != nil || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.IsInvalid(err) {
		return // an old resource version, or a way of reading that the API server does not have: the next list heals both
	}
	k.mu.Lock()
	before := k.trouble
	k.trouble = unreadable(k, err)
	news := k.trouble != nil && (before == nil || before.Error() != k.trouble.Error())
	k.mu.Unlock()
	if news {
		a.cfg.Logger.Warn("the agent's own objects cannot be read", "resource", k.resource, "error", err)
		// Whoever waits for the first reading hears why it does not come.
		a.notify()
	}
}

// unreadable says what to do about a kind that cannot be read.
func unreadable(k *kind, err error) error {
	switch {
	case err == nil, errors.Is(err, errNotServed):
		return err
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%s cannot be read: grant the agent's ServiceAccount the verbs list and watch for them in a ClusterRole: %w", k.resource, err)
	default:
		return fmt.Errorf("%s cannot be read: %w", k.resource, err)
	}
}

// store takes what a reflector reads.
type store struct {
	applier *Applier
	kind    *kind
}

var (
	_ cache.ReflectorStore    = store{}
	_ cache.TransformingStore = store{}
)

// Transformer drops what is large and not looked at before all objects of a list are held at once.
func (store) Transformer() cache.TransformFunc {
	return func(object any) (any, error) {
		if o, err := meta.Accessor(object); err == nil {
			o.SetManagedFields(nil)
		}
		return object, nil
	}
}

func (s store) Add(object any) error {
	if o, ok := object.(metav1.Object); ok && s.kind.put(o) {
		s.applier.notify()
	}
	return nil
}

func (s store) Update(object any) error { return s.Add(object) }

func (s store) Delete(object any) error {
	if o, ok := object.(metav1.Object); ok && s.kind.drop(o) {
		s.applier.notify()
	}
	return nil
}

// Replace is the result of a list. Only now the kind is known.
func (s store) Replace(all []any, version string) error {
	objects := make([]metav1.Object, 0, len(all))
	for _, object := range all {
		if o, ok := object.(metav1.Object); ok {
			objects = append(objects, o)
		}
	}
	s.kind.replace(objects, version)
	s.applier.notify()
	return nil
}

// Resync would repeat what is known.
func (store) Resync() error { return nil }
