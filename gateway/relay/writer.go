package relay

import (
	"context"
	"time"

	"github.com/hanse-mesh/hanse/gateway/xds"
)

// saveEvery is the least time between two writes of the file.
const saveEvery = 200 * time.Millisecond

// write keeps the file up to date with the newest set of the queue, which holds at most one: the first at once, later ones not more
// often than saveEvery.
func (r *Relay) write(ctx context.Context) error {
	for {
		select {
		case set := <-r.unsaved:
			r.save(set)
		case <-ctx.Done():
			return nil
		}
		select {
		case <-r.cfg.Clock.After(saveEvery):
		case <-ctx.Done():
			return nil
		}
	}
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
