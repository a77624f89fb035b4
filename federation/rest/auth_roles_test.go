package rest_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/access"
)

// decision is who may use a route.
type decision struct {
	least access.Verb
	// body is a good one. Where policies are written it is about the namespace shop, and elsewhere is one about another namespace.
	body, elsewhere string
	// query is added to the route.
	query string
	// everywhere is for what is about all namespaces.
	everywhere bool
	// open routes answer everybody with a good credential, also to whom nothing is granted.
	open bool
}

const (
	aFailover = `{"failover":[{"from":"eu","to":["us"]}]`
	anExport  = `"from":["*"],"to":["*"]`
	aRole     = `{"spec":{"role":"viewer","subjects":[{"kind":"certificate","name":"ann"}]}}`
	aProvider = `{"spec":{"issuer":"https://login.example.org","audiences":["a"],"jwksUrl":"https://login.example.org/keys"}}`
)

// decisions are made here for every route: one that is added without is a failure of TestEveryRouteHasItsRole.
var decisions = map[string]decision{
	"GET /v1/status":                            {least: access.Read},
	"GET /v1/services":                          {least: access.Read},
	"GET /v1/services/{namespace}/{name}":       {least: access.Read},
	"GET /v1/gateways":                          {least: access.Read},
	"GET /v1/verdicts":                          {least: access.Read},
	"GET /v1/workloads":                         {least: access.Read},
	"GET /v1/workloads/{cluster}/{workload}":    {least: access.Read},
	"PUT /v1/workloads/{cluster}/{workload}":    {least: access.WritePolicy, body: aWorkload("shop"), elsewhere: aWorkload("bank")},
	"DELETE /v1/workloads/{cluster}/{workload}": {least: access.WritePolicy},
	"GET /v1/nodes":                             {least: access.Read},
	"GET /v1/nodes/{name}":                      {least: access.Read},
	"DELETE /v1/nodes/{name}":                   {least: access.Administer},
	"GET /v1/clusters":                          {least: access.Read},
	"GET /v1/clusters/{name}":                   {least: access.Read},
	"DELETE /v1/clusters/{name}":                {least: access.Administer},
	"GET /v1/trust-domains":                     {least: access.Read},
	"GET /v1/trust-domains/{domain}":            {least: access.Read},
	"GET /v1/explain":                           {least: access.Read},
	"GET /v1/acknowledged":                      {least: access.Read},
	"GET /v1/agents/{cluster}/clock":            {least: access.Read},
	"GET /v1/agents/{cluster}/gateways":         {least: access.Read},
	"GET /v1/whoami":                            {open: true},
	"GET /v1/audit":                             {least: access.Administer},
	"GET /v1/tokens":                            {least: access.Administer},
	"GET /v1/tokens/{id}":                       {least: access.Administer},
	"POST /v1/tokens":                           {least: access.Administer, body: `{"kind":"node"}`},
	"DELETE /v1/tokens/{id}":                    {least: access.Administer},
	"POST /v1/operator-certificates":            {least: access.Administer, body: `{"name":"ann","csr":"x"}`},
	"GET /v1/failover-policies":                 {least: access.Read},
	"GET /v1/failover-policies/{name}":          {least: access.Read},
	"PUT /v1/failover-policies/{name}":          {least: access.WritePolicy, body: `{"spec":` + aFailover + `,"namespace":"shop"}}`, elsewhere: `{"spec":` + aFailover + `}}`},
	"DELETE /v1/failover-policies/{name}":       {least: access.WritePolicy},
	"GET /v1/export-rules":                      {least: access.Read},
	"GET /v1/export-rules/{name}":               {least: access.Read},
	"PUT /v1/export-rules/{name}":               {least: access.WritePolicy, body: `{"spec":{` + anExport + `,"namespaces":["shop"]}}`, elsewhere: `{"spec":{` + anExport + `,"namespaces":["shop","bank"]}}`},
	"DELETE /v1/export-rules/{name}":            {least: access.WritePolicy},
	"GET /v1/import-rules":                      {least: access.Read},
	"GET /v1/import-rules/{name}":               {least: access.Read},
	"PUT /v1/import-rules/{name}":               {least: access.WritePolicy, body: `{"spec":{` + anExport + `,"namespaces":["*"]}}`, everywhere: true},
	"DELETE /v1/import-rules/{name}":            {least: access.WritePolicy, everywhere: true},
	"GET /v1/role-bindings":                     {least: access.Read},
	"GET /v1/role-bindings/{name}":              {least: access.Read},
	"PUT /v1/role-bindings/{name}":              {least: access.Administer, body: aRole},
	"DELETE /v1/role-bindings/{name}":           {least: access.Administer},
	"GET /v1/identity-providers":                {least: access.Read},
	"GET /v1/identity-providers/{name}":         {least: access.Read},
	"PUT /v1/identity-providers/{name}":         {least: access.Administer, body: aProvider},
	"DELETE /v1/identity-providers/{name}":      {least: access.Administer},
	"GET /v1/events":                            {least: access.Read},
	// A watch from where nobody has been is answered, and does not last.
	"GET /v1/watch": {least: access.Read, query: "?after=1000000"},
	"POST /v1/apply": {
		least:     access.WritePolicy,
		body:      `{"documents":[{"kind":"ExportRule","name":"x2","spec":{` + anExport + `,"namespaces":["shop"]}}]}`,
		elsewhere: `{"documents":[{"kind":"ExportRule","name":"x3","spec":{` + anExport + `,"namespaces":["bank"]}}]}`,
	},
}

// routesOf lists the routes of the API's own description.
func routesOf(g *group) []string {
	g.t.Helper()
	var doc struct {
		Paths map[string]map[string]any
	}
	decode(g.t, g.do("lead", http.MethodGet, "/openapi.json", "").body, &doc)
	var out []string
	for path, methods := range doc.Paths {
		for method := range methods {
			out = append(out, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(out)
	return out
}

// callers are those of every role. What each may do at most is may; everywhere is false for who may only in the namespace shop.
type caller struct {
	show       func(*http.Request)
	may        access.Verb
	everywhere bool
}

const nothing = access.Read - 1

func callers(g *group) map[string]caller {
	return map[string]caller{
		"a viewer":           {g.bearer(10, model.RoleViewer), access.Read, true},
		"an operator":        {g.bearer(11, model.RoleOperator), access.WritePolicy, true},
		"an operator's shop": {g.bearer(12, model.RoleOperator, "shop"), access.WritePolicy, false},
		"an admin":           {g.bearer(13, model.RoleAdmin), access.Administer, true},
		"the node's owner":   {owns("lead"), access.Administer, true},
		"nobody":             {g.people.operator("nobody"), nothing, true},
	}
}

func TestEveryRouteHasItsRole(t *testing.T) {
	routes := routesOf(newGroup(t))
	for route := range decisions {
		if !slices.Contains(routes, route) {
			t.Errorf("%s: there is no such route any more", route)
		}
	}
	for _, route := range routes {
		if _, made := decisions[route]; !made {
			t.Errorf("%s: nobody has decided who may use it: add it to the table", route)
		}
	}
	for name := range callers(newGroup(t)) {
		t.Run(name, func(t *testing.T) {
			g := newGroup(t)
			who := callers(g)[name]
			for _, path := range []string{"failover-policies", "export-rules", "import-rules", "role-bindings", "identity-providers"} {
				g.do("lead", http.MethodPut, "/v1/"+path+"/x1", decisions["PUT /v1/"+path+"/{name}"].body).ok(http.StatusOK, nil)
			}
			// In the order of their methods: what one deletes was there before.
			for _, route := range routes {
				decisions[route].check(g, route, who)
			}
		})
	}
}

func (d decision) check(g *group, route string, who caller) {
	g.t.Helper()
	method, target, _ := strings.Cut(route, " ")
	target = strings.NewReplacer("{cluster}", "x1", "{workload}", "x1", "{name}", "x1", "{id}", "x1", "{namespace}", "shop", "{domain}", "x1").Replace(target)
	bodies := []string{d.body}
	if d.elsewhere != "" {
		bodies = append(bodies, d.elsewhere)
	}
	for _, body := range bodies {
		a := g.do("lead", method, target+d.query, body, who.show)
		if got, want := a.status != http.StatusForbidden && a.status != http.StatusUnauthorized, d.lets(who, body); got != want {
			g.t.Errorf("%s with body %q: status %d, let in %t, want %t: %s", route, body, a.status, got, want, a.body)
		}
	}
	g.do("lead", method, target, d.body, authorization("")).problem(http.StatusUnauthorized, "no credential")
}

// lets says whether the caller may use the route with this body.
func (d decision) lets(who caller, body string) bool {
	switch {
	case d.open:
		return true
	case who.may < d.least, d.everywhere && !who.everywhere:
		return false
	}
	return d.least != access.WritePolicy || who.everywhere || body != d.elsewhere || d.elsewhere == ""
}
