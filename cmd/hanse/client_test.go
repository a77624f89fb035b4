package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	restapi "github.com/hanse-mesh/hanse/api/client"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// clientOf is a client for handlers, whose clock stands still.
func clientOf(t *testing.T, handlers ...http.HandlerFunc) (*client, *clock.Fake, *lockedBuffer) {
	t.Helper()
	fake, said := clock.NewFake(start), &lockedBuffer{}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c := &client{
		http: &http.Client{Transport: transport}, streams: &http.Client{Transport: transport}, timeout: time.Minute, clock: fake, progress: said,
	}
	for _, h := range handlers {
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		c.nodes = append(c.nodes, server.URL)
	}
	return c, fake, said
}

func TestANodeThatIsAwayIsPassedOver(t *testing.T) {
	c, _, _ := clientOf(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"name":"second"}`) })
	c.nodes = append([]string{"http://127.0.0.1:1"}, c.nodes...)
	var v struct{ Name string }
	if err := c.do(t.Context(), http.MethodGet, "/v1/x", nil, &v); err != nil || v.Name != "second" {
		t.Errorf("got %+v, %v", v, err)
	}
	c.nodes = c.nodes[:1]
	if err := c.do(t.Context(), http.MethodGet, "/v1/x", nil, &v); exitCodeOf(err) != exitUnavailable {
		t.Errorf("nobody answers: %v", err)
	}
}

func TestWhatTakesLongIsSaid(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	c, fake, said := clientOf(t, func(http.ResponseWriter, *http.Request) { close(asked); <-answer })
	told := make(chan struct{})
	said.wrote = func() { close(told) }
	done := make(chan error)
	go func() { done <- c.do(t.Context(), http.MethodGet, "/v1/x", nil, nil) }()
	<-asked
	if said.String() != "" {
		t.Errorf("said at once: %q", said)
	}
	fake.Advance(tellAfter)
	<-told
	close(answer)
	if err := <-done; err != nil || !strings.HasPrefix(said.String(), "waiting for ") {
		t.Errorf("said %q, %v", said, err)
	}
}

func TestAnInterruptionEndsARequest(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	c, _, _ := clientOf(t, func(_ http.ResponseWriter, r *http.Request) {
		interrupt()
		<-r.Context().Done()
	}, func(http.ResponseWriter, *http.Request) { t.Error("the next node is asked after an interruption") })
	if err := c.do(ctx, http.MethodGet, "/v1/x", nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestWhoIsAskedToComeBackDoes(t *testing.T) {
	var tries int
	c, _, said := clientOf(t, func(w http.ResponseWriter, _ *http.Request) {
		if tries++; tries == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
	c.clock = eager{}
	if err := c.do(t.Context(), http.MethodGet, "/v1/x", nil, nil); err != nil || tries != 2 || !strings.Contains(said.String(), "waiting for 1s") {
		t.Errorf("%d tries, said %q, %v", tries, said, err)
	}
	c, _, _ = clientOf(t, func(w http.ResponseWriter, _ *http.Request) {
		tries++
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	tries, c.clock = 0, eager{}
	if err := c.do(t.Context(), http.MethodGet, "/v1/x", nil, nil); exitCodeOf(err) != exitUnavailable || tries != maxTries {
		t.Errorf("%d tries, %v", tries, err)
	}
}

func TestAListIsReadToItsEnd(t *testing.T) {
	c, _, _ := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("continue") {
		case "":
			fmt.Fprintf(w, `{"items":[{"name":"a"}],"continue":"%s"}`, "next")
		case "next":
			fmt.Fprint(w, `{"items":[{"name":"b"}]}`)
		default:
			t.Errorf("asked for %s", r.URL)
		}
	})
	items, err := c.list(t.Context(), kind{list: listing((*restapi.Client).ListNodes)}, nil)
	if err != nil || string(bytes.Join([][]byte{items[0], items[1]}, nil)) != `{"name":"a"}{"name":"b"}` {
		t.Errorf("got %s, %v", items, err)
	}
}
