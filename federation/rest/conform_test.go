package rest_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// openAPI is the description that nodes serve, decoded.
var openAPI = sync.OnceValue(func() map[string]any {
	g := &group{live: &live{}, catalog: catalog.New(catalog.Limits{}), clock: clock.NewFake(start)}
	h := rest.New(rest.Config{Consensus: member{g, "lead"}, Catalog: g.catalog, Live: g.live, Clock: g.clock})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	var doc map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		panic(err)
	}
	return doc
})

// conforms checks an answer against the description: its status, headers, media type and body.
func (a answer) conforms(r *http.Request) {
	a.t.Helper()
	op := operationOf(r)
	if op == nil {
		return
	}
	response, ok := resolved(at(op, "responses", strconv.Itoa(a.status))).(map[string]any)
	if !ok {
		a.t.Errorf("%s %s: status %d is not described: %s", r.Method, r.URL, a.status, a.body)
		return
	}
	described, _ := response["headers"].(map[string]any)
	for name := range a.header {
		if described[http.CanonicalHeaderKey(name)] == nil && !slices.Contains([]string{"Content-Type", "Allow", "Connection"}, name) && !describedAs(described, name) {
			a.t.Errorf("%s %s: header %s is not described for status %d", r.Method, r.URL, name, a.status)
		}
	}
	content, _ := response["content"].(map[string]any)
	if content == nil && len(a.body) == 0 {
		return
	}
	media, ok := content[a.header.Get("Content-Type")].(map[string]any)
	if !ok {
		a.t.Errorf("%s %s: media type %q is not described for status %d", r.Method, r.URL, a.header.Get("Content-Type"), a.status)
		return
	}
	if r.Method == http.MethodHead || !strings.Contains(a.header.Get("Content-Type"), "json") {
		return
	}
	var body any
	if err := json.Unmarshal(a.body, &body); err != nil {
		a.t.Errorf("%s %s: %v in %s", r.Method, r.URL, err, a.body)
		return
	}
	for _, fault := range against(media["schema"], body, "body") {
		a.t.Errorf("%s %s, status %d: %s: %s", r.Method, r.URL, a.status, fault, a.body)
	}
}

func describedAs(headers map[string]any, name string) bool {
	for described := range headers {
		if strings.EqualFold(described, name) {
			return true
		}
	}
	return false
}

// operationOf finds the operation that a request asks for, nil when there is none.
func operationOf(r *http.Request) any {
	paths, _ := openAPI()["paths"].(map[string]any)
	method := strings.ToLower(strings.Replace(r.Method, http.MethodHead, http.MethodGet, 1))
	for path, item := range paths {
		want, have := strings.Split(path, "/"), strings.Split(r.URL.Path, "/")
		if len(want) == len(have) && !slices.ContainsFunc(want, func(string) bool { return false }) && samePath(want, have) {
			return at(item, method)
		}
	}
	return nil
}

func samePath(want, have []string) bool {
	for i := range want {
		if want[i] != have[i] && !strings.HasPrefix(want[i], "{") || have[i] == "" && i > 0 {
			return false
		}
	}
	return true
}

// at goes down from names to values; nil when there is no such value.
func at(v any, names ...string) any {
	for _, name := range names {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// resolved is what a reference refers to, or the value itself.
func resolved(v any) any {
	if ref, ok := at(v, "$ref").(string); ok {
		return at(openAPI(), strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	return v
}

// against checks a decoded value against as much of JSON Schema as the description uses for answers.
func against(schema, v any, where string) []string {
	s, _ := schema.(map[string]any)
	if ref, ok := s["$ref"].(string); ok {
		return against(at(openAPI(), strings.Split(strings.TrimPrefix(ref, "#/"), "/")...), v, where)
	}
	if kind, ok := s["type"].(string); ok && kind != typeOf(v) && (kind != "number" || typeOf(v) != "integer") {
		return []string{fmt.Sprintf("%s is %s, not %s", where, typeOf(v), kind)}
	}
	var faults []string
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, v) {
		faults = append(faults, fmt.Sprintf("%s is %v, not one of %v", where, v, enum))
	}
	switch v := v.(type) {
	case map[string]any:
		return append(faults, againstObject(s, v, where)...)
	case []any:
		for i, item := range v {
			faults = append(faults, against(s["items"], item, fmt.Sprintf("%s[%d]", where, i))...)
		}
	case string:
		if _, err := time.Parse(time.RFC3339, v); s["format"] == "date-time" && err != nil {
			faults = append(faults, where+" is not a time")
		}
	}
	return faults
}

func againstObject(s, v map[string]any, where string) []string {
	var faults []string
	properties, _ := s["properties"].(map[string]any)
	required, _ := s["required"].([]any)
	for _, name := range required {
		if _, ok := v[name.(string)]; !ok {
			faults = append(faults, fmt.Sprintf("%s lacks %s", where, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v)) {
		if property, ok := properties[name]; ok {
			faults = append(faults, against(property, v[name], where+"."+name)...)
		} else if s["additionalProperties"] == false {
			faults = append(faults, where+"."+name+" is not described")
		}
	}
	return faults
}

func typeOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	}
	return "object"
}

// Every operation says what it does, and refuses with problems only.
func TestEveryOperationIsDescribed(t *testing.T) {
	ids := map[string]string{}
	for path, item := range openAPI()["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			what := method + " " + path
			id, _ := at(op, "operationId").(string)
			if other, twice := ids[id]; id == "" || twice {
				t.Errorf("%s: operation id %q, which %s has too", what, id, other)
			}
			ids[id] = what
			if summary, _ := at(op, "summary").(string); summary == "" {
				t.Errorf("%s: no summary", what)
			}
			for status, r := range at(op, "responses").(map[string]any) {
				r = resolved(r)
				if content, _ := at(r, "content").(map[string]any); status >= "400" && content["application/problem+json"] == nil {
					t.Errorf("%s: status %s is no problem", what, status)
				}
				if at(r, "headers", rest.RequestIDHeader) == nil {
					t.Errorf("%s: status %s has no request id", what, status)
				}
			}
			for _, status := range []string{"400", "401", "403", "422", "429", "500", "503"} {
				if at(op, "responses", status) == nil {
					t.Errorf("%s: status %s is not described", what, status)
				}
			}
		}
	}
}
