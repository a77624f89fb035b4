package publish

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hanse-mesh/hanse/gateway/snapshot"
	"github.com/hanse-mesh/hanse/gateway/xds"
	"github.com/hanse-mesh/hanse/internal/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// The generator that the binary uses must fit.
var _ = Config{Generate: xds.Generate, Unchanged: xds.Unchanged}

// fakeCache reports every call in words.
type fakeCache struct{ calls chan string }

func (c fakeCache) Set(class string, r xds.Resources) {
	c.calls <- fmt.Sprintf("set %s %s", class, r[xds.ClusterType][0].Version)
}
func (c fakeCache) Drop(class string) { c.calls <- "drop " + class }

// rig is a publisher on a fake clock, whose snapshot is a digest that the test sets.
type rig struct {
	t     *testing.T
	p     *Publisher
	clock *clock.Fake
	calls chan string

	mu     sync.Mutex
	digest string
	index  uint64
	parts  []string
	// built announces each Build, marshalled each resource that the memo did not hold.
	built      chan struct{}
	marshalled chan string
}

func start(t *testing.T) *rig {
	t.Helper()
	r := &rig{
		t: t, clock: clock.NewFake(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), calls: make(chan string, 100),
		built: make(chan struct{}, 100), marshalled: make(chan string, 100),
	}
	r.p = New(Config{
		Build: r.build, Generate: r.generate, Unchanged: r.unchanged, Cache: fakeCache{r.calls}, Clock: r.clock,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
	return r
}

func (r *rig) build() *snapshot.Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.built <- struct{}{}
	if r.digest == "" {
		return nil
	}
	return &snapshot.Snapshot{Digest: r.digest, Index: r.index}
}

func (r *rig) generate(s *snapshot.Snapshot, target xds.Target, m xds.Memo) (xds.Resources, []xds.Problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if target.Workload == "stranger" {
		return nil, []xds.Problem{{Subject: "stranger", Reason: "unknown"}}
	}
	out := []*xds.Resource{{Name: "digest", Version: s.Digest}}
	for _, part := range r.parts {
		res, ok := m.Get(part)
		if !ok {
			res = &xds.Resource{Name: part}
			m.Put(part, res)
			r.marshalled <- part
		}
		out = append(out, res)
	}
	return xds.Resources{xds.ClusterType: out}, []xds.Problem{{Subject: target.Workload, Reason: s.Digest}}
}

// unchanged says that "idle" never changes.
func (r *rig) unchanged(_, _ *snapshot.Snapshot, target xds.Target) bool {
	return target.Workload == "idle"
}

// change sets what the next Build finds and kicks.
func (r *rig) change(digest string, parts ...string) {
	r.mu.Lock()
	r.digest, r.parts = digest, parts
	r.mu.Unlock()
	r.p.Kick()
}

// at is change with the index of the state that is built from; it returns when the publisher has derived from it.
func (r *rig) at(index uint64, digest string) {
	r.t.Helper()
	r.mu.Lock()
	r.index = index
	r.mu.Unlock()
	r.change(digest)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for r.p.Derived() != index {
		if ctx.Err() != nil {
			r.t.Fatalf("the publisher has derived from index %d, not from %d", r.p.Derived(), index)
		}
		r.clock.Advance(limit)
		runtime.Gosched()
	}
}

// await receives from c, rolling the clock forward so that whatever the publisher waits for becomes due.
func await[T any](r *rig, c <-chan T) T {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for ctx.Err() == nil {
		select {
		case v := <-c:
			return v
		default:
			r.clock.Advance(limit)
			runtime.Gosched()
		}
	}
	r.t.Fatal("the publisher did nothing")
	panic("unreachable")
}

func (r *rig) expect(want ...string) {
	r.t.Helper()
	for _, w := range want {
		if got := await(r, r.calls); got != w {
			r.t.Fatalf("the cache was told %q, want %q", got, w)
		}
	}
}

// timers waits until the publisher waits for time to pass.
func (r *rig) timers() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.clock.BlockUntil(ctx, 1); err != nil {
		r.t.Fatal(err)
	}
}

// arrives receives from the cache without moving the clock.
func (r *rig) arrives(want string) {
	r.t.Helper()
	select {
	case got := <-r.calls:
		if got != want {
			r.t.Fatalf("the cache was told %q, want %q", got, want)
		}
	case <-time.After(patience):
		r.t.Fatalf("the cache was told nothing, want %q", want)
	}
}

func TestFirstChangeGoesAtOnceTheNextCoalesce(t *testing.T) {
	r := start(t)
	r.p.Watch("w")
	r.change("1")
	r.arrives("set w 1")
	r.change("2")
	r.timers()
	r.change("3")
	if len(r.calls) != 0 {
		t.Fatal("a change right after another was published without waiting")
	}
	r.clock.Advance(limit)
	r.arrives("set w 3")
}

func TestOnlyWatchedClassesAreGenerated(t *testing.T) {
	r := start(t)
	r.change("1")
	await(r, r.built)
	r.p.Watch("b")
	r.expect("set b 1")
	r.p.Watch("b")
	r.p.Watch("a")
	r.expect("set a 1")
	r.change("2")
	r.expect("set a 2", "set b 2")
	r.p.Unwatch("b")
	r.p.Unwatch("a")
	r.expect("drop a")
	r.change("3")
	r.expect("set b 3")
	r.p.Unwatch("b")
	r.p.Unwatch("b")
	r.expect("drop b")
	if len(r.calls) != 0 {
		t.Fatalf("the cache was also told %q", <-r.calls)
	}
}

func TestSameSnapshotIsNotPublishedAgain(t *testing.T) {
	r := start(t)
	r.p.Watch("w")
	r.change("1")
	r.expect("set w 1")
	await(r, r.built)
	r.change("1")
	await(r, r.built)
	r.change("2")
	r.expect("set w 2")
}

// TestWhichStateASetFollowsFrom: a state that changes nothing for a class counts for the set that it has.
func TestWhichStateASetFollowsFrom(t *testing.T) {
	r := start(t)
	set := func(digest string) string {
		return xds.Resources{xds.ClusterType: {{Name: "digest", Version: digest}}}.Digest()
	}
	follows := func(class, digest string, want uint64, known bool) {
		t.Helper()
		if got, ok := r.p.Acknowledged(class, set(digest)); got != want || ok != known {
			t.Errorf("%s with set %s follows index %d (%v), want %d (%v)", class, digest, got, ok, want, known)
		}
	}
	r.p.Watch("w")
	r.p.Watch("idle")
	r.at(5, "1")
	follows("w", "1", 5, true)
	follows("w", "2", 0, false)
	follows("nobody", "1", 0, false)
	r.at(6, "1")
	follows("w", "1", 6, true)
	r.at(8, "2")
	follows("w", "1", 6, true)
	follows("w", "2", 8, true)
	follows("idle", "1", 8, true)
	if r.p.Newest("w", set("1")) || !r.p.Newest("w", set("2")) || !r.p.Newest("idle", set("1")) || r.p.Newest("nobody", set("1")) {
		t.Error("which set is the newest is not known")
	}
	// A federation that was restored counts anew.
	r.at(3, "3")
	follows("w", "3", 3, true)
	follows("w", "2", 0, false)
	follows("idle", "1", 3, true)
	// Who comes later has what there is.
	r.p.Watch("late")
	for len(r.calls) > 0 {
		<-r.calls
	}
	r.expect("set late 3")
	r.at(4, "3")
	follows("late", "3", 4, true)
	r.p.Unwatch("w")
	follows("w", "3", 0, false)
}

func TestIncompleteInputsPublishNothing(t *testing.T) {
	r := start(t)
	r.p.Watch("w")
	r.change("1")
	r.expect("set w 1")
	await(r, r.built)
	first := r.p.Current()
	r.change("")
	await(r, r.built)
	r.change("2")
	r.expect("set w 2")
	if first.Digest != "1" || r.p.Current().Digest != "2" {
		t.Fatalf("current snapshots were %s and %s, want 1 and 2", first.Digest, r.p.Current().Digest)
	}
}

func TestUnknownTargetKeepsWhatItHas(t *testing.T) {
	r := start(t)
	r.p.Watch("stranger")
	r.p.Watch("z")
	r.change("1")
	r.expect("set z 1")
	if got := r.p.Problems("stranger"); len(got) != 1 || got[0].Reason != "unknown" {
		t.Fatalf("problems are %v, want that the target is unknown", got)
	}
	if got := r.p.Problems("nobody"); got != nil {
		t.Fatalf("problems of a class that nobody watches are %v", got)
	}
}

func TestPartsAreMarshalledOnceAndForgottenWhenUnused(t *testing.T) {
	r := start(t)
	r.p.Watch("a")
	r.p.Watch("b")
	r.change("1", "x", "y")
	r.expect("set a 1", "set b 1")
	r.change("2", "y")
	r.expect("set a 2", "set b 2")
	r.p.Watch("c")
	r.expect("set c 2")
	r.change("3", "x", "y")
	r.expect("set a 3", "set b 3", "set c 3")
	var got []string
	for len(r.marshalled) > 0 {
		got = append(got, <-r.marshalled)
	}
	if want := []string{"x", "y", "x"}; !slices.Equal(got, want) {
		t.Fatalf("marshalled %v, want %v", got, want)
	}
}

func TestAClassThatIsUnchangedKeepsWhatItHas(t *testing.T) {
	r := start(t)
	r.p.Watch("idle")
	r.p.Watch("z")
	r.change("1", "x")
	r.expect("set idle 1", "set z 1")
	r.change("2", "x")
	r.expect("set z 2")
	// It still holds what it shared, although the other one uses it no more.
	r.change("3")
	r.expect("set z 3")
	// Its first stream is served from the current snapshot.
	r.p.Unwatch("idle")
	r.p.Watch("idle")
	r.expect("drop idle", "set idle 3")
	r.change("4", "x")
	r.expect("set z 4")
	var got []string
	for len(r.marshalled) > 0 {
		got = append(got, <-r.marshalled)
	}
	if want := []string{"x", "x"}; !slices.Equal(got, want) {
		t.Fatalf("marshalled %v, want %v", got, want)
	}
}

func TestNothingIsKeptForThoseWhoAreGone(t *testing.T) {
	m := newMemo()
	m.Put("a", &xds.Resource{})
	m.Put("b", &xds.Resource{})
	m.generated("one")
	if _, ok := m.Get("b"); !ok {
		t.Fatal("b is not there")
	}
	m.generated("two")
	m.retain(func(class string) bool { return class == "two" })
	if len(m.entries) != 1 || m.entries["b"] == nil || m.entries["b"].users != 1 || len(m.used) != 1 {
		t.Fatalf("kept %v for %v, want b for two", m.entries, m.used)
	}
	m.generated("two")
	if len(m.entries)+len(m.used) != 0 {
		t.Fatalf("kept %v for %v", m.entries, m.used)
	}
}
