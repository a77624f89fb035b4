package gossip

import (
	"context"
	"sync"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/spread"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// asker lends spread.Followers a lock, a clock and a place per stream where requests wait to be sent: one per origin, the newest. It is
// safe for concurrent use.
type asker struct {
	clock clock.Clock
	// sooner has a value when something is due earlier than before.
	sooner chan struct{}

	mu        sync.Mutex
	followers *spread.Followers
	streams   map[string]*inbox[spread.Request]
}

func newAsker(s spread.Source, t spread.Timing, c clock.Clock) *asker {
	return &asker{clock: c, sooner: make(chan struct{}, 1), followers: spread.NewFollowers(s, t), streams: map[string]*inbox[spread.Request]{}}
}

// run asks for what is late until ctx ends.
func (a *asker) run(ctx context.Context) {
	timer := a.clock.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.sooner:
		case <-timer.C():
			a.with(func(f *spread.Followers, now time.Time) []spread.Request { return f.Tick(now) })
		}
		a.mu.Lock()
		due, waiting := a.followers.Due()
		a.mu.Unlock()
		timer.Stop()
		if waiting {
			timer.Reset(due.Sub(a.clock.Now()))
		}
	}
}

// with hands on what is to be asked after a step.
func (a *asker) with(step func(*spread.Followers, time.Time) []spread.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before, waiting := a.followers.Due()
	for _, r := range step(a.followers, a.clock.Now()) {
		if to := a.streams[r.Stream]; to != nil {
			to.put(r.Origin, r)
		}
	}
	if due, ok := a.followers.Due(); ok && (!waiting || due.Before(before)) {
		select {
		case a.sooner <- struct{}{}:
		default:
		}
	}
}

// opened returns where the requests for a new stream will be.
func (a *asker) opened(stream string, protocol uint32) *inbox[spread.Request] {
	requests := newInbox[spread.Request]()
	a.with(func(f *spread.Followers, _ time.Time) []spread.Request {
		a.streams[stream] = requests
		f.Opened(stream, protocol)
		return nil
	})
	return requests
}

func (a *asker) closed(stream string) {
	a.with(func(f *spread.Followers, now time.Time) []spread.Request {
		delete(a.streams, stream)
		return f.Closed(stream, now)
	})
}

func (a *asker) took(stream string, b model.Batch, out catalog.Outcome) {
	a.with(func(f *spread.Followers, now time.Time) []spread.Request { return f.Took(stream, b, out, now) })
}

// heard reports whether the stream is open; if not, nothing comes of it.
func (a *asker) heard(stream string, haves []spread.Have) (open bool) {
	a.with(func(f *spread.Followers, now time.Time) []spread.Request {
		if _, open = a.streams[stream]; !open {
			return nil
		}
		return f.Heard(stream, haves, now)
	})
	return open
}

func (a *asker) counts() spread.Counts {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.followers.Counts()
}
