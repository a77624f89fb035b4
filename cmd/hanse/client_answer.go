package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// decodeAnswer reads an answer into out, or returns what it says went wrong.
func decodeAnswer(resp *http.Response, out any) error {
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if resp.StatusCode >= 400 {
		return answerError(resp.StatusCode, data)
	}
	if out == nil || len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("the answer is not what this version expects: %w", err)
	}
	return nil
}

// into returns a function that reads what a call of the API's client has answered.
func into(out any) func(*http.Response, error) error {
	return func(resp *http.Response, err error) error {
		if err != nil {
			return err
		}
		return decodeAnswer(resp, out)
	}
}

// asJSON is a request's body and its type.
func asJSON(v any) (contentType string, body io.Reader, err error) {
	text, err := json.Marshal(v)
	return "application/json", bytes.NewReader(text), err
}

// answerError is a problem (RFC 9457) as an operator reads it, with the exit code that belongs to its status.
func answerError(status int, data []byte) error {
	var p struct {
		Title  string `json:"title"`
		Detail string `json:"detail"`
		Errors []struct {
			Message  string `json:"message"`
			Location string `json:"location"`
			Remedy   string `json:"remedy"`
		} `json:"errors"`
	}
	text := strings.TrimSpace(string(data))
	if json.Unmarshal(data, &p) == nil && p.Title != "" {
		lines := []string{cmp.Or(p.Detail, p.Title)}
		for _, e := range p.Errors {
			lines = append(lines, joinedText(e.Location, e.Message, e.Remedy))
		}
		// A detail that is made of the first error says nothing more.
		if len(lines) > 1 && strings.HasPrefix(lines[0], lines[1]) {
			lines = lines[1:]
		}
		text = strings.Join(lines, "\n  ")
	}
	return codedError{statusCode(status), errors.New(text)}
}

// joinedText puts colons between the parts that there are.
func joinedText(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), ": ")
}

// statusCode is the exit code of an HTTP status.
func statusCode(status int) int {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return exitDenied
	case http.StatusNotFound:
		return exitNotFound
	case http.StatusConflict, http.StatusPreconditionFailed:
		return exitConflict
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusTooManyRequests:
		return exitUnavailable
	default:
		return exitFailure
	}
}
