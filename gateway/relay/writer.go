package relay

import (
	"context"
	"time"

	"github.com/hanse-mesh/hanse/gateway/xds"
)

// saveDelay is how long changes are collected before they are written: while one is passed on to the Envoy, nothing else is done, and
// under churn the whole file is not written for each.
const saveDelay = 500 * time.Millisecond

// write keeps the file up to date with the newest set of the queue, which holds at most one. The very first set is written at once.
func (r *Relay) write(ctx context.Context) error {
	for {
		var set xds.Resources
		select {
		case set = <-r.unsaved:
		case <-ctx.Done():
			return nil
		}
		if r.Cached() {
			set = r.collect(ctx, set)
		}
		r.save(set)
	}
}

// collect waits for company and returns the newest set.
func (r *Relay) collect(ctx context.Context, set xds.Resources) xds.Resources {
	select {
	case <-r.cfg.Clock.After(saveDelay):
	case <-ctx.Done():
	}
	select {
	case set = <-r.unsaved:
	default:
	}
	return set
}

// flush writes what is still queued when nobody queues any more.
func (r *Relay) flush() {
	select {
	case set := <-r.unsaved:
		r.save(set)
	default:
	}
}

func (r *Relay) save(set xds.Resources) {
	if err := save(r.path, set); err != nil {
		r.cfg.Logger.Error("a restart without the agent would serve an older configuration", "error", err)
	}
}

// queue replaces the set that waits to be written. Only Run's following goroutine calls it.
func (r *Relay) queue(set xds.Resources) {
	select {
	case <-r.unsaved:
	default:
	}
	r.unsaved <- set
}
