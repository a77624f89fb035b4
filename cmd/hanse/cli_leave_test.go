package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestWhoIsAskedMustTypeTheName(t *testing.T) {
	for answer, want := range map[string]bool{"eu\n": true, "eu": true, " eu \n": true, "yes\n": false, "\n": false, "": false} {
		var to bytes.Buffer
		err := ask(t.Context(), strings.NewReader(answer), &to, "It ends.", "eu")
		if (err == nil) != want || !strings.Contains(to.String(), "It ends.") || !strings.Contains(to.String(), "Type eu") {
			t.Errorf("%q: %v after %q", answer, err, to.String())
		}
	}
}

func TestAQuestionCanBeInterrupted(t *testing.T) {
	in, hands := io.Pipe()
	defer hands.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	if err := ask(ctx, in, io.Discard, "It ends.", "eu"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
