package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/hanse-mesh/hanse/internal/atomicfile"
)

// saveDelay is how long changes of the cache are collected before they are written. After a crash the federation tells them again.
const saveDelay = time.Second

// schedule is when the disk is written next; zero while nothing is unsaved.
type schedule struct{ at time.Time }

// saveWhenDue has the disk written apart from the loop, which must not wait for it: whom the site believes at once, the rest a while
// after its first change. It returns when to look again.
func (c *siteCore) saveWhenDue(s *schedule, now time.Time) time.Time {
	c.mu.Lock()
	unsaved, bundles := len(c.unsaved) > 0, c.unsaved[bundlesFile]
	c.mu.Unlock()
	switch {
	case !unsaved:
		s.at = time.Time{}
		return s.at
	case bundles:
		s.at = now
	case s.at.IsZero():
		s.at = now.Add(saveDelay)
	}
	if s.at.After(now) {
		return s.at
	}
	s.at = time.Time{}
	select {
	case c.saving <- struct{}{}:
	default:
		// A write that has not begun yet will take the newest.
	}
	return s.at
}

// keep writes the disk whenever the loop says so.
func (c *siteCore) keep(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.saving:
			c.save()
		}
	}
}

// save writes what has changed. A full disk is reported and does not stop the agent.
func (c *siteCore) save() {
	c.mu.Lock()
	writes := map[string]func() ([]byte, error){cacheFile: c.marshalCache, bundlesFile: c.marshalBundles}
	files := map[string][]byte{}
	for name := range c.unsaved {
		data, err := writes[name]()
		if err != nil {
			c.logger.Error("could not save", "file", name, "error", err)
			continue
		}
		files[name] = data
	}
	clear(c.unsaved)
	c.mu.Unlock()
	for name, data := range files {
		if err := atomicfile.Write(filepath.Join(c.dir, name), data, 0o600); err != nil {
			c.logger.Error("could not save; a restart would find the older state", "file", name, "error", err)
			c.mu.Lock()
			c.unsaved[name] = true
			c.mu.Unlock()
		}
	}
}
