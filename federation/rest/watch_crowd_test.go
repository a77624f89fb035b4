package rest_test

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

// crowd are many watches at the node "lead".
type crowd struct {
	g     *group
	group sync.WaitGroup
	// begun gets a value from each when it has told what there was, reached from each when it has told of the rule "news".
	begun, reached chan struct{}
}

func (c *crowd) add(ctx context.Context, n int, change ...func(*http.Request)) {
	for range n {
		w := newWire()
		seen := false
		w.flushed = func(n int) {
			if n == 1 {
				c.begun <- struct{}{}
			}
			if !seen && strings.Contains(w.text(), `"news"`) {
				seen = true
				c.reached <- struct{}{}
			}
		}
		c.group.Go(func() { c.g.watch(ctx, "lead", "?kind=ExportRule", w, change...) })
	}
}

// await waits until n values have come; the clock goes on, so that nobody rests for ever.
func (c *crowd) await(ctx context.Context, what <-chan struct{}, n int) {
	c.g.t.Helper()
	for n > 0 {
		select {
		case <-what:
			n--
		case <-ctx.Done():
			c.g.t.Fatalf("%d of the watches are not there", n)
		default:
			c.g.clock.Advance(10 * time.Millisecond)
			runtime.Gosched()
		}
	}
}

func TestAThousandWatchesForEachOfTwoAndNoMore(t *testing.T) {
	g := newGroup(t)
	other, third := g.operatorToken(8, model.RoleViewer), g.operatorToken(9, model.RoleViewer)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := &crowd{g: g, begun: make(chan struct{}, 2000), reached: make(chan struct{}, 2000)}
	c.add(ctx, 1000)
	c.await(ctx, c.begun, 1000)
	if a := g.once("lead", "").answer(t).problem(http.StatusTooManyRequests, "ask another node"); a.header.Get("Retry-After") == "" {
		t.Error("429 without Retry-After")
	}
	c.add(ctx, 1000, as(other))
	c.await(ctx, c.begun, 1000)
	if a := g.once("lead", "", as(third)).answer(t).problem(http.StatusServiceUnavailable, "ask another node"); a.header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	g.apply(putRule("news", "x"))
	c.await(ctx, c.reached, 2000)
	cancel()
	c.group.Wait()
	if w := g.once("lead", "", as(third)); w.status != http.StatusOK {
		t.Errorf("when all have gone: %d %s", w.status, w.text())
	}
}
