package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	restapi "github.com/hanse-mesh/hanse/api/client"
)

// listCall asks for a page of a kind's list, objectCall for something of one object by its name.
type (
	listCall   func(context.Context, *restapi.Client, restapi.RequestEditorFn) (*http.Response, error)
	objectCall func(context.Context, *restapi.Client, string, restapi.RequestEditorFn) (*http.Response, error)
)

// listing is a call of the API's client as a listCall. Parameters go by the request's query, which all kinds have in common.
func listing[P any](call func(*restapi.Client, context.Context, *P, ...restapi.RequestEditorFn) (*http.Response, error)) listCall {
	return func(ctx context.Context, api *restapi.Client, edit restapi.RequestEditorFn) (*http.Response, error) {
		return call(api, ctx, nil, edit)
	}
}

// naming is a call of the API's client as an objectCall.
func naming[P any](call func(*restapi.Client, context.Context, string, *P, ...restapi.RequestEditorFn) (*http.Response, error)) objectCall {
	return func(ctx context.Context, api *restapi.Client, name string, edit restapi.RequestEditorFn) (*http.Response, error) {
		return call(api, ctx, name, nil, edit)
	}
}

// getService asks for a service by NAMESPACE/NAME.
func getService(ctx context.Context, api *restapi.Client, name string, edit restapi.RequestEditorFn) (*http.Response, error) {
	namespace, service, ok := strings.Cut(name, "/")
	if !ok {
		return nil, fmt.Errorf("%q is not NAMESPACE/NAME", name)
	}
	return api.GetService(ctx, namespace, service, nil, edit)
}

// withQuery gives a request its parameters.
func withQuery(query url.Values) restapi.RequestEditorFn {
	return func(_ context.Context, req *http.Request) error {
		req.URL.RawQuery = query.Encode()
		return nil
	}
}
