package kube

import (
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// retry is how soon an API server that was away is asked again. It is one cluster's own: a few requests in five seconds are nothing to it.
var retry = wait.Backoff{Duration: 250 * time.Millisecond, Cap: 5 * time.Second, Steps: 10, Factor: 2, Jitter: 0.5}

// follow lists and watches one kind until ctx ends. The reflector's own log is dropped: what fails is reported by the calls themselves.
func (s *Source) follow(ctx context.Context, k kind) {
	quiet := logr.Discard()
	lw := cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			l, err := k.list(ctx, o)
			s.report(ctx, k, verbList, err)
			return l, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			w, err := k.watch(ctx, o)
			s.report(ctx, k, verbWatch, err)
			return w, err
		},
	}, s.cfg.Client)
	r := cache.NewReflectorWithOptions(lw, k.example, store{s, k}, cache.ReflectorOptions{Name: k.resource, Backoff: &retry, Logger: &quiet})
	r.RunWithContext(logr.NewContext(ctx, quiet))
}

// report takes note of how a request went. A watch follows a list that went well, or stands for it.
func (s *Source) report(ctx context.Context, k kind, verb string, err error) {
	if ctx.Err() != nil || apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || errors.Is(err, context.Canceled) {
		return // an old resource version is what the next list heals
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && settled(k, err) && s.unseen[k.resource] {
		delete(s.unseen, k.resource)
		notify(s.wake)
	}
	r := request{verb, k.resource}
	if err != nil && !silent(k, err) {
		s.blame(r, err)
		return
	}
	s.clear(r)
	if verb == verbWatch {
		s.clear(request{verbList, k.resource})
	}
}

func (s *Source) blame(r request, err error) {
	was, known := s.troubles[r]
	is := trouble{since: s.cfg.Clock.Now()}
	is.text, is.detail = troubleOf(r, err)
	if known && was.text == is.text {
		is.since = was.since
	}
	s.troubles[r] = is
	if !known || was.text != is.text {
		s.cfg.Logger.Warn("a part of the cluster cannot be seen", "resource", r.resource, "verb", r.verb, "error", err, "remedy", is.text)
		notify(s.changed)
	}
}

func (s *Source) clear(r request) {
	if _, troubled := s.troubles[r]; troubled {
		delete(s.troubles, r)
		s.cfg.Logger.Info("a part of the cluster can be seen again", "resource", r.resource, "verb", r.verb)
		notify(s.changed)
	}
}

// store takes what a reflector reads.
type store struct {
	source *Source
	kind   kind
}

var (
	_ cache.ReflectorStore    = store{}
	_ cache.TransformingStore = store{}
)

// Transformer strips objects of a first list before all of them are held at once.
func (store) Transformer() cache.TransformFunc { return strip }

func (t store) Add(object any) error {
	return t.change(func() { t.kind.held.putAny(object) })
}

func (t store) Update(object any) error { return t.Add(object) }

func (t store) Delete(object any) error {
	return t.change(func() { t.kind.held.dropAny(object) })
}

// Replace is the result of a list. Only now the kind is seen.
func (t store) Replace(all []any, _ string) error {
	return t.change(func() {
		t.kind.held.replaceAny(all)
		delete(t.source.unseen, t.kind.resource)
	})
}

// Resync would repeat what is known.
func (store) Resync() error { return nil }

// change wakes Run once everything was seen: before, it could tell nothing.
func (t store) change(do func()) error {
	s := t.source
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
	if len(s.unseen) == 0 {
		notify(s.wake)
	}
	return nil
}
