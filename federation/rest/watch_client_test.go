package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/federation/rest"
)

// wire is a connection that a watch is written to: an http.ResponseWriter with deadlines, which the client may lose at any byte.
type wire struct {
	mu       sync.Mutex
	header   http.Header
	status   int
	received bytes.Buffer
	// room is how many bytes the client still takes; what is more fails.
	room int
	// flushed is called after each flush with their count, by the watch itself.
	flushed func(n int)
	flushes int
	// deadline is the last one that was set.
	deadline time.Time
}

func newWire() *wire { return &wire{header: http.Header{}, room: 1 << 30, flushed: func(int) {}} }

func (w *wire) Header() http.Header { return w.header }

func (w *wire) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status = status
}

func (w *wire) Write(data []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(data) > w.room {
		w.received.Write(data[:w.room])
		w.room = 0
		return 0, os.ErrDeadlineExceeded
	}
	w.room -= len(data)
	return w.received.Write(data)
}

func (w *wire) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = t
	return nil
}

func (w *wire) FlushError() error {
	w.mu.Lock()
	w.flushes++
	n := w.flushes
	w.mu.Unlock()
	w.flushed(n)
	return nil
}

// text is what the client has received.
func (w *wire) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.received.String()
}

// answer is the whole of what was answered, when it is no stream.
func (w *wire) answer(t *testing.T) answer { return answer{t, w.status, w.header, []byte(w.text())} }

// toldEvent is an event as a client reads it.
type toldEvent struct {
	id, kind string
	data     watched
}

// watched is the data of an event, with the object as it came.
type watched struct {
	Index      uint64
	Kind, Name string
	Object     json.RawMessage
}

// events are the whole events that the client has received: what a cut leaves of one is none.
func (w *wire) events(t interface{ Fatalf(string, ...any) }) []toldEvent {
	var out []toldEvent
	parts := strings.Split(w.text(), "\n\n")
	for _, part := range parts[:len(parts)-1] {
		var e toldEvent
		for line := range strings.SplitSeq(part, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			switch name {
			case "id":
				e.id = value
			case "event":
				e.kind = value
			case "data":
				decodeStrictly(t, value, &e.data)
			default:
				t.Fatalf("line %q in the stream", line)
			}
		}
		out = append(out, e)
	}
	return out
}

func decodeStrictly(t interface{ Fatalf(string, ...any) }, text string, out *watched) {
	var whole struct {
		rest.WatchEvent
		Object json.RawMessage `json:"object"`
	}
	in := json.NewDecoder(strings.NewReader(text))
	in.DisallowUnknownFields()
	if err := in.Decode(&whole); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	*out = watched{whole.Index, whole.Kind, whole.Name, whole.Object}
}

// watch runs a watch on the caller's goroutine until it ends.
func (g *group) watch(ctx context.Context, node, query string, w *wire, change ...func(*http.Request)) {
	r := httptest.NewRequest(http.MethodGet, "/v1/watch"+query, nil).WithContext(ctx)
	r.Header.Set("Authorization", "Bearer "+g.operator.String())
	for _, c := range change {
		c(r)
	}
	g.nodes[node].ServeHTTP(w, r)
}

// once runs a watch until it has told what there is.
func (g *group) once(node, query string, change ...func(*http.Request)) *wire {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w := newWire()
	w.flushed = func(int) { cancel() }
	g.watch(ctx, node, query, w, change...)
	return w
}

// during runs a watch; after its nth flush it does the nth step, and it must end by itself after the last one.
func (g *group) during(node, query string, steps ...func()) *wire {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	w := newWire()
	w.flushed = func(n int) {
		if n <= len(steps) {
			steps[n-1]()
		}
	}
	g.watch(ctx, node, query, w)
	if ctx.Err() != nil {
		g.t.Errorf("the watch has not ended: %s", w.text())
	}
	return w
}
