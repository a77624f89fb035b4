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
			if held.Cluster != c.want.Cluster || held.ClusterPrefix != c.want.ClusterPrefix || !slices.Equal(held.ExportNamespaces, c.want.ExportNamespaces) {
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
	g.do("lead", http.MethodDelete, "/v1/tokens/"+ids[1], "").ok(http.StatusNoContent, nil)
	var list rest.TokenList
	g.do("lead", http.MethodGet, "/v1/tokens", "").ok(http.StatusOK, &list)
	if len(list.Tokens) != 4 || list.Tokens[0].ID != g.operator.ID {
		t.Fatalf("list is %+v", list.Tokens)
	}
	for i, id := range ids {
		if got := list.Tokens[i+1]; got.ID != id || got.Revoked != (i == 1) {
			t.Errorf("token %d is %+v, want %s", i+1, got, id)
		}
	}
	g.do("lead", http.MethodDelete, "/v1/tokens/nobody", "").problem(http.StatusNotFound, "nobody")
}
