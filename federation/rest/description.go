package rest

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/internal/clock"
)

// serveDescription serves the description of the API, in OpenAPI 3.1 and 3.0, and as a page for people. It loads nothing from elsewhere.
func serveDescription(mux *http.ServeMux, doc *huma.OpenAPI) {
	for path, form := range map[string]struct {
		mediaType string
		make      func() ([]byte, error)
	}{
		"/openapi.json":     {"application/openapi+json", func() ([]byte, error) { return json.Marshal(doc) }},
		"/openapi.yaml":     {"application/openapi+yaml", doc.YAML},
		"/openapi-3.0.json": {"application/openapi+json", doc.Downgrade},
		"/openapi-3.0.yaml": {"application/openapi+yaml", doc.DowngradeYAML},
		"/docs":             {"text/html; charset=utf-8", func() ([]byte, error) { return docsPage(doc) }},
	} {
		made := sync.OnceValues(form.make)
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			text, err := made()
			if err != nil {
				writeProblem(w, http.StatusInternalServerError, "describe the API: "+err.Error())
				return
			}
			w.Header().Set("Content-Type", form.mediaType)
			w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
			_, _ = w.Write(text)
		})
	}
}

// Description returns the description of the API as JSON, in OpenAPI "3.1" or "3.0".
func Description(openAPI string) ([]byte, error) {
	_, _, api := assemble(Config{Version: "v1", Clock: clock.Real{}})
	if openAPI == "3.0" {
		return api.OpenAPI().Downgrade()
	}
	return json.Marshal(api.OpenAPI())
}

//go:embed docs.gohtml
var docsText string

var docsTemplate = template.Must(template.New("docs").Parse(docsText))

// docsOperation is an operation as the page shows it.
type docsOperation struct {
	Method, Path string
	*huma.Operation
	// Body is the name of the schema of the request's body.
	Body string
	// Answers are the statuses in order.
	Answers []docsAnswer
}

type docsAnswer struct{ Status, Text, Schema string }

// docsGroup is what one kind of resource offers.
type docsGroup struct {
	Name       string
	Operations []docsOperation
}

func docsPage(doc *huma.OpenAPI) ([]byte, error) {
	schemas := map[string]string{}
	for name, schema := range doc.Components.Schemas.Map() {
		text, err := json.MarshalIndent(schema, "", "  ")
		if err != nil {
			return nil, err
		}
		schemas[name] = string(text)
	}
	var out bytes.Buffer
	err := docsTemplate.Execute(&out, map[string]any{"Info": doc.Info, "Groups": docsGroups(doc), "Schemas": schemas})
	return out.Bytes(), err
}

func docsGroups(doc *huma.OpenAPI) []docsGroup {
	var all []docsOperation
	for path, item := range doc.Paths {
		for method, op := range map[string]*huma.Operation{"GET": item.Get, "PUT": item.Put, "POST": item.Post, "DELETE": item.Delete} {
			if op != nil {
				all = append(all, docsOperation{method, path, op, bodyName(op), docsAnswers(doc, op)})
			}
		}
	}
	slices.SortFunc(all, func(a, b docsOperation) int {
		return strings.Compare(tagOf(a)+a.Path+a.Method, tagOf(b)+b.Path+b.Method)
	})
	var groups []docsGroup
	for _, op := range all {
		if len(groups) == 0 || groups[len(groups)-1].Name != tagOf(op) {
			groups = append(groups, docsGroup{Name: tagOf(op)})
		}
		last := &groups[len(groups)-1]
		last.Operations = append(last.Operations, op)
	}
	return groups
}

func tagOf(op docsOperation) string {
	if len(op.Tags) == 0 {
		return "Other"
	}
	return op.Tags[0]
}

func bodyName(op *huma.Operation) string {
	if op.RequestBody == nil {
		return ""
	}
	return schemaName(op.RequestBody.Content)
}

func docsAnswers(doc *huma.OpenAPI, op *huma.Operation) []docsAnswer {
	var out []docsAnswer
	for status, r := range op.Responses {
		r = responseOf(doc, r)
		out = append(out, docsAnswer{status, r.Description, schemaName(r.Content)})
	}
	slices.SortFunc(out, func(a, b docsAnswer) int { return strings.Compare(a.Status, b.Status) })
	return out
}

// schemaName is the name of the schema of what is sent, when it has one.
func schemaName(content map[string]*huma.MediaType) string {
	for _, media := range content {
		if media.Schema != nil && media.Schema.Ref != "" {
			return media.Schema.Ref[strings.LastIndex(media.Schema.Ref, "/")+1:]
		}
	}
	return ""
}
