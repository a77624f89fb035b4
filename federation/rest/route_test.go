package rest_test

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/hanse-mesh/hanse/federation/state"
)

// index reads which index the answer is not older than.
func index(t *testing.T, a answer) uint64 {
	t.Helper()
	i, err := strconv.ParseUint(a.header.Get("Hanse-Index"), 10, 64)
	if err != nil {
		t.Fatalf("Hanse-Index: %v in %v", err, a.header)
	}
	return i
}

func TestAFollowerAnswersReadsFromItsOwnReplica(t *testing.T) {
	g := newGroup(t)
	g.stale = g.state.View()
	g.do("lead", http.MethodPut, "/v1/failover-policies/p", euToUSDoc).ok(http.StatusOK, nil)

	a := g.do("follow", http.MethodGet, "/v1/failover-policies", "").ok(http.StatusOK, nil)
	if strings.Contains(string(a.body), `"p"`) || index(t, a) != g.stale.Index {
		t.Errorf("a lagging follower answers %s at index %d, holds %d", a.body, index(t, a), g.stale.Index)
	}
	g.do("follow", http.MethodHead, "/v1/failover-policies", "").ok(http.StatusOK, nil)
	g.do("follow", http.MethodGet, "/v1/failover-policies?consistent=false", "").ok(http.StatusOK, nil)
	if len(g.forwarded) != 0 || g.barriers != 0 {
		t.Errorf("local reads cost %d requests to the leader and %d barriers", len(g.forwarded), g.barriers)
	}

	a = g.do("follow", http.MethodGet, "/v1/failover-policies/p?consistent=true", "").ok(http.StatusOK, nil)
	if len(g.forwarded) != 1 || g.barriers != 1 || index(t, a) != g.state.View().Index {
		t.Errorf("a consistent read cost %d requests to the leader and %d barriers, and is of index %d", len(g.forwarded), g.barriers, index(t, a))
	}
	g.do("lead", http.MethodGet, "/v1/failover-policies/p?consistent=true", "").ok(http.StatusOK, nil)
	if g.barriers != 2 {
		t.Error("the leader itself read without a barrier")
	}
}

func TestAFollowerSendsWritesOnWithTheCallersCredential(t *testing.T) {
	g := newGroup(t)
	chunked := func(r *http.Request) { r.ContentLength = -1 }
	g.do("follow", http.MethodPut, "/v1/failover-policies/p", euToUSDoc, chunked).ok(http.StatusOK, nil)
	g.do("follow", http.MethodPost, "/v1/tokens", `{"kind":"node"}`).ok(http.StatusCreated, nil)
	g.do("follow", http.MethodDelete, "/v1/failover-policies/p", "").ok(http.StatusOK, nil)
	if len(g.forwarded) != 3 {
		t.Fatalf("%d requests were sent on", len(g.forwarded))
	}
	for _, r := range g.forwarded {
		if r.Header.Get("Authorization") != "Bearer "+g.operator.String() {
			t.Errorf("%s %s was sent on with %q", r.Method, r.URL, r.Header.Get("Authorization"))
		}
		if r.ContentLength < 0 {
			t.Errorf("%s %s was sent on with a body of unknown length", r.Method, r.URL)
		}
	}
}

// The sender believes in another leader than this node does: without an end to it, they would send the request to each other.
func TestARequestIsSentOnOnlyOnce(t *testing.T) {
	g := newGroup(t)
	sentOn := func(r *http.Request) { r.Header.Set("Hanse-Forwarded-By", "lead") }
	a := g.do("follow", http.MethodPut, "/v1/failover-policies/p", euToUSDoc, sentOn).problem(http.StatusServiceUnavailable, "leadership")
	if a.header.Get("Retry-After") == "" || len(g.forwarded) != 0 {
		t.Errorf("Retry-After is %q, %d requests were sent on", a.header.Get("Retry-After"), len(g.forwarded))
	}
}

func TestWithoutALeaderOnlyLocalReadsAreAnswered(t *testing.T) {
	g := newGroup(t)
	g.leader = ""
	for _, node := range []string{"lead", "follow"} {
		g.do(node, http.MethodGet, "/v1/failover-policies", "").ok(http.StatusOK, nil)
		for _, a := range []answer{
			g.do(node, http.MethodPut, "/v1/failover-policies/p", euToUSDoc),
			g.do(node, http.MethodGet, "/v1/failover-policies?consistent=true", ""),
		} {
			a.problem(http.StatusServiceUnavailable, "no leader")
			if a.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		}
	}
	g.leader = "stranger"
	a := g.do("follow", http.MethodPut, "/v1/failover-policies/p", euToUSDoc).problem(http.StatusServiceUnavailable, "address")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestFailuresOfTheLogAreUnavailability(t *testing.T) {
	g := newGroup(t)
	g.proposeErr, g.barrierErr = errors.New("too few nodes"), errors.New("lost the lead")
	for _, a := range []answer{
		g.do("lead", http.MethodPut, "/v1/failover-policies/p", euToUSDoc).problem(http.StatusServiceUnavailable, "too few nodes"),
		g.do("lead", http.MethodPost, "/v1/tokens", `{"kind":"node"}`).problem(http.StatusServiceUnavailable, "too few nodes"),
		g.do("lead", http.MethodDelete, "/v1/clusters/eu", "").problem(http.StatusServiceUnavailable, "too few nodes"),
		g.do("lead", http.MethodGet, "/v1/status?consistent=true", "").problem(http.StatusServiceUnavailable, "lost the lead"),
	} {
		if a.header.Get("Retry-After") == "" {
			t.Errorf("no Retry-After with %s", a.body)
		}
	}
}

func TestRefusalsKeepTheirMeaning(t *testing.T) {
	for code, status := range map[state.Code]int{
		state.NotFound: http.StatusNotFound, state.Conflict: http.StatusConflict, state.Denied: http.StatusForbidden,
		state.Invalid: http.StatusUnprocessableEntity,
	} {
		g := newGroup(t)
		g.proposeErr = &state.Error{Code: code, Message: "the reason"}
		g.do("follow", http.MethodPut, "/v1/failover-policies/p", euToUSDoc).problem(status, "the reason")
	}
}

func TestConsistentIsTrueOrFalse(t *testing.T) {
	g := newGroup(t)
	g.do("lead", http.MethodGet, "/v1/status?consistent=true", "").ok(http.StatusOK, nil)
	if g.barriers != 1 {
		t.Error("consistent=true is not consistent")
	}
	for _, other := range []string{"1", "yes", "True"} {
		g.do("lead", http.MethodGet, "/v1/status?consistent="+other, "").problem(http.StatusBadRequest, other)
	}
}

// brokenBody is a client that vanishes in the middle of its request.
type brokenBody struct{ io.Reader }

func (brokenBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
func (brokenBody) Close() error             { return nil }

func TestABodyThatBreaksOffIsNotSentOn(t *testing.T) {
	g := newGroup(t)
	g.do("follow", http.MethodPut, "/v1/failover-policies/p", euToUSDoc, func(r *http.Request) { r.Body = brokenBody{} }).problem(http.StatusBadRequest, "body")
	if len(g.forwarded) != 0 {
		t.Error("half a request was sent on")
	}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	g := newGroup(t)
	g.do("lead", http.MethodGet, "/v2/status", "").problem(http.StatusNotFound, "/v2/status", "openapi.json")
	a := g.do("lead", http.MethodPatch, "/v1/failover-policies/p", "{}").problem(http.StatusMethodNotAllowed, "PATCH")
	if allow := a.header.Get("Allow"); !strings.Contains(allow, "PUT") || !strings.Contains(allow, "DELETE") {
		t.Errorf("Allow is %q", allow)
	}
}
