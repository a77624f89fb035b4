package rest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/trust/token"
)

func TestOnlyOperatorsAreLetIn(t *testing.T) {
	g := newGroup(t)
	join, revoked, short := g.token(model.TokenNode, 2), g.token(model.TokenOperator, 3), g.token(model.TokenOperator, 4)
	nodeToken, shortLived := kept(join), kept(short)
	nodeToken.ExpiresAt, shortLived.ExpiresAt = start.Add(time.Hour), start.Add(time.Minute)
	g.apply(state.CreateToken{Token: nodeToken})
	g.apply(state.CreateToken{Token: kept(revoked)})
	g.apply(state.CreateToken{Token: shortLived})
	g.apply(state.RevokeToken{ID: revoked.ID})
	g.clock.Advance(2 * time.Minute)
	forged := g.operator
	forged.Secret = "guessed"
	text := g.operator.String()

	for name, c := range map[string]struct{ credential, says string }{
		"nothing":         {"", "no credential"},
		"another scheme":  {"Basic " + text, "no credential"},
		"scheme only":     {"Bearer", "not a hanse token"},
		"no token":        {"Bearer let-me-in", "not a hanse token"},
		"mistyped":        {"Bearer " + text[:len(text)-2] + "AA", "mistyped"},
		"cut short":       {"Bearer " + text[:len(text)-20], "cut short"},
		"another kind":    {"Bearer " + join.String(), "node token"},
		"wrong secret":    {"Bearer " + forged.String(), "secret is wrong"},
		"unknown":         {"Bearer " + g.token(model.TokenOperator, 9).String(), "not known here"},
		"revoked":         {"Bearer " + revoked.String(), "revoked"},
		"expired":         {"Bearer " + short.String(), "expired"},
		"a workload's":    {"Bearer " + g.token(token.Workload, 5).String(), "workload token"},
		"label exchanged": {"Bearer " + strings.Replace(join.String(), "-node-", "-operator-", 1), "mistyped"},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPut} {
			a := g.do("follow", method, "/v1/failover-policies/p", `{"failover":[{"from":"eu","to":["us"]}]}`, authorization(c.credential))
			t.Run(name+" "+method, func(t *testing.T) {
				a.t = t
				a.problem(http.StatusUnauthorized, c.says)
				if a.header.Get("WWW-Authenticate") == "" {
					t.Error("no WWW-Authenticate")
				}
			})
		}
	}
	if len(g.forwarded) != 0 || len(g.state.View().Failover) != 0 {
		t.Error("a refused request went on")
	}
	g.do("lead", http.MethodGet, "/v1/nodes", "").ok(http.StatusOK, nil)
	g.do("lead", http.MethodGet, "/v1/nodes", "", authorization("bearer "+text)).ok(http.StatusOK, nil)
}

// A node that was restarted holds nothing until it has met a majority: a good token must not be called bad meanwhile.
func TestANodeWithoutStateSaysSo(t *testing.T) {
	g := newGroup(t)
	g.stale = &state.View{}
	a := g.do("follow", http.MethodGet, "/v1/status", "").problem(http.StatusServiceUnavailable, "state")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

func TestTheDescriptionNeedsNoCredential(t *testing.T) {
	g := newGroup(t)
	var doc struct {
		OpenAPI    string `json:"openapi"`
		Paths      map[string]map[string]any
		Components struct {
			SecuritySchemes map[string]any
			Schemas         map[string]any
		}
	}
	a := g.do("follow", http.MethodGet, "/openapi.json", "", authorization(""))
	if a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	decode(t, a.body, &doc)
	if !strings.HasPrefix(doc.OpenAPI, "3.1") || doc.Components.SecuritySchemes["operator"] == nil {
		t.Errorf("openapi %q, schemes %v", doc.OpenAPI, doc.Components.SecuritySchemes)
	}
	for path, methods := range map[string]string{
		"/v1/status": "get", "/v1/services": "get", "/v1/services/{namespace}/{name}": "get", "/v1/nodes": "get", "/v1/nodes/{name}": "get delete",
		"/v1/clusters": "get", "/v1/clusters/{name}": "get delete", "/v1/tokens": "get post", "/v1/tokens/{id}": "get delete",
		"/v1/gateways": "get", "/v1/verdicts": "get", "/v1/workloads": "get", "/v1/trust-domains": "get", "/v1/trust-domains/{domain}": "get",
		"/v1/failover-policies": "get", "/v1/failover-policies/{name}": "get put delete",
		"/v1/export-rules": "get", "/v1/export-rules/{name}": "get put delete",
		"/v1/role-bindings": "get", "/v1/role-bindings/{name}": "get put delete",
		"/v1/identity-providers": "get", "/v1/identity-providers/{name}": "get put delete",
		"/v1/apply": "post", "/v1/audit": "get", "/v1/whoami": "get",
	} {
		for _, m := range strings.Fields(methods) {
			if doc.Paths[path][m] == nil {
				t.Errorf("%s %s is not described", m, path)
			}
		}
	}

	// It is served where it is asked for, and nothing else gets by on its account.
	g.do("follow", http.MethodGet, "/openapi.json?consistent=true", "", authorization("")).ok(http.StatusOK, nil)
	g.do("follow", http.MethodPut, "/openapi.json", "{}", authorization("")).problem(http.StatusUnauthorized)
	if g.barriers != 0 || len(g.forwarded) != 0 {
		t.Errorf("%d barriers and %d requests sent on without a credential", g.barriers, len(g.forwarded))
	}
}

// What is secret, or a hash of it, is in no answer.
func TestSecretsStayInside(t *testing.T) {
	g := newGroup(t)
	joined(g, "eu", 1)
	var made rest.CreatedToken
	g.do("lead", http.MethodPost, "/v1/tokens", `{"kind":"node"}`).ok(http.StatusCreated, &made)
	for _, path := range []string{"/v1/tokens", "/v1/status", "/v1/clusters", "/v1/nodes"} {
		a := g.do("lead", http.MethodGet, path, "").ok(http.StatusOK, nil)
		for _, word := range []string{"secret", "hash", "agentKey", "boundKey", g.operator.Secret, made.Text} {
			if strings.Contains(strings.ToLower(string(a.body)), strings.ToLower(word)) {
				t.Errorf("%s tells %q: %s", path, word, a.body)
			}
		}
	}
}

// The page for people stands by itself: the browser of an operator loads nothing from elsewhere.
func TestThePageForPeople(t *testing.T) {
	g := newGroup(t)
	a := g.do("follow", http.MethodGet, "/docs", "", authorization("")).ok(http.StatusOK, nil)
	page := string(a.body)
	for _, says := range []string{"/v1/failover-policies/{name}", "Write a failover policy", `id="schema-ExportRule"`} {
		if !strings.Contains(page, says) {
			t.Errorf("the page does not say %q", says)
		}
	}
	for _, loads := range []string{"<script", "<link", "<img", "@import", "url("} {
		if strings.Contains(page, loads) {
			t.Errorf("the page has %s", loads)
		}
	}
	if policy := a.header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") {
		t.Errorf("Content-Security-Policy is %q", policy)
	}
}
