package load

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/e2e/sample"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pool counts clients and calls; its calls end with err when it is set, and calls on kept connections hang until stuck is closed, when it
// is set.
type pool struct {
	err   error
	stuck chan struct{}

	mu            sync.Mutex
	kept, fresh   int
	closed, calls int
}

type client struct {
	*pool
	keep bool
}

func (p *pool) dial(keep bool) Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	if keep {
		p.kept++
	} else {
		p.fresh++
	}
	return client{p, keep}
}

func (c client) Call(_ context.Context, _ bool) (sample.Answer, error) {
	c.mu.Lock()
	c.calls++
	c.mu.Unlock()
	if c.keep && c.stuck != nil {
		<-c.stuck
	}
	return sample.Answer{Region: "us", Instance: "us-1"}, c.err
}

func (c client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed++
}

// outcomes runs a load until it has told of that many calls.
func outcomes(p *pool, timeout time.Duration, n int) []Outcome {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var out []Outcome
	Run(ctx, Config{Rate: 2000, Timeout: timeout, Kept: 2, PostEvery: 5, Dial: p.dial, Done: func(o Outcome) {
		if out = append(out, o); len(out) == n {
			cancel()
			if p.stuck != nil {
				close(p.stuck)
			}
		}
	}})
	return out
}

func TestHalfOfTheCallsAreOnNewConnections(t *testing.T) {
	p := &pool{}
	out := outcomes(p, time.Minute, 200)
	kept, posts := 0, map[bool]int{}
	for i, o := range out {
		if o.Err != "" || o.Region != "us" || o.Instance != "us-1" {
			t.Fatalf("call %d: %+v", i, o)
		}
		if o.Kept {
			kept++
		}
		if o.Post {
			posts[o.Kept]++
		}
	}
	// Calls end in any order, so the last few may be of either kind.
	if fresh := len(out) - kept; kept < 80 || fresh < 80 || fresh != p.fresh || p.kept < 2 {
		t.Errorf("%d calls on kept connections, %d on new ones; %d clients kept, %d new", kept, fresh, p.kept, p.fresh)
	}
	if posts[false] < 15 || posts[true] < 15 {
		t.Errorf("POSTs by kind of connection: %v", posts)
	}
	if p.closed != p.kept+p.fresh {
		t.Errorf("%d of %d clients were closed", p.closed, p.kept+p.fresh)
	}
}

// While both kept connections are stuck, others are made; an answer that comes too late counts as failed.
func TestLateIsFailed(t *testing.T) {
	p := &pool{stuck: make(chan struct{})}
	late, fresh := 0, 0
	for _, o := range outcomes(p, 20*time.Millisecond, 100) {
		switch {
		case !o.Kept && o.Err == "":
			fresh++
		case o.Kept && o.Err == context.DeadlineExceeded.Error():
			late++
		}
	}
	if late < 3 || fresh == 0 {
		t.Errorf("%d calls on kept connections were late, %d on new ones were answered", late, fresh)
	}
	if p.kept <= 2 || p.closed != p.kept+p.fresh {
		t.Errorf("%d connections were kept, %d made for one call, %d closed in the end", p.kept, p.fresh, p.closed)
	}
}

func TestAnErrorIsTold(t *testing.T) {
	for _, o := range outcomes(&pool{err: errors.New("refused")}, time.Minute, 10) {
		if o.Err != "refused" {
			t.Fatalf("%+v", o)
		}
	}
}
