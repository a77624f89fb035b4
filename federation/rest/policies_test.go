package rest_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/federation/state"
)

const (
	euToUS    = `{"failover":[{"from":"eu","to":["us"]}]}`
	euToUSDoc = `{"spec":` + euToUS + `}`
	anyRule   = `{"spec":{"from":["*"],"namespaces":["*"],"to":["*"]}}`
)

// documents is a good document of each kind, by the path of its list; KIND stands in each for the kind.
var documents = map[string]struct {
	kind policy.Kind
	rest string
}{
	"failover-policies":  {policy.KindFailoverPolicy, `"labels":{"team":"shop"},"spec":` + euToUS},
	"export-rules":       {policy.KindExportRule, `"spec":{"from":["*"],"namespaces":["shop"],"services":["cart"],"to":["*"]}`},
	"role-bindings":      {policy.KindRoleBinding, `"spec":{"role":"operator","namespaces":["shop"],"subjects":[{"kind":"certificate","name":"ana"}]}`},
	"identity-providers": {policy.KindIdentityProvider, `"spec":{"issuer":"https://login.example.org","audiences":["hanse"],"jwksUrl":"https://login.example.org/jwks"}`},
}

func TestPolicyComesBackAsWritten(t *testing.T) {
	for path, d := range documents {
		t.Run(path, func(t *testing.T) {
			g := newGroup(t)
			whole := `{"kind":"` + string(d.kind) + `","name":"default",` + d.rest + `}`
			var written rest.Written
			a := g.do("lead", http.MethodPut, "/v1/"+path+"/default", `{`+d.rest+`}`).ok(http.StatusOK, &written)
			if !written.Changed || written.Index != g.state.View().Index || len(written.Warnings) != 0 {
				t.Errorf("written is %+v at index %d", written, g.state.View().Index)
			}
			if got := index(t, a); got < written.Index {
				t.Errorf("the answer's header says index %d, the write stands at %d", got, written.Index)
			}
			got := g.do("follow", http.MethodGet, "/v1/"+path+"/default", "").ok(http.StatusOK, nil)
			if strings.TrimSpace(string(got.body)) != whole {
				t.Errorf("got %s, want %s", got.body, whole)
			}
			if got.header.Get("ETag") == "" || got.header.Get("ETag") != a.header.Get("ETag") {
				t.Errorf("the ETag is %q, that of the write was %q", got.header.Get("ETag"), a.header.Get("ETag"))
			}

			// What was read can be written back, and that changes nothing.
			written = rest.Written{}
			a = g.do("lead", http.MethodPut, "/v1/"+path+"/default", string(got.body)).ok(http.StatusOK, &written)
			if written.Changed || a.header.Get("ETag") != got.header.Get("ETag") {
				t.Errorf("written back: %+v with ETag %q", written, a.header.Get("ETag"))
			}
		})
	}
}

func TestPoliciesAreReplacedListedAndDeleted(t *testing.T) {
	for path, d := range documents {
		t.Run(path, func(t *testing.T) {
			g := newGroup(t)
			a := g.do("lead", http.MethodGet, "/v1/"+path, "").ok(http.StatusOK, nil)
			if strings.TrimSpace(string(a.body)) != `{"items":[]}` {
				t.Errorf("no policies are %s", a.body)
			}
			for _, name := range []string{"b", "c", "a"} {
				g.do("lead", http.MethodPut, "/v1/"+path+"/"+name, `{`+d.rest+`}`).ok(http.StatusOK, nil)
			}
			g.do("lead", http.MethodPut, "/v1/"+path+"/b", `{"labels":{"team":"bank"},`+strings.TrimPrefix(d.rest, `"labels":{"team":"shop"},`)+`}`).ok(http.StatusOK, nil)
			var written rest.Written
			a = g.do("lead", http.MethodDelete, "/v1/"+path+"/a", "").ok(http.StatusOK, &written)
			if !written.Changed || a.header.Get("ETag") != "" {
				t.Errorf("deleted: %+v with ETag %q", written, a.header.Get("ETag"))
			}
			var list rest.List[rest.Document[map[string]any]]
			g.do("lead", http.MethodGet, "/v1/"+path, "").ok(http.StatusOK, &list)
			if got := names(list.Items, func(d rest.Document[map[string]any]) string { return d.Name }); !slices.Equal(got, []string{"b", "c"}) {
				t.Errorf("policies are %v", got)
			}
			list = rest.List[rest.Document[map[string]any]]{}
			g.do("lead", http.MethodGet, "/v1/"+path+"?selector=team%3Dbank", "").ok(http.StatusOK, &list)
			if got := names(list.Items, func(d rest.Document[map[string]any]) string { return d.Name }); !slices.Equal(got, []string{"b"}) {
				t.Errorf("selected are %v", got)
			}
			g.do("lead", http.MethodGet, "/v1/"+path+"/nobody", "").problem(http.StatusNotFound, "nobody")
			g.do("lead", http.MethodDelete, "/v1/"+path+"/nobody", "").problem(http.StatusNotFound, "nobody")
		})
	}
	g := newGroup(t)
	g.do("lead", http.MethodGet, "/v1/export-rules?selector=a%3D%3D%3Db", "").problem(http.StatusUnprocessableEntity, "query.selector")
}

func TestWhatLooksWrongIsWrittenWithAWarning(t *testing.T) {
	g := newGroup(t)
	joined(g, "ap", 1)
	for path, c := range map[string]struct{ doc, says string }{
		"failover-policies/p": {`{"spec":{"failover":[{"from":"ap","to":["us","moon"]}]}}`, "moon"},
		"export-rules/r":      {`{"spec":{"from":["ap"],"namespaces":["shop"],"to":["mars"]}}`, "mars"},
		"role-bindings/b":     {`{"spec":{"role":"viewer","subjects":[{"kind":"user","name":"ana","provider":"login"}]}}`, ""},
	} {
		var written rest.Written
		g.do("lead", http.MethodPut, "/v1/"+path, c.doc).ok(http.StatusOK, &written)
		if c.says != "" && (len(written.Warnings) != 1 || !strings.Contains(written.Warnings[0], c.says)) {
			t.Errorf("%s: warnings are %q", path, written.Warnings)
		}
	}
	v := g.state.View()
	if len(v.Failover)+len(v.Exports)+len(v.Bindings) != 3 {
		t.Error("not everything was written")
	}
}

func TestPoliciesThatMakeNoSense(t *testing.T) {
	g := newGroup(t)
	before := g.state.View().Index
	huge := `{"spec":{"failover":[{"from":"eu","to":["us"]}],"services":["` + strings.Repeat("a", 2<<20) + `"]}}`
	large := `{"spec":{"from":["*"],"namespaces":["` + strings.Repeat(strings.Repeat("a", 60)+`","`, 5000) + `a"],"to":["*"]}}`
	for name, c := range map[string]struct {
		path, body string
		status     int
		says       string
	}{
		"to itself":         {"failover-policies/p", `{"spec":{"failover":[{"from":"eu","to":["eu"]}]}}`, 422, `"location":"body.spec.failover[0].to[0]"`},
		"no order":          {"failover-policies/p", `{"spec":{"failover":[]}}`, 422, `"location":"body.spec.failover"`},
		"no spec":           {"failover-policies/p", `{}`, 422, "failover"},
		"spec alone":        {"failover-policies/p", euToUS, 422, `"location":"body.failover"`},
		"unknown field":     {"failover-policies/p", `{"spec":{"failover":[{"from":"eu","too":["us"]}]}}`, 422, `did you mean \"to\"?`},
		"other kind":        {"failover-policies/p", `{"kind":"ExportRule","spec":` + euToUS + `}`, 422, "kind"},
		"other name":        {"failover-policies/p", `{"name":"q","spec":` + euToUS + `}`, 422, `"location":"body.name"`},
		"other spelling":    {"failover-policies/p", `{"Spec":` + euToUS + `}`, 422, `did you mean \"spec\"?`},
		"bad label":         {"failover-policies/p", `{"labels":{"a b":"c"},"spec":` + euToUS + `}`, 422, "labels"},
		"null":              {"failover-policies/p", `{"labels":null,"spec":` + euToUS + `}`, 422, `"location":"body.labels"`},
		"list":              {"failover-policies/p", `[]`, 422, "document"},
		"wrong type":        {"failover-policies/p", `{"spec":{"failover":[{"from":7,"to":["us"]}]}}`, 422, "from"},
		"bad name":          {"failover-policies/P_1", euToUSDoc, 422, "P_1"},
		"name too long":     {"failover-policies/" + strings.Repeat("a", 64), euToUSDoc, 422, "63"},
		"not JSON":          {"failover-policies/p", `failover: []`, 400, ""},
		"two documents":     {"failover-policies/p", euToUSDoc + euToUSDoc, 400, ""},
		"no body":           {"failover-policies/p", "", 400, "body"},
		"no importer":       {"export-rules/r", `{"spec":{"from":["*"],"namespaces":["*"],"to":[]}}`, 422, "spec.to"},
		"bad namespace":     {"export-rules/r", `{"spec":{"from":["*"],"namespaces":["Shop"],"to":["*"]}}`, 422, "namespaces"},
		"over a mebibyte":   {"failover-policies/p", huge, 413, "large"},
		"too large to keep": {"export-rules/r", large, 422, "bytes"},
		"no role":           {"role-bindings/b", `{"spec":{"role":"king","subjects":[{"kind":"certificate","name":"ana"}]}}`, 422, "spec.role"},
		"no keys":           {"identity-providers/i", `{"spec":{"issuer":"https://a.example","audiences":["hanse"]}}`, 422, "jwks"},
	} {
		for _, node := range []string{"lead", "follow"} {
			a := g.do(node, http.MethodPut, "/v1/"+c.path, c.body)
			t.Run(name+" at "+node, func(t *testing.T) {
				a.t = t
				a.problem(c.status, c.says)
			})
		}
	}
	if v := g.state.View(); len(v.Failover)+len(v.Exports)+len(v.Bindings)+len(v.Providers) > 0 || v.Index > before+2 {
		t.Errorf("%d policies at index %d, which was %d", len(v.Failover)+len(v.Exports), v.Index, before)
	}
}

// What the API accepts and what a file may hold are one schema.
func TestTheBodyIsTheDocumentOfAFile(t *testing.T) {
	docs, err := policy.ParseDocuments("p.yaml", []byte("kind: FailoverPolicy\nname: p\nspec:\n  failover:\n  - {from: eu, to: [us]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := docs[0].CanonicalJSON()
	if err != nil {
		t.Fatal(err)
	}
	g := newGroup(t)
	g.do("lead", http.MethodPut, "/v1/failover-policies/p", string(text)).ok(http.StatusOK, nil)
	if held := g.state.View().Failover["p"]; encode(t, held.Spec) != encode(t, docs[0].Spec()) {
		t.Errorf("held is %+v", held)
	}
}

func TestWritesAreConditional(t *testing.T) {
	g := newGroup(t)
	const path = "/v1/failover-policies/p"
	with := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	other := `{"spec":{"failover":[{"from":"us","to":["eu"]}]}}`
	g.do("lead", http.MethodPut, path, euToUSDoc, with("If-Match", "*")).problem(http.StatusPreconditionFailed, "does not exist")
	first := g.do("lead", http.MethodPut, path, euToUSDoc, with("If-None-Match", "*")).ok(http.StatusOK, nil).header.Get("ETag")
	g.do("lead", http.MethodPut, path, other, with("If-None-Match", "*")).problem(http.StatusPreconditionFailed, "exists already")
	second := g.do("follow", http.MethodPut, path, other, with("If-Match", first)).ok(http.StatusOK, nil).header.Get("ETag")
	g.do("lead", http.MethodPut, path, euToUSDoc, with("If-Match", first)).problem(http.StatusPreconditionFailed, "changed meanwhile")
	g.do("lead", http.MethodDelete, path, "", with("If-Match", first)).problem(http.StatusPreconditionFailed, "changed meanwhile")
	g.do("lead", http.MethodPut, path, other, with("If-Match", "stale")).problem(http.StatusUnprocessableEntity, "If-Match")

	before := g.state.View().Index
	var written rest.Written
	g.do("lead", http.MethodDelete, path+"?dryRun=true", "", with("If-Match", second)).ok(http.StatusOK, &written)
	if !written.DryRun || !written.Changed || written.Index != before || g.state.View().Index != before {
		t.Errorf("a dry run: %+v, index %d, was %d", written, g.state.View().Index, before)
	}
	g.do("lead", http.MethodDelete, path, "", with("If-Match", second)).ok(http.StatusOK, nil)
	g.do("lead", http.MethodDelete, path, "", with("If-Match", second)).problem(http.StatusPreconditionFailed, "any more")
}

// limited makes an operator's token that may write policies about the namespaces, or everything when there are none.
func limited(g *group, seed byte, role model.Role, namespaces ...string) func(*http.Request) {
	g.t.Helper()
	made := g.token(model.TokenOperator, seed)
	held := kept(made)
	held.Role, held.Namespaces, held.Label = role, namespaces, string(role)
	g.apply(state.CreateToken{Token: held})
	return authorization("Bearer " + made.String())
}

// A writer needs leave for what a document is about, and for what it was about before.
func TestWritesNeedLeaveForWhatTheyAreAbout(t *testing.T) {
	g := newGroup(t)
	shop, operator, viewer := limited(g, 20, model.RoleOperator, "shop"), limited(g, 21, model.RoleOperator), limited(g, 22, model.RoleViewer)
	rule := func(namespaces string) string {
		return `{"spec":{"from":["*"],"namespaces":[` + namespaces + `],"to":["*"]}}`
	}
	const path = "/v1/export-rules/"
	g.do("follow", http.MethodPut, path+"shop", rule(`"shop"`), shop).ok(http.StatusOK, nil)
	g.do("lead", http.MethodPut, path+"bank", rule(`"bank"`), operator).ok(http.StatusOK, nil)
	for name, a := range map[string]answer{
		"a viewer":             g.do("lead", http.MethodPut, path+"shop", rule(`"shop"`), viewer),
		"another namespace":    g.do("lead", http.MethodPut, path+"other", rule(`"shop","bank"`), shop),
		"every namespace":      g.do("lead", http.MethodPut, path+"other", rule(`"*"`), shop),
		"what was another's":   g.do("lead", http.MethodPut, path+"bank", rule(`"shop"`), shop),
		"deleting another's":   g.do("lead", http.MethodDelete, path+"bank", "", shop),
		"a policy for all":     g.do("lead", http.MethodPut, "/v1/failover-policies/p", euToUSDoc, shop),
		"who may do what":      g.do("lead", http.MethodPut, "/v1/role-bindings/b", `{`+documents["role-bindings"].rest+`}`, operator),
		"whom to believe":      g.do("lead", http.MethodPut, "/v1/identity-providers/i", `{`+documents["identity-providers"].rest+`}`, operator),
		"members":              g.do("lead", http.MethodDelete, "/v1/clusters/eu", "", operator),
		"tokens":               g.do("lead", http.MethodPost, "/v1/tokens", `{"kind":"node"}`, operator),
		"the list of tokens":   g.do("lead", http.MethodGet, "/v1/tokens", "", operator),
		"the audit log":        g.do("lead", http.MethodGet, "/v1/audit", "", operator),
		"a dry run of it":      g.do("lead", http.MethodPut, path+"other?dryRun=true", rule(`"bank"`), shop),
		"part of a larger set": g.do("lead", http.MethodPost, "/v1/apply", `{"documents":[{"kind":"ExportRule","name":"x",`+rule(`"bank"`)[1:]+`]}`, shop),
	} {
		t.Run(name, func(t *testing.T) {
			a.t = t
			a.problem(http.StatusForbidden, "may")
		})
	}
	g.do("lead", http.MethodGet, path, "", viewer).problem(http.StatusNotFound)
	g.do("lead", http.MethodGet, path+"bank", "", viewer).ok(http.StatusOK, nil)
	g.do("lead", http.MethodDelete, path+"nobody", "", shop).problem(http.StatusNotFound, "nobody")
	g.do("lead", http.MethodDelete, path+"shop", "", shop).ok(http.StatusOK, nil)
}
