package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// A check tries the nodes that it knows in turn, waits when it is asked to, and takes note of who answered.
func TestCheckAsksNodes(t *testing.T) {
	var asked atomic.Int32
	node := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") != "Bearer secret":
			http.Error(w, "who is it?", http.StatusUnauthorized)
		case asked.Add(1) == 1:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "later", http.StatusTooManyRequests)
		default:
			w.Header().Set(rest.AgeHeader, "0.5")
			_, _ = w.Write([]byte(`{"leader": "n1"}`))
		}
	}))
	defer node.Close()
	address := strings.TrimPrefix(node.URL, "https://")
	api := checkAPI{&client{
		nodes: []string{"https://127.0.0.1:1", "https://" + address}, bearer: "secret", http: node.Client(), clock: clock.Real{}, progress: io.Discard,
	}, clock.Real{}}
	var st rest.Status
	m, err := api.get(t.Context(), "/v1/status", &st)
	if err != nil || st.Leader != "n1" || asked.Load() != 2 {
		t.Fatalf("%+v, %v after %d requests", st, err, asked.Load())
	}
	if m.certificate == nil || m.header.Get(rest.AgeHeader) != "0.5" || m.received.Before(m.sent) {
		t.Errorf("it took note of %+v", m)
	}
	if _, err := api.at(t.Context(), "127.0.0.1:1", "/v1/status", &st); exitCodeOf(err) != exitUnavailable || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("of a node that is down: %v", err)
	}
	api.client.bearer = "wrong"
	api.client.nodes = []string{socketNode}
	if _, err := api.at(t.Context(), address, "/v1/status", &st); !errors.Is(err, errBySocket) {
		t.Errorf("by the socket of one node: %v", err)
	}
	api.client.nodes = []string{"https://" + address}
	if _, err := api.get(t.Context(), "/v1/status", &st); err == nil || !strings.Contains(err.Error(), "who is it?") {
		t.Errorf("of a caller without rights: %v", err)
	}
}
