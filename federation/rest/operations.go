package rest

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// operation begins the description of an operation; describeOperation completes it.
func operation(tag, id, method, path, summary string) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{tag}}
}

// described is operation with a paragraph that says more than the summary.
func described(op huma.Operation, description string) huma.Operation {
	op.Description = description
	return op
}

// anywhere are the statuses with which every operation may be refused, and onWrites those of operations that change something.
var (
	anywhere = []int{
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge,
		http.StatusMisdirectedRequest, http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusServiceUnavailable,
	}
	onWrites = []int{http.StatusConflict, http.StatusPreconditionFailed, http.StatusUnsupportedMediaType}
)

// describeOperation adds to an operation's description what all have in common: the problems with which it may be refused, and headers.
func describeOperation(doc *huma.OpenAPI, op *huma.Operation) {
	statuses := anywhere
	if op.Method != http.MethodGet {
		statuses = append(statuses[:len(statuses):len(statuses)], onWrites...)
	}
	if strings.Contains(op.Path, "{") {
		statuses = append(statuses[:len(statuses):len(statuses)], http.StatusNotFound)
	}
	delete(op.Responses, "default")
	describeRevalidation(op)
	for _, status := range append(statuses[:len(statuses):len(statuses)], op.Errors...) {
		op.Responses[strconv.Itoa(status)] = problemOf(doc, status)
	}
	op.Responses["307"] = leaderOf(doc)
	for code, r := range op.Responses {
		if r.Ref == "" {
			describeHeaders(code, r)
		}
	}
}

const responsePrefix = "#/components/responses/"

// shared refers to the description of a status that many operations have in common, and makes it when there is none.
func shared(doc *huma.OpenAPI, status int, r huma.Response) *huma.Response {
	code := strconv.Itoa(status)
	name := "Status" + code
	if doc.Components.Responses == nil {
		doc.Components.Responses = map[string]*huma.Response{}
	}
	if doc.Components.Responses[name] == nil {
		describeHeaders(code, &r)
		doc.Components.Responses[name] = &r
	}
	return &huma.Response{Ref: responsePrefix + name}
}

func problemOf(doc *huma.OpenAPI, status int) *huma.Response {
	return shared(doc, status, huma.Response{
		Description: http.StatusText(status),
		Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: &huma.Schema{Ref: schemaPrefix + "Problem"}}},
	})
}

func leaderOf(doc *huma.OpenAPI) *huma.Response {
	return shared(doc, http.StatusTemporaryRedirect, huma.Response{
		Description: "It needs the leader, and only the holder of a certificate can show it there",
	})
}

// responseOf is an operation's response itself, where the operation only refers to it.
func responseOf(doc *huma.OpenAPI, r *huma.Response) *huma.Response {
	if name, ok := strings.CutPrefix(r.Ref, responsePrefix); ok {
		return doc.Components.Responses[name]
	}
	return r
}

func describeHeaders(code string, r *huma.Response) {
	if r.Headers == nil {
		r.Headers = map[string]*huma.Param{}
	}
	add := func(name, kind, text string) {
		r.Headers[name] = &huma.Header{Description: text, Schema: &huma.Schema{Type: kind}}
	}
	add(RequestIDHeader, huma.TypeString, "The request's name, also in logs and in the audit log")
	switch code {
	case "307":
		add("Location", huma.TypeString, "The same request to the leader")
	case "401":
		add("WWW-Authenticate", huma.TypeString, "How to show a credential")
		return
	case "429", "503", "504":
		add("Retry-After", huma.TypeInteger, "Seconds after which the same request may succeed")
	}
	add(indexHeader, huma.TypeInteger, "A Raft index that the answer is not older than")
	add(AgeHeader, huma.TypeNumber, "Seconds since the node that answers last heard from its leader; absent when it has not yet")
	add(ServersHeader, huma.TypeString, "The REST addresses of all nodes, separated by commas")
}
