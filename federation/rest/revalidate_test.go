package rest_test

import (
	"net/http"
	"testing"
)

// Who has an object as it is gets no body; who has it otherwise, or asks for what has no version, does.
func TestWhatTheCallerHasIsNotSentAgain(t *testing.T) {
	g := newGroup(t)
	const path = "/v1/export-rules/shop"
	tag := g.do("lead", http.MethodPut, path, `{"spec":{"from":["*"],"namespaces":["shop"],"to":["*"]}}`).ok(http.StatusOK, nil).header.Get("ETag")
	for held, want := range map[string]int{
		tag: http.StatusNotModified, "W/" + tag: http.StatusNotModified, `"1", ` + tag: http.StatusNotModified, "*": http.StatusNotModified,
		`"1"`: http.StatusOK, "x": http.StatusOK,
	} {
		for _, node := range []string{"lead", "follow"} {
			for _, query := range []string{"", "?consistent=true"} {
				a := g.do(node, http.MethodGet, path+query, "", with("If-None-Match", held)).ok(want, nil)
				if (want == http.StatusNotModified) != (len(a.body) == 0) || a.header.Get("ETag") != tag {
					t.Errorf("%s at %s: status %d with %q and ETag %s", held, node, a.status, a.body, a.header.Get("ETag"))
				}
			}
		}
	}
	g.do("lead", http.MethodGet, "/v1/export-rules", "", with("If-None-Match", "*")).ok(http.StatusOK, nil)
	g.do("lead", http.MethodGet, "/v1/export-rules/none", "", with("If-None-Match", "*")).problem(http.StatusNotFound)
}
