package rest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

// agents are those that are connected to one node: what they answer, by cluster and kind.
type agents struct {
	answers map[string]string
	// site, when set, is where workloads of the cluster eu are registered.
	site  *registry
	mu    sync.Mutex
	asked []string
}

func (a *agents) Ask(_ context.Context, cluster model.ClusterName, kind model.QueryKind, request []byte) ([]byte, error) {
	key := string(cluster) + " " + string(kind)
	a.mu.Lock()
	a.asked = append(a.asked, key+" "+string(request))
	a.mu.Unlock()
	if a.site != nil && cluster == "eu" && (kind == model.QueryRegister || kind == model.QueryWorkload) {
		return a.site.ask(kind, request)
	}
	text, ok := a.answers[key]
	if !ok {
		return nil, &model.QueryError{Code: model.QueryDisconnected, Message: "not here"}
	}
	if code, message, failed := strings.Cut(strings.TrimPrefix(text, "!"), ": "); failed && text[0] == '!' {
		return nil, &model.QueryError{Code: model.QueryCode(code), Message: message}
	}
	return []byte(text), nil
}

var clockAnswer = `{"now":"2026-03-01T12:00:01Z","version":"v7","instance":"i1","index":9,"certificates":[]}`

func TestAnAgentIsAskedWhereItIsConnected(t *testing.T) {
	g := newGroup(t)
	joined(g, "eu", 1)
	g.live.alive = map[string]bool{"lead": true, "follow": true}
	want := model.AgentClock{Now: start.Add(time.Second), Version: "v7", Instance: "i1", Index: 9, Certificates: []model.CertificateExpiry{}}
	check := func(node string) {
		t.Helper()
		var got model.AgentClock
		g.do(node, http.MethodGet, "/v1/agents/eu/clock", "").ok(http.StatusOK, &got)
		if encode(t, got) != encode(t, want) {
			t.Errorf("%s answers %+v", node, got)
		}
	}
	g.do("lead", http.MethodGet, "/v1/agents/eu/clock", "").problem(http.StatusServiceUnavailable, "cluster eu", "connected to no node")
	g.agents["follow"].answers = map[string]string{"eu clock": clockAnswer}
	check("follow")
	g.forwarded, g.agents["follow"].asked = nil, nil
	check("lead")
	if len(g.forwarded) != 1 || len(g.agents["follow"].asked) != 1 || g.agents["follow"].asked[0] != "eu clock null" {
		t.Errorf("%d requests were sent on, asked was %q", len(g.forwarded), g.agents["follow"].asked)
	}
	if got := g.forwarded[0].Header.Get("Authorization"); got != "" {
		t.Errorf("sent on with the caller's credential %q", got)
	}
	// Nodes that do not answer are not asked.
	g.live.alive["follow"] = false
	g.do("lead", http.MethodGet, "/v1/agents/eu/clock", "").problem(http.StatusServiceUnavailable)
}

// TestAQuestionIsNotPassedOnTwice: what was passed on goes no further, whoever sends it.
func TestAQuestionIsNotPassedOnTwice(t *testing.T) {
	g := newGroup(t)
	joined(g, "eu", 1)
	g.live.alive = map[string]bool{"lead": true, "follow": true}
	a := g.do("lead", http.MethodGet, "/v1/agents/eu/answers/clock?request=null", "").ok(http.StatusOK, nil)
	if len(g.forwarded) != 0 || !strings.Contains(string(a.body), `"disconnected"`) {
		t.Errorf("sent on %d times; %s", len(g.forwarded), a.body)
	}
}

// TestNodesPassQuestionsOnInTheirOwnName: a node's certificate is good for that and for nothing else, and no other certificate is.
func TestNodesPassQuestionsOnInTheirOwnName(t *testing.T) {
	g := newGroup(t)
	joined(g, "eu", 1)
	g.agents["lead"].answers = map[string]string{"eu clock": clockAnswer}
	const passedOn = "/v1/agents/eu/answers/clock?request=null"
	as := func(id string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Del("Authorization")
			g.people.shows(id)(r)
		}
	}
	g.do("lead", http.MethodGet, passedOn, "", as(model.NodeID("acme", "follow"))).ok(http.StatusOK, nil)
	g.do("lead", http.MethodGet, passedOn, "", as(model.NodeID("acme", "removed"))).problem(http.StatusUnauthorized)
	g.do("lead", http.MethodGet, passedOn, "", as(model.AgentID("acme", "eu"))).problem(http.StatusUnauthorized)
	g.do("lead", http.MethodGet, "/v1/agents/eu/clock", "", as(model.NodeID("acme", "follow"))).problem(http.StatusUnauthorized)
	g.do("lead", http.MethodPut, passedOn, "", as(model.NodeID("acme", "follow"))).problem(http.StatusUnauthorized)
	g.do("lead", http.MethodPost, "/v1/agents/eu/answers/clock", "{}", as(model.NodeID("acme", "follow"))).problem(http.StatusForbidden)
	g.do("lead", http.MethodGet, "/v1/status/../agents/eu/answers/clock/../../../clusters", "", as(model.NodeID("acme", "follow"))).problem(http.StatusUnauthorized)
}

func TestWhyAnAgentDoesNotAnswer(t *testing.T) {
	g := newGroup(t)
	joined(g, "eu", 1)
	g.live.alive = map[string]bool{"lead": true, "follow": true}
	for text, want := range map[string]int{
		"!invalid: x y":      http.StatusUnprocessableEntity,
		"!not-found: x y":    http.StatusNotFound,
		"!busy: x y":         http.StatusTooManyRequests,
		"!timed-out: x y":    http.StatusGatewayTimeout,
		"!outdated: x y":     http.StatusBadGateway,
		"!unknown-kind: x y": http.StatusBadGateway,
		"!failed: x y":       http.StatusBadGateway,
		"!denied: x y":       http.StatusForbidden,
		// These answer what changes something, and this does not.
		"!conflict: x y": http.StatusBadGateway,
		"!mismatch: x y": http.StatusBadGateway,
		`"x y"`:          http.StatusBadGateway,
	} {
		for _, at := range []string{"lead", "follow"} {
			g.agents["lead"].answers, g.agents["follow"].answers = nil, nil
			g.agents[at].answers = map[string]string{"eu clock": text}
			a := g.do("lead", http.MethodGet, "/v1/agents/eu/clock", "")
			if text[0] == '!' {
				a.problem(want, "x y")
			} else {
				a.problem(want, "does not understand", "upgrade")
			}
			retry := want == http.StatusTooManyRequests || want == http.StatusGatewayTimeout
			if got := a.header.Get("Retry-After") != ""; got != retry {
				t.Errorf("%s: Retry-After is there: %v", text, got)
			}
		}
	}
	g.do("lead", http.MethodGet, "/v1/agents/us/clock", "").problem(http.StatusNotFound, "no cluster us")
}

func TestWhatAnAgentFindsOfGateways(t *testing.T) {
	g := newGroup(t)
	joined(g, "eu", 1)
	g.agents["lead"].answers = map[string]string{"eu gateways": `[{"cluster":"us","gateway":"gw","address":"192.0.2.1:15443","reachable":"bad","own":"bad"}]`}
	a := g.do("lead", http.MethodGet, "/v1/agents/eu/gateways", "").ok(http.StatusOK, nil)
	var got struct{ Items []model.GatewayFinding }
	if err := json.Unmarshal(a.body, &got); err != nil || len(got.Items) != 1 || got.Items[0].Reachable != "bad" {
		t.Errorf("%v: %s", err, a.body)
	}
}

// TestANodeThatTalksTooMuchIsNotBelieved: another node's answer is read up to a bound.
func TestANodeThatTalksTooMuchIsNotBelieved(t *testing.T) {
	g := newGroup(t)
	joined(g, "eu", 1)
	g.live.alive = map[string]bool{"lead": true, "follow": true}
	body := strings.NewReader(strings.Repeat("x", 2<<20))
	g.nodes["follow"] = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = body.WriteTo(w) })
	g.do("lead", http.MethodGet, "/v1/agents/eu/clock", "").problem(http.StatusServiceUnavailable, "follow", "too long")
	g.nodes["follow"] = http.NotFoundHandler()
	g.do("lead", http.MethodGet, "/v1/agents/eu/clock", "").problem(http.StatusServiceUnavailable, "follow", "upgrade")
}
