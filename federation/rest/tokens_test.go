package rest_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/trust/token"
)

func TestTokenIsMadeAsAsked(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want model.Token
		life time.Duration
	}{
		"cluster": {
			`{"kind":"cluster","cluster":"eu","exportNamespaces":["shop","*"],"ttl":"90m"}`,
			model.Token{Kind: model.TokenCluster, Cluster: "eu", ExportNamespaces: []string{"shop", "*"}}, 90 * time.Minute,
		},
		"prefix": {
			`{"kind":"cluster","clusterPrefix":"edge-"}`,
			model.Token{Kind: model.TokenCluster, ClusterPrefix: "edge-"}, time.Hour,
		},
		"node":     {`{"kind":"node","ttl":"720h"}`, model.Token{Kind: model.TokenNode}, 720 * time.Hour},
		"operator": {`{"kind":"operator"}`, model.Token{Kind: model.TokenOperator}, time.Hour},
		"limited": {
			`{"kind":"operator","role":"operator","namespaces":["shop"],"label":"ana"}`,
			model.Token{Kind: model.TokenOperator, Role: model.RoleOperator, Namespaces: []string{"shop"}, Label: "ana"}, time.Hour,
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGroup(t)
			var made rest.CreatedToken
			g.do("lead", http.MethodPost, "/v1/tokens", c.body).ok(http.StatusCreated, &made)
			text, err := token.Parse(made.Text)
			if err != nil || text.Kind != c.want.Kind || text.ID != made.ID {
				t.Fatalf("text %q: %+v, %v", made.Text, text, err)
			}
			held, err := g.state.View().CheckToken(text.ID, token.Hash(text.Secret), c.want.Kind, start)
			if err != nil {
				t.Fatal(err)
			}
			if held.Cluster != c.want.Cluster || held.ClusterPrefix != c.want.ClusterPrefix || !slices.Equal(held.ExportNamespaces, c.want.ExportNamespaces) ||
				held.Role != c.want.Role || !slices.Equal(held.Namespaces, c.want.Namespaces) || held.Label != c.want.Label {
				t.Errorf("scope is %+v", held)
			}
			if !held.CreatedAt.Equal(start) || !held.ExpiresAt.Equal(start.Add(c.life)) || !made.ExpiresAt.Equal(held.ExpiresAt) {
				t.Errorf("made at %s until %s, answer says %s", held.CreatedAt, held.ExpiresAt, made.ExpiresAt)
			}
		})
	}
}

func TestTokenRequestsThatMakeNoSense(t *testing.T) {
	g := newGroup(t)
	before := g.state.View().Index
	for name, c := range map[string]struct{ body, says string }{
		"no kind":              {`{}`, "kind"},
		"unknown kind":         {`{"kind":"king"}`, "kind"},
		"a site's own kind":    {`{"kind":"workload"}`, "kind"},
		"no cluster":           {`{"kind":"cluster"}`, "clusterPrefix"},
		"name and prefix":      {`{"kind":"cluster","cluster":"eu","clusterPrefix":"e"}`, "one of the two"},
		"bad name":             {`{"kind":"cluster","cluster":"EU West"}`, "EU West"},
		"bad prefix":           {`{"kind":"cluster","clusterPrefix":"Edge-"}`, "clusterPrefix"},
		"prefix of nothing":    {`{"kind":"cluster","clusterPrefix":"-"}`, "clusterPrefix"},
		"node for a cluster":   {`{"kind":"node","cluster":"eu"}`, "cluster tokens only"},
		"operator that offers": {`{"kind":"operator","exportNamespaces":["shop"]}`, "cluster tokens only"},
		"bad namespace":        {`{"kind":"cluster","cluster":"eu","exportNamespaces":["sh op"]}`, "exportNamespaces"},
		"ttl without unit":     {`{"kind":"node","ttl":"5"}`, "ttl"},
		"no life":              {`{"kind":"node","ttl":"0s"}`, "ttl"},
		"negative life":        {`{"kind":"node","ttl":"-1h"}`, "ttl"},
		"too long a life":      {`{"kind":"node","ttl":"721h"}`, "ttl"},
		"unknown field":        {`{"kind":"node","uses":3}`, "uses"},
		"a node with a role":   {`{"kind":"node","role":"admin"}`, "operator tokens only"},
		"an unknown role":      {`{"kind":"operator","role":"king"}`, "body.role"},
		"an admin of one":      {`{"kind":"operator","role":"admin","namespaces":["shop"]}`, "body.namespaces"},
		"nobody's namespaces":  {`{"kind":"operator","namespaces":["shop"]}`, "body.namespaces"},
		"two lines of label":   {`{"kind":"operator","label":"a\nb"}`, "body.label"},
		"null":                 {`{"kind":"node","ttl":null}`, "body.ttl"},
	} {
		a := g.do("lead", http.MethodPost, "/v1/tokens", c.body)
		t.Run(name, func(t *testing.T) {
			a.t = t
			a.problem(http.StatusUnprocessableEntity, c.says)
		})
	}
	if g.state.View().Index != before {
		t.Error("a refused request was proposed")
	}
}

func TestTokensAreListedByAgeAndRevoked(t *testing.T) {
	g := newGroup(t)
	var ids []string
	for range 3 {
		g.clock.Advance(time.Minute)
		var made rest.CreatedToken
		g.do("lead", http.MethodPost, "/v1/tokens", `{"kind":"node"}`).ok(http.StatusCreated, &made)
		ids = append(ids, made.ID)
	}
	g.do("lead", http.MethodDelete, "/v1/tokens/"+ids[1], "").ok(http.StatusOK, nil)
	var list rest.List[model.Token]
	g.do("lead", http.MethodGet, "/v1/tokens", "").ok(http.StatusOK, &list)
	if len(list.Items) != 4 || list.Items[0].ID != g.operator.ID {
		t.Fatalf("list is %+v", list.Items)
	}
	for i, id := range ids {
		if got := list.Items[i+1]; got.ID != id || got.Revoked != (i == 1) {
			t.Errorf("token %d is %+v, want %s", i+1, got, id)
		}
	}
	g.do("lead", http.MethodDelete, "/v1/tokens/nobody", "").problem(http.StatusNotFound, "nobody")
}

func TestATokenIsTriedReadAndRevokedUnderConditions(t *testing.T) {
	g := newGroup(t)
	before := g.state.View().Index
	var made rest.CreatedToken
	a := g.do("lead", http.MethodPost, "/v1/tokens?dryRun=true", `{"kind":"node"}`).ok(http.StatusOK, &made)
	if made.Text != "" || !made.DryRun || a.header.Get("Location") != "" || g.state.View().Index != before {
		t.Errorf("a dry run made %+v at index %d, was %d", made, g.state.View().Index, before)
	}
	made = rest.CreatedToken{}
	a = g.do("follow", http.MethodPost, "/v1/tokens", `{"kind":"node"}`).ok(http.StatusCreated, &made)
	where, version := a.header.Get("Location"), a.header.Get("ETag")
	var held model.Token
	a = g.do("follow", http.MethodGet, where, "").ok(http.StatusOK, &held)
	if held.ID != made.ID || a.header.Get("ETag") != version {
		t.Errorf("held is %+v with ETag %s, made was %s", held, a.header.Get("ETag"), version)
	}
	match := func(r *http.Request) { r.Header.Set("If-Match", version) }
	g.do("lead", http.MethodDelete, where, "", match).ok(http.StatusOK, nil)
	g.do("lead", http.MethodDelete, where, "", match).problem(http.StatusPreconditionFailed, "changed meanwhile")
	var written rest.Written
	g.do("lead", http.MethodDelete, where, "").ok(http.StatusOK, &written)
	if written.Changed {
		t.Error("a revoked token was revoked again")
	}
}
