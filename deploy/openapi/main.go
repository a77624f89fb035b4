// Command openapi owns the REST API's description as a file: it prints the OpenAPI document, from which the Go client is generated.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"

	"github.com/hanse-mesh/hanse/federation/rest"
)

func main() {
	client := flag.Bool("client", false, "the form from which the Go client is generated")
	flag.Parse()
	text, err := document(*client)
	if err == nil {
		_, err = os.Stdout.Write(text)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "openapi:", err)
		os.Exit(1)
	}
}

// document is the description as it is served, or as the generator of the client can read it.
func document(client bool) ([]byte, error) {
	openAPI := "3.1"
	if client {
		openAPI = "3.0"
	}
	text, err := rest.Description(openAPI)
	if err == nil && client {
		text, err = forClient(text)
	}
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, text, "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// problem is the one form of all refusals.
var problem = map[string]any{
	"description": "Refused",
	"content":     map[string]any{"application/problem+json": map[string]any{"schema": map[string]any{"$ref": "#/components/schemas/Problem"}}},
}

// forClient leaves out what would only make the generated client longer: it tells success from refusal, and a refusal says its status itself.
func forClient(document []byte) ([]byte, error) {
	var doc map[string]any
	if err := json.Unmarshal(document, &doc); err != nil {
		return nil, err
	}
	for _, item := range object(doc["paths"]) {
		for _, op := range object(item) {
			answers := object(object(op)["responses"])
			for status, answer := range answers {
				if delete(object(answer), "headers"); status >= "300" {
					delete(answers, status)
				}
			}
			answers["default"] = problem
		}
	}
	delete(object(doc["components"]), "responses")
	// A union of the documents would be read as none of them.
	apply := object(object(object(object(doc["components"])["schemas"])["Apply"])["properties"])
	object(apply["documents"])["items"] = map[string]any{"type": "object", "x-go-type": "json.RawMessage"}
	return json.Marshal(doc)
}

func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}
