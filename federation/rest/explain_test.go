package rest_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/explain"
)

// unoffered is what an agent answers about a service that nobody offers it.
const unoffered = `{"cluster":"eu","service":{"namespace":"shop","name":"payments"},"summary":"calls go nowhere","problems":["no ExportRule"],
 "permissions":[{"cluster":"asia","offered":false,"allowed":true,"reason":"r"},{"cluster":"us","offered":false,"allowed":false,"reason":"r"}],
 "policy":{"reason":"none"},"priorities":[],"leftOut":[],"whatIf":[]}`

func TestExplain(t *testing.T) {
	g := newGroup(t)
	joined(g, "eu", 1)
	us := joined(g, "us", 2)
	joined(g, "asia", 3)
	publish(g, us, start, model.Record{Status: &model.SiteStatus{Dropped: []string{
		"service payments.shop is not exported: no export rule opens it: add an ExportRule", "service other.shop is not exported: x",
	}}})
	g.live.refused["asia"] = []string{"service/shop/payments: not the cluster's to claim", "service/shop/other: x"}
	g.agents["lead"].answers = map[string]string{"eu explain": unoffered}
	var got explain.Explanation
	g.do("lead", http.MethodGet, "/v1/explain?cluster=eu&proxy=web-1&service=shop/payments&port=http", "").ok(http.StatusOK, &got)
	if want := `eu explain {"proxy":"web-1","service":{"namespace":"shop","name":"payments"},"port":"http"}`; g.agents["lead"].asked[0] != want {
		t.Errorf("asked was %s, want %s", g.agents["lead"].asked[0], want)
	}
	want := []string{
		"no ExportRule",
		"cluster asia: its record is refused: service/shop/payments: not the cluster's to claim",
		"cluster us: service payments.shop is not exported: no export rule opens it: add an ExportRule",
	}
	if !slices.Equal(got.Problems, want) {
		t.Errorf("the problems are\n%s\nwant\n%s", strings.Join(got.Problems, "\n"), strings.Join(want, "\n"))
	}
	for query, status := range map[string]int{
		"":                                 http.StatusUnprocessableEntity,
		"?cluster=eu":                      http.StatusUnprocessableEntity,
		"?cluster=eu&service=payments":     http.StatusUnprocessableEntity,
		"?cluster=eu&service=shop/Pay":     http.StatusUnprocessableEntity,
		"?cluster=xx&service=shop/pay":     http.StatusNotFound,
		"?cluster=&service=shop/pay":       http.StatusUnprocessableEntity,
		"?cluster=asia&service=shop/pay":   http.StatusServiceUnavailable,
		"?cluster=eu%2F..&service=shop/py": http.StatusNotFound,
	} {
		g.do("lead", http.MethodGet, "/v1/explain"+query, "").problem(status)
	}
}
