package main

import (
	"context"
	"time"

	"github.com/hanse-mesh/hanse/e2e/load"
	"github.com/hanse-mesh/hanse/e2e/sample"
)

// The load's shape: an open loop on a fixed schedule, no client retry, half of the calls on new connections.
const (
	loadRate        = 200
	loadTimeout     = 2 * time.Second
	loadConnections = 24
)

// running is load that goes on until it is stopped.
type running struct {
	load.Record
	cancel context.CancelFunc
	done   chan struct{}
}

// startLoad begins to call an address over HTTP, at loadRate calls a second, until stop.
func startLoad(ctx context.Context, address string) *running {
	ctx, cancel := context.WithCancel(ctx)
	r := &running{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		load.Run(ctx, load.Config{
			Rate: loadRate, Timeout: loadTimeout, Kept: loadConnections, Done: r.Add,
			Dial: func(keep bool) load.Client { return sample.NewHTTPClient(address, keep) },
		})
	}()
	return r
}

// stop ends the load and waits for the calls under way.
func (r *running) stop() { r.cancel(); <-r.done }

// between sums up the calls due from start on, for the given span, or to the end when span is zero.
func (r *running) between(start time.Time, span time.Duration) load.Window {
	return r.Between(start, span, nil)
}
