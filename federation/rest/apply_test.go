package rest_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hanse-mesh/hanse/federation/rest"
)

func setOf(prune string, documents ...string) string {
	return `{"documents":[` + strings.Join(documents, ",") + `],"prune":"` + prune + `"}`
}

func exportRule(name, namespace string) string {
	return fmt.Sprintf(`{"kind":"ExportRule","name":"%s","spec":{"from":["*"],"namespaces":["%s"],"to":["*"]}}`, name, namespace)
}

func actions(a rest.Applied) []string {
	return names(a.Results, func(r rest.AppliedResult) string { return r.Name + " " + r.Action })
}

func TestApplyMakesASetSo(t *testing.T) {
	g := newGroup(t)
	apply := func(query, body string) rest.Applied {
		t.Helper()
		var out rest.Applied
		g.do("follow", http.MethodPost, "/v1/apply"+query, body).ok(http.StatusOK, &out)
		return out
	}
	policyDoc := `{"kind":"FailoverPolicy","name":"p","labels":{"team":"a"},"spec":` + euToUS + `}`
	before := g.state.View().Index
	if out := apply("?dryRun=true", setOf("shop", exportRule("a", "shop"), policyDoc)); !out.DryRun || out.Index != before ||
		!slices.Equal(actions(out), []string{"a created", "p created"}) || g.state.View().Index != before {
		t.Errorf("a dry run: %+v at index %d, was %d", out, g.state.View().Index, before)
	}
	out := apply("", setOf("shop", exportRule("a", "shop"), exportRule("b", "shop"), policyDoc))
	if out.Index != before+1 || g.state.View().Index != before+1 || !slices.Equal(actions(out), []string{"a created", "b created", "p created"}) {
		t.Errorf("applied: %+v at index %d, was %d", out, g.state.View().Index, before)
	}
	if want := `{"kind":"FailoverPolicy","name":"p","labels":{"hanse.dev/set":"shop","team":"a"},"spec":` + euToUS + `}`; string(out.Results[2].After) != want {
		t.Errorf("after is %s, want %s", out.Results[2].After, want)
	}
	// Again the same changes nothing, not even the index.
	if out := apply("", setOf("shop", exportRule("a", "shop"), exportRule("b", "shop"), policyDoc)); out.Index != before+1 ||
		!slices.Equal(actions(out), []string{"a unchanged", "b unchanged", "p unchanged"}) || g.state.View().Index != before+1 {
		t.Errorf("again: %+v at index %d", out, g.state.View().Index)
	}

	g.do("lead", http.MethodPut, "/v1/export-rules/foreign", anyRule).ok(http.StatusOK, nil)
	out = apply("", setOf("shop", exportRule("a", "bank"), policyDoc))
	if !slices.Equal(actions(out), []string{"a changed", "p unchanged", "b deleted"}) || !strings.Contains(string(out.Results[0].Before), "shop") ||
		!strings.Contains(string(out.Results[0].After), "bank") || out.Results[2].After != nil || out.Results[2].Before == nil {
		t.Errorf("pruned: %v", actions(out))
	}
	if v := g.state.View(); len(v.Exports) != 2 || v.Exports["foreign"].Name == "" {
		t.Errorf("there are %v", v.Exports)
	}
	// Without prune nothing goes.
	if out := apply("", `{"documents":[`+exportRule("c", "shop")+`]}`); !slices.Equal(actions(out), []string{"c created"}) {
		t.Errorf("without prune: %v", actions(out))
	}
	out = apply("", setOf("shop"))
	if got := actions(out); !slices.Equal(got, []string{"p deleted", "a deleted"}) {
		t.Errorf("an empty set: %v", got)
	}
}

func TestApplyWritesAllOrNothing(t *testing.T) {
	g := newGroup(t)
	before := g.state.View().Index
	good := exportRule("good", "shop")
	for name, c := range map[string]struct {
		body string
		says []string
	}{
		"every fault is told": {
			setOf("", good, `{"kind":"ExportRule","name":"x","spec":{"form":[]}}`, `{"kind":"ExportRul","name":"y","spec":{}}`, `{"kind":"ExportRule","spec":{}}`),
			[]string{"body.documents[1].spec.form", `did you mean \"from\"?`, "body.documents[2].kind", "body.documents[3].name"},
		},
		"twice":         {setOf("", good, good), []string{"body.documents[1]", "body.documents[0] already"}},
		"another set":   {setOf("shop", `{"kind":"ExportRule","name":"x","labels":{"hanse.dev/set":"bank"},"spec":{"from":["*"],"namespaces":["*"],"to":["*"]}}`), []string{"body.documents[0].labels.hanse.dev/set"}},
		"no set's name": {setOf("a b", good), []string{"body.prune"}},
		"null":          {`{"documents":[` + good + `],"prune":null}`, []string{"body.prune"}},
		"no list":       {`{"documents":{}}`, []string{"body.documents"}},
		"nothing":       {`{}`, []string{"documents"}},
		"unknown field": {`{"documents":[],"purge":"shop"}`, []string{"purge"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := g.do("lead", http.MethodPost, "/v1/apply", c.body)
			a.t = t
			a.problem(http.StatusUnprocessableEntity, c.says...)
		})
	}
	if v := g.state.View(); v.Index != before || len(v.Exports) > 0 {
		t.Errorf("something was written: index %d, was %d", v.Index, before)
	}
}

// The providers that a set brings are as good as those that are there.
func TestASetKnowsItself(t *testing.T) {
	g := newGroup(t)
	provider := `{"kind":"IdentityProvider","name":"login",` + documents["identity-providers"].rest + `}`
	other := strings.Replace(provider, `"login"`, `"other"`, 1)
	binding := `{"kind":"RoleBinding","name":"b","spec":{"role":"viewer","subjects":[{"kind":"user","name":"ana","provider":"login"},{"kind":"user","name":"bo","provider":"logn"}]}}`
	var out rest.Applied
	g.do("lead", http.MethodPost, "/v1/apply", `{"documents":[`+binding+`,`+provider+`,`+other+`]}`).ok(http.StatusOK, &out)
	if w := out.Results[0].Warnings; len(w) != 1 || !strings.Contains(w[0], `"logn"`) {
		t.Errorf("warnings are %q", w)
	}
}
