package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// strictQuery refuses parameters that an operation does not have, or that say something in more than one way: who mistypes a condition must
// not get an answer without it.
func strictQuery(api huma.API) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		address := ctx.URL()
		if faults := queryFaults(ctx.Operation(), address.RawQuery); len(faults) > 0 {
			_ = huma.WriteErr(api, ctx, http.StatusUnprocessableEntity, validationFailed, faults...)
			return
		}
		next(ctx)
	}
}

func queryFaults(op *huma.Operation, query string) []error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return []error{&Fault{Location: "query", Message: "is not readable", Remedy: "write name=value&name=value, percent-encoded"}}
	}
	known := map[string]*huma.Schema{}
	for _, p := range op.Parameters {
		if p.In == "query" {
			known[p.Name] = p.Schema
		}
	}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if f := parameterFault(known[name], values[name]); f != nil {
			f.Location = "query." + name
			if known[name] == nil {
				f.Remedy = parametersText(known)
			}
			faults = append(faults, f)
		}
	}
	return faults
}

func parametersText(known map[string]*huma.Schema) string {
	if len(known) == 0 {
		return "remove it: this request takes no parameters"
	}
	return "remove it, or give one of " + strings.Join(slices.Sorted(maps.Keys(known)), ", ")
}

var integerForm = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// isInteger takes what the description calls an integer: of 64 bits, with a sign.
func isInteger(text string) bool {
	_, err := strconv.ParseInt(text, 10, 64)
	return err == nil && integerForm.MatchString(text)
}

// parameterFault says what is wrong with the form of a parameter; its value is checked by the library.
func parameterFault(s *huma.Schema, values []string) *Fault {
	switch {
	case s == nil:
		return &Fault{Message: "unknown parameter"}
	case len(values) > 1 && s.Type != huma.TypeArray:
		return &Fault{Message: "stands more than once", Remedy: "give it one value"}
	case s.Type == huma.TypeBoolean && values[0] != "true" && values[0] != "false":
		return &Fault{Message: "is neither true nor false", Remedy: "give one of the two"}
	case s.Type == huma.TypeInteger && !isInteger(values[0]):
		return &Fault{Message: "is not a whole number", Remedy: "write it in decimal digits"}
	case values[0] == "" && (s.Format != "" || s.MinLength != nil || len(s.Enum) > 0):
		return &Fault{Message: "is empty", Remedy: "give it a value or leave it out"}
	}
	return nil
}

// strictBody refuses bodies that say null somewhere: no field means anything by it, and the library would take it for a field left out.
func strictBody(api huma.API) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		if ctx.Operation().RequestBody == nil {
			next(ctx)
			return
		}
		// The body was read from the connection before; what is not JSON is refused later.
		r, _ := humago.Unwrap(ctx)
		body, err := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		var content any
		if err == nil && json.Unmarshal(body, &content) == nil {
			n := nulls{path: []string{"body"}}
			if n.find(content); len(n.faults) > 0 {
				_ = huma.WriteErr(api, ctx, http.StatusUnprocessableEntity, validationFailed, n.faults...)
				return
			}
		}
		next(ctx)
	}
}

// nulls finds fields that are null, not more of them than are told.
type nulls struct {
	path   []string
	faults []error
}

func (n *nulls) find(content any) {
	switch c := content.(type) {
	case nil:
		if len(n.faults) < maxFaults {
			n.faults = append(n.faults, &Fault{Location: strings.Join(n.path, ""), Message: "is null", Remedy: "give it a value or leave it out"})
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(c)) {
			n.within("."+name, c[name])
		}
	case []any:
		for i, item := range c {
			n.within(fmt.Sprintf("[%d]", i), item)
		}
	}
}

func (n *nulls) within(step string, content any) {
	n.path = append(n.path, step)
	n.find(content)
	n.path = n.path[:len(n.path)-1]
}
