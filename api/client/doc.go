// Package client owns the Go client of the federation REST API. It is generated from the API's OpenAPI document by `make generate`.
//
// A call returns the answer with its decoded body: JSON200 for success, ApplicationproblemJSONDefault for a refusal (RFC 9457). Credentials are
// added by a RequestEditorFn.
package client
