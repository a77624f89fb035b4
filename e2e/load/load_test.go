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

// pool counts clients and calls; its calls end with err when it is set, or hang until their time is up when hang is.
type pool struct {
	err  error
	hang bool

	mu            sync.Mutex
	kept, fresh   int
	closed, calls int
}

type client struct{ *pool }

func (p *pool) dial(keep bool) Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	if keep {
		p.kept++
	} else {
		p.fresh++
	}
	return client{p}
}

func (c client) Call(ctx context.Context, _ bool) (sample.Answer, error) {
	c.mu.Lock()
	c.calls++
	c.mu.Unlock()
	if c.hang {
		<-ctx.Done()
		return sample.Answer{}, ctx.Err()
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
	if fresh := len(out) - kept; kept < 80 || fresh < 80 || fresh != p.fresh || p.kept != 2 {
		t.Errorf("%d calls on kept connections, %d on new ones; %d clients kept, %d new", kept, fresh, p.kept, p.fresh)
	}
	if posts[false] < 15 || posts[true] < 15 {
		t.Errorf("POSTs by kind of connection: %v", posts)
	}
	if p.closed != p.kept+p.fresh {
		t.Errorf("%d of %d clients were closed", p.closed, p.kept+p.fresh)
	}
}

// A call that hangs fails when its time is up, and so does one that finds no kept connection idle until then; the schedule goes on.
func TestLateIsFailed(t *testing.T) {
	p := &pool{hang: true}
	waited := false
	for i, o := range outcomes(p, 20*time.Millisecond, 100) {
		if o.Err == "" {
			t.Fatalf("call %d counts as answered: %+v", i, o)
		}
		waited = waited || o.Err == "no kept connection was idle in time"
	}
	if !waited {
		t.Errorf("%d calls were made on 2 kept connections and new ones, and none waited in vain", p.calls)
	}
}

func TestAnErrorIsTold(t *testing.T) {
	for _, o := range outcomes(&pool{err: errors.New("refused")}, time.Minute, 10) {
		if o.Err != "refused" {
			t.Fatalf("%+v", o)
		}
	}
}
