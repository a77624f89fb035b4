// Package load owns load on a fixed schedule: calls are due at their times whatever became of the earlier ones, each once, and count by
// the time they were due.
package load

import (
	"context"
	"sync"
	"time"

	"github.com/hanse-mesh/hanse/e2e/sample"
)

// Client makes one call at a time.
type Client interface {
	Call(ctx context.Context, post bool) (sample.Answer, error)
	Close()
}

// Config is a load. Half of the calls are made on new connections, half on kept ones.
type Config struct {
	// Rate is calls per second.
	Rate int
	// Timeout is how long after it was due a call fails.
	Timeout time.Duration
	// Kept is how many connections are kept while they are idle.
	Kept int
	// PostEvery makes every so-manieth call of both kinds a POST; 0 makes none.
	PostEvery int
	// Dial returns a client; it must not wait.
	Dial func(keep bool) Client
	// Done is called with each outcome, one at a time.
	Done func(Outcome)
}

// Outcome is what became of one call.
type Outcome struct {
	Due     time.Time
	Latency time.Duration
	// Kept says that the call was made on a kept connection, Post that it must not be made twice.
	Kept, Post       bool
	Region, Instance string
	// Err is empty when the call was answered in time.
	Err string
}

// Run makes calls until ctx ends and returns when all of them have ended.
func Run(ctx context.Context, c Config) {
	idle := make(chan Client, c.Kept)
	for range c.Kept {
		idle <- c.Dial(true)
	}
	var calls sync.WaitGroup
	var mu sync.Mutex
	begin := time.Now()
	for i := 0; ; i++ {
		due := begin.Add(time.Duration(i) * time.Second / time.Duration(c.Rate))
		select {
		case <-ctx.Done():
			calls.Wait()
			close(idle)
			for client := range idle {
				client.Close()
			}
			return
		case <-time.After(time.Until(due)):
		}
		calls.Go(func() {
			o := Outcome{Due: due, Kept: i%2 == 1, Post: c.PostEvery > 0 && i/2%c.PostEvery == 0}
			c.call(&o, idle)
			mu.Lock()
			defer mu.Unlock()
			c.Done(o)
		})
	}
}

// call makes one call. A kept client is handed out again only when its call has ended, as a pool would; the longest idle one goes first, so
// that each connection is used, and when none is idle, another one is made: a call that waited for one would find its time used up.
func (c *Config) call(o *Outcome, idle chan Client) {
	ctx, cancel := context.WithDeadline(context.Background(), o.Due.Add(c.Timeout))
	defer cancel()
	client := c.client(o.Kept, idle)
	defer c.release(client, o.Kept, idle)
	answer, err := client.Call(ctx, o.Post)
	o.Latency, o.Region, o.Instance = time.Since(o.Due), answer.Region, answer.Instance
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		o.Err = err.Error()
	}
}

func (c *Config) client(keep bool, idle chan Client) Client {
	if keep {
		select {
		case client := <-idle:
			return client
		default:
		}
	}
	return c.Dial(keep)
}

// release keeps a client, unless it is not to be kept or there are enough.
func (c *Config) release(client Client, keep bool, idle chan Client) {
	if keep {
		select {
		case idle <- client:
			return
		default:
		}
	}
	client.Close()
}
