package rest_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/rest"
)

func TestTheAuditLogIsReadNewestFirst(t *testing.T) {
	g := newGroup(t)
	operator := limited(g, 20, model.RoleOperator)
	for _, n := range []string{"a", "b", "c"} {
		g.clock.Advance(time.Minute)
		g.do("follow", http.MethodPut, "/v1/export-rules/"+n, anyRule, operator).ok(http.StatusOK, nil)
	}
	g.clock.Advance(time.Minute)
	g.do("lead", http.MethodDelete, "/v1/export-rules/b", "").ok(http.StatusOK, nil)
	g.clock.Advance(time.Minute)
	g.do("lead", http.MethodPost, "/v1/apply", setOf("shop", exportRule("z", "shop"), exportRule("y", "shop"))).ok(http.StatusOK, nil)

	for query, want := range map[string][]string{
		"":                    {"y", "z", "b", "c", "b", "a"},
		"?actor=operator":     {"c", "b", "a"},
		"?name=b":             {"b", "b"},
		"?kind=Token":         nil,
		"?after=" + stamp(1):  {"y", "z", "b", "c", "b"},
		"?before=" + stamp(3): {"b", "a"},
		"?after=" + stamp(1) + "&before=" + stamp(5): {"b", "c", "b"},
	} {
		var list rest.List[model.AuditEntry]
		g.do("lead", http.MethodGet, "/v1/audit"+query, "").ok(http.StatusOK, &list)
		if got := names(list.Items, func(e model.AuditEntry) string { return e.Name }); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}

	var all []string
	for next := ""; ; {
		var list rest.List[model.AuditEntry]
		g.do("lead", http.MethodGet, "/v1/audit?limit=1&continue="+next, "").ok(http.StatusOK, &list)
		all = append(all, list.Items[0].Name)
		if next = list.Continue; next == "" {
			break
		}
	}
	if !slices.Equal(all, []string{"y", "z", "b", "c", "b", "a"}) {
		t.Errorf("page by page: %v", all)
	}

	var list rest.List[model.AuditEntry]
	g.do("lead", http.MethodGet, "/v1/audit?limit=3", "").ok(http.StatusOK, &list)
	e := list.Items[2]
	if e.Before == nil || e.After != nil || !strings.HasPrefix(e.Actor.Credential, "token ") || e.Actor.Address == "" || !e.At.Equal(start.Add(4*time.Minute)) {
		t.Errorf("the entry is %+v", e)
	}
	g.do("lead", http.MethodGet, "/v1/audit?after=yesterday", "").problem(http.StatusUnprocessableEntity, "query.after")
}

// stamp is so many minutes after the start, as a parameter.
func stamp(minutes int) string {
	return start.Add(time.Duration(minutes) * time.Minute).Format(time.RFC3339)
}

func TestWhoAsks(t *testing.T) {
	g := newGroup(t)
	var who rest.Whoami
	g.do("lead", http.MethodGet, "/v1/whoami", "").ok(http.StatusOK, &who)
	if who.Name != "token "+g.operator.ID || who.Credential != who.Name || len(who.Grants) != 1 || who.Grants[0].Role != model.RoleAdmin {
		t.Errorf("the first operator is %+v", who)
	}
	who = rest.Whoami{}
	g.do("follow", http.MethodGet, "/v1/whoami", "", limited(g, 20, model.RoleOperator, "shop")).ok(http.StatusOK, &who)
	if who.Name != "operator" || who.Grants[0].Role != model.RoleOperator || !slices.Equal(who.Grants[0].Namespaces, []string{"shop"}) {
		t.Errorf("another one is %+v", who)
	}
}
