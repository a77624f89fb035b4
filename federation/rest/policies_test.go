package rest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/rest"
)

const euToUS = `{"failover":[{"from":"eu","to":["us"]}]}`

func TestPolicyComesBackAsWritten(t *testing.T) {
	g := newGroup(t)
	var written rest.Written
	a := g.do("lead", http.MethodPut, "/v1/failover-policies/default", euToUS).ok(http.StatusOK, &written)
	if written.Index != g.state.View().Index || len(written.Warnings) != 0 {
		t.Errorf("written is %+v at index %d", written, g.state.View().Index)
	}
	if got := index(t, a); got < written.Index {
		t.Errorf("the answer's header says index %d, the write stands at %d", got, written.Index)
	}
	got := g.do("follow", http.MethodGet, "/v1/failover-policies/default", "").ok(http.StatusOK, nil)
	if want := `{"name":"default","spec":` + euToUS + `}`; strings.TrimSpace(string(got.body)) != want {
		t.Errorf("got %s, want %s", got.body, want)
	}

	const rule = `{"from":["*"],"namespaces":["shop"],"services":["cart"],"to":["*"]}`
	g.do("lead", http.MethodPut, "/v1/export-rules/shop", rule).ok(http.StatusOK, nil)
	got = g.do("follow", http.MethodGet, "/v1/export-rules/shop", "").ok(http.StatusOK, nil)
	if want := `{"name":"shop","spec":` + rule + `}`; strings.TrimSpace(string(got.body)) != want {
		t.Errorf("got %s, want %s", got.body, want)
	}
}

func TestPoliciesAreReplacedListedAndDeleted(t *testing.T) {
	g := newGroup(t)
	var empty rest.FailoverPolicyList
	a := g.do("lead", http.MethodGet, "/v1/failover-policies", "").ok(http.StatusOK, &empty)
	if !strings.Contains(string(a.body), "[]") {
		t.Errorf("no policies are %s", a.body)
	}
	for _, name := range []string{"b", "c", "a"} {
		g.do("lead", http.MethodPut, "/v1/failover-policies/"+name, euToUS).ok(http.StatusOK, nil)
		g.do("lead", http.MethodPut, "/v1/export-rules/"+name, `{"from":["*"],"namespaces":["*"],"to":["*"]}`).ok(http.StatusOK, nil)
	}
	g.do("lead", http.MethodPut, "/v1/failover-policies/b", `{"failover":[{"from":"us","to":[],"only":true}]}`).ok(http.StatusOK, nil)
	g.do("lead", http.MethodDelete, "/v1/failover-policies/a", "").ok(http.StatusNoContent, nil)
	g.do("lead", http.MethodDelete, "/v1/export-rules/c", "").ok(http.StatusNoContent, nil)

	var failover rest.FailoverPolicyList
	g.do("lead", http.MethodGet, "/v1/failover-policies", "").ok(http.StatusOK, &failover)
	if p := failover.Policies; len(p) != 2 || p[0].Name != "b" || p[1].Name != "c" || p[0].Spec.Failover[0].From != "us" || !p[0].Spec.Failover[0].Only {
		t.Errorf("policies are %+v", p)
	}
	var exports rest.ExportRuleList
	g.do("lead", http.MethodGet, "/v1/export-rules", "").ok(http.StatusOK, &exports)
	if r := exports.Rules; len(r) != 2 || r[0].Name != "a" || r[1].Name != "b" {
		t.Errorf("rules are %+v", r)
	}

	for _, kind := range []string{"failover-policies", "export-rules"} {
		g.do("lead", http.MethodGet, "/v1/"+kind+"/nobody", "").problem(http.StatusNotFound, "nobody")
		g.do("lead", http.MethodDelete, "/v1/"+kind+"/nobody", "").problem(http.StatusNotFound, "nobody")
	}
}

func TestWhatLooksWrongIsWrittenWithAWarning(t *testing.T) {
	g := newGroup(t)
	joined(g, "ap", 1)
	var written rest.Written
	g.do("lead", http.MethodPut, "/v1/failover-policies/p", `{"failover":[{"from":"ap","to":["us","moon"]}]}`).ok(http.StatusOK, &written)
	if w := written.Warnings; len(w) != 1 || !strings.Contains(w[0], "moon") {
		t.Errorf("warnings are %q", w)
	}
	written = rest.Written{}
	g.do("lead", http.MethodPut, "/v1/export-rules/r", `{"from":["ap"],"namespaces":["shop"],"to":["mars"]}`).ok(http.StatusOK, &written)
	if w := written.Warnings; len(w) != 1 || !strings.Contains(w[0], "mars") {
		t.Errorf("warnings are %q", w)
	}
	v := g.state.View()
	if _, ok := v.Failover["p"]; !ok {
		t.Error("the policy was not written")
	}
	if _, ok := v.Exports["r"]; !ok {
		t.Error("the rule was not written")
	}
}

func TestPoliciesThatMakeNoSense(t *testing.T) {
	g := newGroup(t)
	before := g.state.View().Index
	huge := `{"failover":[{"from":"eu","to":["us"]}],"services":["` + strings.Repeat("a", 2<<20) + `"]}`
	large := `{"from":["*"],"namespaces":["` + strings.Repeat(`a","`, 100_000) + `a"],"to":["*"]}`
	for name, c := range map[string]struct {
		path, body string
		status     int
		says       string
	}{
		"to itself":         {"failover-policies/p", `{"failover":[{"from":"eu","to":["eu"]}]}`, 422, "itself"},
		"no order":          {"failover-policies/p", `{"failover":[]}`, 422, "spec.failover"},
		"no spec":           {"failover-policies/p", `{}`, 422, "failover"},
		"unknown field":     {"failover-policies/p", `{"failover":[{"from":"eu","to":["us"],"weight":3}]}`, 422, "weight"},
		"whole document":    {"failover-policies/p", `{"name":"p","spec":` + euToUS + `}`, 422, "spec"},
		"wrong type":        {"failover-policies/p", `{"failover":[{"from":7,"to":["us"]}]}`, 422, "from"},
		"bad name":          {"failover-policies/P_1", euToUS, 422, "P_1"},
		"name too long":     {"failover-policies/" + strings.Repeat("a", 64), euToUS, 422, "63"},
		"not JSON":          {"failover-policies/p", `failover: []`, 400, ""},
		"two documents":     {"failover-policies/p", euToUS + euToUS, 400, ""},
		"no body":           {"failover-policies/p", "", 400, "body"},
		"no importer":       {"export-rules/r", `{"from":["*"],"namespaces":["*"],"to":[]}`, 422, "spec.to"},
		"bad namespace":     {"export-rules/r", `{"from":["*"],"namespaces":["Shop"],"to":["*"]}`, 422, "namespaces"},
		"over a mebibyte":   {"failover-policies/p", huge, 413, "large"},
		"too large to keep": {"export-rules/r", large, 422, "bytes"},
	} {
		for _, node := range []string{"lead", "follow"} {
			a := g.do(node, http.MethodPut, "/v1/"+c.path, c.body)
			t.Run(name+" at "+node, func(t *testing.T) {
				a.t = t
				a.problem(c.status, c.says)
			})
		}
	}
	if v := g.state.View(); len(v.Failover)+len(v.Exports) > 0 || v.Index > before+2 {
		t.Errorf("%d policies at index %d, which was %d", len(v.Failover)+len(v.Exports), v.Index, before)
	}
}

// What the API accepts and what a file may hold are one schema.
func TestTheBodyIsTheSpecOfADocument(t *testing.T) {
	docs, err := policy.ParseDocuments("p.yaml", []byte("kind: FailoverPolicy\nname: p\nspec:\n  failover:\n  - {from: eu, to: [us]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	g := newGroup(t)
	g.do("lead", http.MethodPut, "/v1/failover-policies/"+docs[0].Name(), encode(t, docs[0].Spec())).ok(http.StatusOK, nil)
	if held := g.state.View().Failover["p"]; encode(t, held.Spec) != encode(t, docs[0].Spec()) {
		t.Errorf("held is %+v", held)
	}
}
