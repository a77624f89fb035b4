package kube

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	ktesting "k8s.io/client-go/testing"
	mcsfake "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned/fake"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/source"
	"github.com/hanse-mesh/hanse/internal/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// cluster is a Source before an API server that is made of fakes, and what an agent has heard of it. Fakes replay nothing: an object that
// is made between a list and the watch that follows it is lost, so every watch is waited for.
type cluster struct {
	*Source
	t       *testing.T
	client  *fake.Clientset
	tracker ktesting.ObjectTracker
	mcs     *mcsfake.Clientset
	clock   *clock.Fake
	updates chan source.Update
	stop    func()

	workloads map[string]model.Workload
	exports   map[model.ServiceKey]model.ServiceExport
	gateways  []model.Gateway
	fulls     int

	mu       sync.Mutex
	fail     map[string]func(version string) error
	watchers map[string]*watch.RaceFreeFakeWatcher
	// watched tells of each watch that begins, begun are those told of and not yet waited for.
	watched chan string
	begun   map[string]bool
}

// newCluster makes an API server with objects of both clients' kinds.
func newCluster(t *testing.T, objects ...runtime.Object) *cluster {
	t.Helper()
	c := &cluster{
		t: t, clock: clock.NewFake(now), updates: make(chan source.Update), watched: make(chan string, 1000),
		begun: map[string]bool{}, fail: map[string]func(string) error{}, watchers: map[string]*watch.RaceFreeFakeWatcher{},
	}
	var core, multi []runtime.Object
	for _, o := range objects {
		if strings.Contains(strings.ToLower(kindOf(o)), "serviceexport") {
			multi = append(multi, o)
		} else {
			core = append(core, o)
		}
	}
	// A tracker that keeps managed fields, as the constructor's does, would spend most of a large cluster's test on them.
	c.client, c.tracker = &fake.Clientset{}, ktesting.NewObjectTracker(scheme.Scheme, scheme.Codecs.UniversalDecoder())
	c.client.AddReactor("*", "*", ktesting.ObjectReaction(c.tracker))
	for _, o := range core {
		if err := c.tracker.Add(o); err != nil {
			t.Fatal(err)
		}
	}
	c.mcs = mcsfake.NewSimpleClientset(multi...)
	c.intercept(&c.client.Fake, c.tracker)
	c.intercept(&c.mcs.Fake, c.mcs.Tracker())
	c.Source = New(Config{
		Client: c.client, MCS: c.mcs, SystemNamespace: "hanse-system", Region: "eu", Clock: c.clock,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	return c
}

// intercept lets lists and watches fail, and keeps hold of watches.
func (c *cluster) intercept(f *ktesting.Fake, tracker ktesting.ObjectTracker) {
	f.PrependReactor("list", "*", func(a ktesting.Action) (bool, runtime.Object, error) {
		err := c.failure(a)
		return err != nil, nil, err
	})
	f.PrependWatchReactor("*", func(a ktesting.Action) (bool, watch.Interface, error) {
		if err := c.failure(a); err != nil {
			return true, nil, err
		}
		w, err := tracker.Watch(a.GetResource(), a.GetNamespace())
		if err != nil {
			return true, nil, err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.watchers[a.GetResource().Resource] = w.(*watch.RaceFreeFakeWatcher)
		c.watched <- a.GetResource().Resource
		return true, w, nil
	})
}

func (c *cluster) failure(a ktesting.Action) error {
	c.mu.Lock()
	fail := c.fail[a.GetResource().Resource]
	c.mu.Unlock()
	if fail == nil {
		return nil
	}
	return fail(a.GetResource().Version)
}

// failing makes requests for a resource fail until it is told otherwise with nil.
func (c *cluster) failing(resource string, fail func(version string) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail[resource] = fail
}

// start runs the source and returns once its first, full, update was heard and everything is watched.
func (c *cluster) start() {
	c.t.Helper()
	c.run()
	c.until("the first update", func() bool { return c.fulls == 1 })
	watched := []string{"services", "endpointslices", "nodes", "namespaces", "servicecidrs"}
	if c.fail["serviceexports"] == nil {
		watched = append(watched, "serviceexports")
	}
	c.awaitWatch(watched...)
}

func (c *cluster) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx, c.updates) }()
	c.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			c.t.Errorf("Run ended with %v", err)
		}
	})
	c.t.Cleanup(c.stop)
}

// awaitWatch returns once each resource is watched anew.
func (c *cluster) awaitWatch(resources ...string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, r := range resources {
		for !c.begun[r] {
			select {
			case began := <-c.watched:
				c.begun[began] = true
			case <-ctx.Done():
				c.t.Fatalf("%s are not watched", r)
			}
		}
		delete(c.begun, r)
	}
}

// expire ends a resource's watch as an API server does that has forgotten its resource version: what follows is a new list.
func (c *cluster) expire(resource string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.watched) > 0 {
		c.begun[<-c.watched] = true
	}
	delete(c.begun, resource)
	status := apierrors.NewResourceExpired("too old").Status()
	c.watchers[resource].Error(&status)
}

// until listens until what was heard fulfils a condition.
func (c *cluster) until(what string, fulfilled func() bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for !fulfilled() {
		select {
		case u := <-c.updates:
			c.hear(u)
		case <-ctx.Done():
			c.t.Fatalf("waited in vain until %s; problems %q", what, c.Problems())
		}
	}
}

// untilChanged waits for what Changed announces.
func (c *cluster) untilChanged(what string, fulfilled func() bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for !fulfilled() {
		select {
		case <-c.Changed():
		case u := <-c.updates:
			c.hear(u)
		case <-ctx.Done():
			c.t.Fatalf("waited in vain until %s; problems %q", what, c.Problems())
		}
	}
}

// hear does what an agent does with an update, and checks what the contract says of it.
func (c *cluster) hear(u source.Update) {
	c.t.Helper()
	if u.Full {
		c.fulls++
		c.workloads, c.exports = map[string]model.Workload{}, map[model.ServiceKey]model.ServiceExport{}
	} else if c.fulls == 0 {
		c.t.Errorf("a change before everything: %+v", u)
	}
	apply(c.t, u, c.workloads, c.exports)
	if u.Gateways != nil {
		c.gateways = u.Gateways
	}
}

// apply folds an update into a view.
func apply(t interface {
	Helper()
	Errorf(string, ...any)
}, u source.Update, workloads map[string]model.Workload, exports map[model.ServiceKey]model.ServiceExport,
) {
	t.Helper()
	touched := map[string]bool{}
	for _, w := range u.Upserts {
		if touched[w.ID] {
			t.Errorf("%s stands twice in an update", w.ID)
		}
		touched[w.ID] = true
		workloads[w.ID] = w
	}
	for _, id := range u.Removals {
		if _, known := workloads[id]; touched[id] || !known {
			t.Errorf("%s is removed, and is among the upserts or was never there", id)
		}
		delete(workloads, id)
	}
	for _, e := range u.Exports {
		exports[e.Service] = e
	}
	for _, k := range u.Unexported {
		if _, known := exports[k]; !known {
			t.Errorf("%s is unexported and was never exported", k)
		}
		delete(exports, k)
	}
}

// mustDo fails the test for the error of a request to a fake.
func mustDo[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
