package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/export"
	"github.com/hanse-mesh/hanse/cluster-agent/verdict"
	"github.com/hanse-mesh/hanse/cluster-agent/vip"
	"github.com/hanse-mesh/hanse/internal/run"
)

// idlePause is how often the loop looks around without being woken: for the status record and the disk.
const idlePause = time.Second

// published is what the loop remembers of what it has published.
type published struct {
	throttle  export.Throttle
	announced verdict.Announced
	complete  bool
}

// run keeps everything up to date that follows from the core's knowledge, and the disk.
func (c *siteCore) run(ctx context.Context) error {
	defer c.save()
	return run.Group(ctx, c.follow, c.keep)
}

// loop is what follow remembers from one pass to the next.
type loop struct {
	done published
	disk schedule
}

// follow passes over the core's knowledge whenever it has changed.
func (c *siteCore) follow(ctx context.Context) error {
	var l loop
	// What the disk knew is news to everybody else.
	c.touch()
	timer := c.clock.NewTimer(idlePause)
	defer timer.Stop()
	for {
		woken := false
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.wake:
			woken = true
		case <-timer.C():
		}
		now := c.clock.Now()
		next := c.pass(&l, woken, now)
		// Under churn the larger part of the time is left to others. The first change after quiet has not waited.
		if err := c.rest(ctx, min(maxRest, 2*c.took(now))); err != nil {
			return err
		}
		timer.Reset(pause(next, now))
	}
}

// maxRest bounds the rest after a pass over a large site.
const maxRest = 100 * time.Millisecond

func (c *siteCore) rest(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := c.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C():
		return nil
	}
}

// pass brings everything that follows from the core's knowledge up to date, what others wait for first, and returns when to look again.
// Unless the loop was woken, only what depends on the time is looked at, so that a site in which nothing happens derives nothing.
func (c *siteCore) pass(l *loop, woken bool, now time.Time) time.Time {
	settled := c.settle(now)
	aged, next := c.age(now)
	woken, next = woken || aged, sooner(next, settled)
	next = sooner(next, c.publish(&l.done, now))
	if woken {
		c.out.targets(c.targets())
		c.allot()
	}
	judged, until := c.judge(now)
	climbed, at := c.climb(now)
	if woken || judged || climbed {
		c.out.kick()
	}
	return sooner(sooner(sooner(next, until), at), c.saveWhenDue(&l.disk, now))
}

// publish hands the uplink what has changed and returns when to look again; zero when nothing waits.
func (c *siteCore) publish(done *published, now time.Time) time.Time {
	current, ok := c.records()
	if !ok {
		return time.Time{}
	}
	var sets []model.VerdictSet
	var next time.Time
	done.announced, sets, next = done.announced.Step(c.findings(), now)
	// Their keys sort behind all others.
	current = append(current, c.verdictRecords(sets)...)
	var d export.Decision
	done.throttle, d = done.throttle.Step(current, now)
	if len(d.Upserts)+len(d.Removals) > 0 {
		c.out.publish(d.Upserts, d.Removals)
	}
	if !done.complete {
		c.out.complete()
		done.complete = true
	}
	return sooner(d.Next, next)
}

// pause is how long the loop may sleep when it has something to do at next; a zero next is never.
func pause(next, now time.Time) time.Duration {
	if next.IsZero() {
		return idlePause
	}
	return min(idlePause, max(0, next.Sub(now)))
}

// sooner is the earlier of two times; a zero time is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// touch wakes the loop.
func (c *siteCore) touch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed()
}

// climb moves recovering capacity on; it returns whether any moved, and when to look again.
func (c *siteCore) climb(now time.Time) (bool, time.Time) {
	in, ok := c.inputs()
	if !ok {
		return false, time.Time{}
	}
	available, seen := c.observed.Observe(in)
	c.observed = seen
	c.mu.Lock()
	defer c.mu.Unlock()
	next, moved := c.failback.Step(available, now)
	if next.Revision() != c.failback.Revision() {
		c.unsaved[cacheFile] = true
	}
	c.failback = next
	at, _ := c.failback.NextDeadline()
	return len(moved) > 0, at
}

// maxVIPs is how many virtual addresses there are before those of services that are gone are given up.
const maxVIPs = 50_000

// allot keeps the virtual addresses of what can be called.
func (c *siteCore) allot() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var known, fresh []model.ServiceKey
	note := func(k model.ServiceKey) {
		known = append(known, k)
		if a, held := c.vips[k]; !held || !model.VIPRange.Contains(a) {
			fresh = append(fresh, k)
		}
	}
	for k := range c.facts.services() {
		note(k)
	}
	for _, origin := range c.imports.All() {
		for _, r := range origin.Records {
			if r.Service != nil {
				note(r.Service.Service)
			}
		}
	}
	if len(fresh) == 0 {
		return
	}
	// Addresses of services that are gone are kept: their return should not surprise a caller that has resolved them. Of a cluster that
	// publishes under ever new names they would use up the range.
	if len(fresh)+len(c.vips) <= maxVIPs {
		known = slices.AppendSeq(fresh, maps.Keys(c.vips))
	}
	next := vip.Allot(c.vips, known, model.VIPRange)
	if !vip.Same(next, c.vips) {
		c.vips = next
		c.unsaved[cacheFile] = true
	}
}

// virtualAddresses returns the site's VIPs by service.
func (c *siteCore) virtualAddresses() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]string{}
	for k, a := range c.vips {
		out[k.String()] = a.String()
	}
	return out
}
