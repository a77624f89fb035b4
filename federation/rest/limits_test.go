package rest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/rest"
)

func TestOneCallersHasteIsHisOwn(t *testing.T) {
	g := newGroup(t)
	other := limited(g, 20, model.RoleViewer)
	g.serve(rest.Limits{PerSecond: 2, Burst: 3})
	for range 3 {
		g.do("lead", http.MethodGet, "/v1/nodes", "").ok(http.StatusOK, nil)
	}
	a := g.do("lead", http.MethodGet, "/v1/nodes", "").problem(http.StatusTooManyRequests, "2 a second")
	if a.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", a.header.Get("Retry-After"))
	}
	g.do("lead", http.MethodGet, "/v1/nodes", "", other).ok(http.StatusOK, nil)
	g.do("follow", http.MethodGet, "/v1/nodes", "").ok(http.StatusOK, nil)
	g.clock.Advance(500 * time.Millisecond)
	g.do("lead", http.MethodGet, "/v1/nodes", "").ok(http.StatusOK, nil)
	g.do("lead", http.MethodGet, "/v1/nodes", "").problem(http.StatusTooManyRequests)
	g.clock.Advance(time.Hour)
	for range 3 {
		g.do("lead", http.MethodGet, "/v1/nodes", "").ok(http.StatusOK, nil)
	}
	g.do("lead", http.MethodGet, "/v1/nodes", "").problem(http.StatusTooManyRequests)
}

// slowBody is a client that has begun to send and does not go on until it is told to.
type slowBody struct {
	reading chan<- struct{}
	release <-chan struct{}
}

func (b slowBody) Read([]byte) (int, error) {
	b.reading <- struct{}{}
	<-b.release
	return 0, http.ErrBodyReadAfterClose
}

func (slowBody) Close() error { return nil }

func TestANodeTakesSoManyRequestsAtOneTime(t *testing.T) {
	g := newGroup(t)
	g.serve(rest.Limits{Concurrent: 1})
	reading, release, done := make(chan struct{}), make(chan struct{}), make(chan answer)
	go func() {
		done <- g.do("lead", http.MethodPut, "/v1/failover-policies/p", euToUSDoc, func(r *http.Request) { r.Body = slowBody{reading, release} })
	}()
	<-reading
	a := g.do("lead", http.MethodGet, "/v1/nodes", "").problem(http.StatusServiceUnavailable, "another node")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	close(release)
	first := <-done
	first.problem(http.StatusBadRequest, "cannot be read")
	g.do("lead", http.MethodGet, "/v1/nodes", "").ok(http.StatusOK, nil)
}

func TestRequestsHaveNames(t *testing.T) {
	g := newGroup(t)
	named := func(id string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(rest.RequestIDHeader, id) }
	}
	for _, id := range []string{"a", "Build-7.1_x", strings.Repeat("a", 64)} {
		a := g.do("lead", http.MethodGet, "/v1/nodes", "", named(id))
		if got := a.header.Values(rest.RequestIDHeader); len(got) != 1 || got[0] != id {
			t.Errorf("the request %q is answered as %q", id, got)
		}
	}
	for _, id := range []string{"", "a b", "é", "a\"b", strings.Repeat("a", 65)} {
		a := g.do("lead", http.MethodGet, "/v1/nodes", "", named(id))
		if got := a.header.Get(rest.RequestIDHeader); got == id || len(got) != 16 {
			t.Errorf("the request %q is answered as %q", id, got)
		}
	}
	// Refusals have them too, and a request keeps its name on its way to the leader and into the audit log.
	if a := g.do("lead", http.MethodGet, "/v1/nodes", "", authorization(""), named("x1")); a.header.Get(rest.RequestIDHeader) != "x1" {
		t.Errorf("a refusal has %v", a.header)
	}
	a := g.do("follow", http.MethodPut, "/v1/failover-policies/p", euToUSDoc, named("x2")).ok(http.StatusOK, nil)
	if got := a.header.Values(rest.RequestIDHeader); len(got) != 1 || got[0] != "x2" {
		t.Errorf("a request that was sent on is answered as %q", got)
	}
	log := g.state.View().Audit()
	if e := log[len(log)-1]; e.Actor.RequestID != "x2" || e.Name != "p" {
		t.Errorf("the audit log says %+v", e)
	}
}

func TestAnswersSayHowOldTheyAre(t *testing.T) {
	g := newGroup(t)
	for age, want := range map[time.Duration]string{0: "0.000", 1500 * time.Millisecond: "1.500", -1: ""} {
		g.live.age = age
		if a := g.do("lead", http.MethodGet, "/v1/nodes", ""); a.header.Get(rest.AgeHeader) != want {
			t.Errorf("the age is %q, want %q", a.header.Get(rest.AgeHeader), want)
		}
	}
}
