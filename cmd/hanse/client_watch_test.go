package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/internal/clock"
)

// streams answers each request for a watch with the next of its texts.
type streams struct {
	texts []string
	asked []string
}

func (s *streams) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked = append(s.asked, r.URL.Query().Get("after"))
	text := s.texts[0]
	s.texts = s.texts[1:]
	if text == "410" {
		w.WriteHeader(http.StatusGone)
		return
	}
	fmt.Fprint(w, text)
}

func sse(id, event, data string) string {
	text := "event: " + event + "\ndata: " + data + "\n\n"
	if id != "" {
		text = "id: " + id + "\n" + text
	}
	return text
}

func TestAWatchGoesOnWhereItsStreamEnded(t *testing.T) {
	s := &streams{texts: []string{
		sse("", "put", `{"index":3,"kind":"ExportRule","name":"a","object":{}}`) + sse("7", "bookmark", `{"index":7}`) + ": comment\n\n" +
			sse("8.1", "put", `{"index":8,"kind":"ExportRule","name":"b"}`),
		sse("8", "delete", `{"index":8,"kind":"ExportRule","name":"a"}`),
		"410",
		sse("9", "later", `{}`) + sse("", "put", `{"name":"c"}`) + sse("12", "bookmark", `{}`) + sse("13", "put", `{"name":"end"}`),
	}}
	server := httptest.NewServer(s)
	defer server.Close()
	c := &client{nodes: []string{server.URL}, http: server.Client(), streams: server.Client(), timeout: time.Minute, clock: eager{}, progress: io.Discard}
	var seen []string
	end := errors.New("end")
	err := c.watch(t.Context(), []string{"ExportRule"}, "", func(e change) error {
		seen = append(seen, e.Event+" "+e.Name)
		if e.Name == "end" {
			return end
		}
		return nil
	})
	if !errors.Is(err, end) {
		t.Fatal(err)
	}
	want := []string{"put a", "bookmark ", "put b", "delete a", "gone ", "put c", "bookmark ", "put end"}
	if !slices.Equal(seen, want) {
		t.Errorf("seen %q", seen)
	}
	if want := []string{"", "8.1", "8", ""}; !slices.Equal(s.asked, want) {
		t.Errorf("asked after %q", s.asked)
	}
}

// eager is a clock on which pauses are over at once.
type eager struct{ clock.Real }

func (eager) After(time.Duration) <-chan time.Time {
	over := make(chan time.Time, 1)
	over <- time.Time{}
	return over
}

func TestAWatchEndsWithWhatTheFederationRefuses(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"title":"Forbidden","detail":"not yours"}`)
	}))
	defer server.Close()
	c := &client{nodes: []string{server.URL}, http: server.Client(), streams: server.Client(), timeout: time.Minute, clock: eager{}, progress: io.Discard}
	err := c.watch(t.Context(), []string{"Token"}, "", func(change) error { return nil })
	if exitCodeOf(err) != exitDenied {
		t.Errorf("got %v", err)
	}
}

func TestAWatchThatIsInterruptedEnds(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		interrupt()
		<-r.Context().Done()
	}))
	defer server.Close()
	c := &client{nodes: []string{server.URL}, http: server.Client(), streams: server.Client(), timeout: time.Minute, clock: clock.Real{}, progress: io.Discard}
	if err := c.watch(ctx, []string{"Token"}, "", func(change) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestEventsAreBounded(t *testing.T) {
	endless := io.MultiReader(strings.NewReader("event: put\ndata: "), strings.NewReader(strings.Repeat("x", maxEvent+10)))
	if err := readEvents(endless, func(change) error { return nil }); err == nil {
		t.Error("an event without end is read")
	}
}
