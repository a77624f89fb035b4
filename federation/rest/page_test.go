package rest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/federation/rest"
)

func ruleName(r rest.ExportRule) string { return r.Name }

// Whatever the limits are, pages hold every item once, in order.
func TestPagesHoldEveryItemOnce(t *testing.T) {
	g, round := newGroup(t), 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		rule := fmt.Sprintf(`{"labels":{"round":"%d"},%s`, round, anyRule[1:])
		var want []string
		for _, n := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-c]([-a-c]{0,3}[a-c])?`), 0, 12, rapid.ID[string]).Draw(rt, "names") {
			g.do("lead", http.MethodPut, "/v1/export-rules/"+n, rule).ok(http.StatusOK, nil)
			want = append(want, n)
		}
		slices.Sort(want)
		var got []string
		for next := ""; ; {
			limit := rapid.IntRange(1, 5).Draw(rt, "limit")
			var list rest.List[rest.ExportRule]
			g.do("lead", http.MethodGet, fmt.Sprintf("/v1/export-rules?selector=round%%3D%d&limit=%d&continue=%s", round, limit, next), "").ok(http.StatusOK, &list)
			if len(list.Items) > limit || len(list.Items) == 0 && next != "" {
				rt.Fatalf("%d items, the limit is %d", len(list.Items), limit)
			}
			got = append(got, names(list.Items, ruleName)...)
			if next = list.Continue; next == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("pages hold %v, there are %v", got, want)
		}
	})
}

// What comes and goes between two pages moves nothing that stays.
func TestPagesWhileThingsChange(t *testing.T) {
	g := newGroup(t)
	for _, n := range []string{"b", "d", "f", "h"} {
		g.do("lead", http.MethodPut, "/v1/export-rules/"+n, anyRule).ok(http.StatusOK, nil)
	}
	var first, second rest.List[rest.ExportRule]
	g.do("lead", http.MethodGet, "/v1/export-rules?limit=2", "").ok(http.StatusOK, &first)
	g.do("lead", http.MethodPut, "/v1/export-rules/a", anyRule).ok(http.StatusOK, nil)
	g.do("lead", http.MethodPut, "/v1/export-rules/g", anyRule).ok(http.StatusOK, nil)
	g.do("lead", http.MethodDelete, "/v1/export-rules/d", "").ok(http.StatusOK, nil)
	g.do("follow", http.MethodGet, "/v1/export-rules?continue="+first.Continue, "").ok(http.StatusOK, &second)
	if got := names(second.Items, ruleName); !slices.Equal(got, []string{"f", "g", "h"}) || second.Continue != "" {
		t.Errorf("the second page holds %v, and then %q", got, second.Continue)
	}
}

func TestAContinueIsGoodForItsOwnListOnly(t *testing.T) {
	g := newGroup(t)
	for _, n := range []string{"a", "b", "c"} {
		g.do("lead", http.MethodPut, "/v1/export-rules/"+n, anyRule).ok(http.StatusOK, nil)
		g.do("lead", http.MethodPut, "/v1/failover-policies/"+n, euToUSDoc).ok(http.StatusOK, nil)
	}
	var list rest.List[rest.ExportRule]
	g.do("lead", http.MethodGet, "/v1/export-rules?limit=1", "").ok(http.StatusOK, &list)
	good := list.Continue
	for name, target := range map[string]string{
		"another list":    "/v1/failover-policies?continue=" + good,
		"another filter":  "/v1/export-rules?selector=a&continue=" + good,
		"cut short":       "/v1/export-rules?continue=" + good[:len(good)-2],
		"one bit changed": "/v1/export-rules?continue=" + strings.ToUpper(good[:1]) + strings.ToLower(good[1:2]) + "A" + good[3:],
		"made up":         "/v1/export-rules?continue=abc",
	} {
		t.Run(name, func(t *testing.T) {
			a := g.do("lead", http.MethodGet, target, "")
			a.t = t
			a.problem(http.StatusUnprocessableEntity, "query.continue")
		})
	}
}

// A parameter that is not understood could have been meant to narrow the answer down.
func TestParametersSayOneThing(t *testing.T) {
	g := newGroup(t)
	for query, says := range map[string]string{
		"limit=0":                   "query.limit",
		"limit=1001":                "query.limit",
		"limit=9223372036854775808": "query.limit",
		"limit=ten":                 "query.limit",
		"limit=":                    "query.limit",
		"limit=1.0":                 "query.limit",
		"limit=%2B1":                "query.limit",
		"limit=1&limit=2":           "more than once",
		"lmit=3":                    "or give one of consistent, continue, limit, selector",
		"a=%zz":                     "percent",
		"continue=%20":              "query.continue",
		"selector=%7Ba":             "query.selector",
		"dryRun=true":               "query.dryRun",
		"selector=a%3Db%2C%2C":      "query.selector",
	} {
		t.Run(query, func(t *testing.T) {
			a := g.do("lead", http.MethodGet, "/v1/export-rules?"+query, "")
			a.t = t
			a.problem(http.StatusUnprocessableEntity, says)
		})
	}
	g.do("lead", http.MethodDelete, "/v1/export-rules/a?dryRun=1", "").problem(http.StatusUnprocessableEntity, "query.dryRun")
	g.do("lead", http.MethodGet, "/v1/whoami?"+url.QueryEscape("as=you"), "").problem(http.StatusUnprocessableEntity, "no parameters")
}
