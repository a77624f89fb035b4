package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// printed prints a value in a format and returns what was written.
func printed(format string, value any, table func(io.Writer)) (string, error) {
	var out bytes.Buffer
	cmd := &cobra.Command{}
	cmd.SetOut(&out)
	err := (&output{format}).print(cmd, value, table)
	return out.String(), err
}

func TestOutputFormats(t *testing.T) {
	table := func(w io.Writer) {
		row(w, "NAME", "AGE", "NOTE")
		row(w, "long-name", 3, "")
		row(w, "b", shortDuration(time.Minute), yesNo(true))
	}
	got, err := printed("table", nil, table)
	if want := "NAME       AGE  NOTE\nlong-name  3    -\nb          1m   yes\n"; err != nil || got != want {
		t.Errorf("the table is\n%s%v", got, err)
	}
	got, err = printed("json", map[string]any{"a": 1, "b": "<x>"}, table)
	if err != nil || !strings.HasPrefix(got, "{\n  \"a\": 1,\n") {
		t.Errorf("the JSON is %s, %v", got, err)
	}
	got, err = printed("yaml", map[string]any{"a": 1, "b": "<x>"}, table)
	if err != nil || got != "a: 1\nb: <x>\n" {
		t.Errorf("the YAML is %s, %v", got, err)
	}
	for _, format := range []string{"xml", "name"} {
		got, err = printed(format, nil, table)
		usage(t, err, "--output", format)
		if got != "" {
			t.Errorf("the format %s printed %q", format, got)
		}
	}
}

func TestShortDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "-", 0: "0s", 1400 * time.Millisecond: "1s", 90 * time.Second: "2m", 89 * time.Second: "1m",
		3 * time.Hour: "3h", 47 * time.Hour: "47h", 72 * time.Hour: "3d",
	} {
		if got := shortDuration(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for want, err := range map[int]error{
		exitOK:          nil,
		exitFailure:     errors.New("x"),
		exitUsage:       fmt.Errorf("deep: %w", usageError("x")),
		exitUnavailable: codedError{exitUnavailable, errors.New("x")},
	} {
		if got := report(err); got != want {
			t.Errorf("%v gives %d, want %d", err, got, want)
		}
	}
	if got := report(fmt.Errorf("interrupted: %w", context.Canceled)); got == exitOK {
		t.Error("a command that was interrupted passes for one that was done")
	}
}

func TestAnswersThatAreErrors(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		code   int
		want   string
	}{
		"a problem":     {422, `{"title":"Unprocessable Entity","status":422,"detail":"bad name"}`, exitFailure, "bad name"},
		"title only":    {404, `{"title":"Not Found","status":404}`, exitNotFound, "Not Found"},
		"conflict":      {409, `{"title":"Conflict","detail":"others"}`, exitConflict, "others"},
		"changed since": {412, `{"title":"Precondition Failed"}`, exitConflict, "Precondition Failed"},
		"unknown":       {401, `{"title":"Unauthorized"}`, exitDenied, "Unauthorized"},
		"not allowed":   {403, `{"title":"Forbidden"}`, exitDenied, "Forbidden"},
		"too many":      {429, `{"title":"Too Many Requests"}`, exitUnavailable, "Too Many Requests"},
		"with a remedy": {422, `{"title":"T","detail":"M: R","errors":[{"message":"M","location":"body.x","remedy":"R"}]}`, exitFailure, "M: R\n  body.x: M: R"},
		"said once":     {422, `{"title":"T","detail":"body.x: M (and 1 more)","errors":[{"message":"M","location":"body.x"},{"message":"N"}]}`, exitFailure, "body.x: M\n  N"},
		"with places":   {422, `{"title":"T","detail":"D","errors":[{"message":"M","location":"body.x"}]}`, exitFailure, "D\n  body.x: M"},
		"plain text":    {502, "bad gateway\n", exitFailure, "bad gateway"},
		"no leader":     {503, `{"title":"Service Unavailable","detail":"no leader"}`, exitUnavailable, "no leader"},
		"no answer yet": {504, "", exitUnavailable, ""},
	} {
		t.Run(name, func(t *testing.T) {
			resp := &http.Response{StatusCode: c.status, Body: io.NopCloser(strings.NewReader(c.body))}
			err := decodeAnswer(resp, nil)
			var coded codedError
			if !errors.As(err, &coded) || coded.code != c.code || err.Error() != c.want {
				t.Errorf("got %+v, want %q with code %d", err, c.want, c.code)
			}
		})
	}
}

func TestAnswersThatAreDecoded(t *testing.T) {
	answer := func(body string) *http.Response {
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(body))}
	}
	var v struct{ Name string }
	if err := decodeAnswer(answer(`{"name":"a","later":1}`), &v); err != nil || v.Name != "a" {
		t.Errorf("got %+v, %v", v, err)
	}
	if err := decodeAnswer(answer(""), &v); err != nil {
		t.Errorf("no content: %v", err)
	}
	if err := decodeAnswer(answer("<html>"), &v); err == nil {
		t.Error("HTML passes for an answer")
	}
}
