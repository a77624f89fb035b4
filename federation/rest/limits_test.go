package rest_test

import (
	"bufio"
	"net"
	"net/http"
	"net/http/httptest"
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

func TestANodeAnswersSoManyRequestsAtOneTime(t *testing.T) {
	g := newGroup(t)
	g.serve(rest.Limits{Concurrent: 1})
	entered, release, done := make(chan struct{}), make(chan struct{}), make(chan answer)
	g.onForward = func() {
		entered <- struct{}{}
		<-release
	}
	go func() { done <- g.do("follow", http.MethodPut, "/v1/failover-policies/p", euToUSDoc) }()
	<-entered
	a := g.do("follow", http.MethodGet, "/v1/nodes", "").problem(http.StatusServiceUnavailable, "another node")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	close(release)
	first := <-done
	first.ok(http.StatusOK, nil)
	g.do("follow", http.MethodGet, "/v1/nodes", "").ok(http.StatusOK, nil)
}

// connected is a raw connection to the leader's API, on which a request has begun.
func connected(t *testing.T, g *group, request string) *net.TCPConn {
	t.Helper()
	server := httptest.NewServer(g.nodes["lead"])
	t.Cleanup(server.Close)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.Write([]byte(strings.ReplaceAll(request, "\n", "\r\n"))); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// The client sends a part of its body and then nothing, or says that nothing will come; or it has no credential at all.
func TestRequestsThatDoNotEndAreAnswered(t *testing.T) {
	const put = "PUT /v1/failover-policies/p HTTP/1.1\nHost: h\nContent-Length: 100\n"
	g := newGroup(t)
	good := "Authorization: Bearer " + g.operator.String() + "\n"
	for name, c := range map[string]struct {
		request string
		closes  bool
		limits  rest.Limits
		status  int
	}{
		"slow":                       {put + good + "\n{", false, rest.Limits{Body: 50 * time.Millisecond}, http.StatusRequestTimeout},
		"half closed":                {put + good + "\n{", true, rest.Limits{}, http.StatusBadRequest},
		"slow without a credential":  {put + "\n{", false, rest.Limits{}, http.StatusUnauthorized},
		"a read with a body to come": {"GET /v1/nodes HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n" + good + "\n", false, rest.Limits{Body: 50 * time.Millisecond}, http.StatusRequestTimeout},
		"chunks without an end":      {"PUT /v1/failover-policies/p HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n" + good + "\n1\n{\n", true, rest.Limits{}, http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			g.serve(c.limits)
			conn := connected(t, g, c.request)
			if c.closes {
				if err := conn.CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if resp.StatusCode != c.status || !resp.Close || resp.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("status %d, want %d; the connection is closed: %t; %v", resp.StatusCode, c.status, resp.Close, resp.Header)
			}
		})
	}
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
