package gossip

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// memberlist does not wait for a probe that is under way when it is shut down; the probe ends with its interval.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/hashicorp/memberlist.(*Memberlist).probeNode"))
}

// world is what a test watches: it looks again whenever something has happened to one of its nodes.
type world struct {
	*testing.T
	ctx  context.Context
	wake chan struct{}
	// began is when a fake clock begins.
	began time.Time
	// cables connect the nodes that are started; pace is how often they gossip of membership, and probe how often they probe each other.
	cables      *cables
	pace, probe time.Duration
	// nodes are all that were started.
	nodes []*node

	mu    sync.Mutex
	lines []string
	seeds []string
}

func newWorld(t *testing.T) *world {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	return &world{T: t, ctx: ctx, wake: make(chan struct{}, 1), began: time.Unix(1000, 0), cables: newCables(), pace: 10 * time.Millisecond, probe: 200 * time.Millisecond}
}

func (w *world) changed() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *world) await(what string, done func() bool) {
	w.Helper()
	for !done() {
		select {
		case <-w.wake:
		case <-w.ctx.Done():
			lines := w.logged()
			w.Fatalf("it never came to pass that %s; logged last:\n%s", what, strings.Join(lines[max(0, len(lines)-20):], ""))
		}
	}
}

// logged are the warnings and errors of all nodes.
func (w *world) logged() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.lines...)
}

func (w *world) hasLogged(parts ...string) bool {
next:
	for _, line := range w.logged() {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue next
			}
		}
		return true
	}
	return false
}

// Write takes a log line.
func (w *world) Write(line []byte) (int, error) {
	w.mu.Lock()
	w.lines = append(w.lines, string(line))
	w.mu.Unlock()
	w.changed()
	return len(line), nil
}

func (w *world) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
