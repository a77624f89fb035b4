package server

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
)

const (
	// publisherSilence is how long a publisher may give no sign of life before a process that it has superseded is told so.
	publisherSilence = 10 * time.Second
	// slowedFor is how long a cluster counts as slowed down after it last was.
	slowedFor = time.Minute
)

// Feed is how what a cluster publishes comes to this node.
type Feed struct {
	// Age is the time since the cluster's agent last confirmed what is held: by this node's own clock if it has heard the agent confirm
	// anything, else by the agent's.
	Age time.Duration
	// Rivals are the processes connected to this node that would publish as the cluster, but for the one that does.
	Rivals []string
	// Slowed counts how often the cluster had to wait because it sent more than its share; SlowedDown says that it had to lately.
	Slowed     uint64
	SlowedDown bool
}

// Feed describes what comes of an origin that the store holds.
func (s *Server) Feed(o catalog.Origin) Feed {
	now := s.cfg.Clock.Now()
	f := Feed{Age: s.feeds.note(o, now).age(now), Rivals: s.sessions.rivals(o.Name)}
	var last time.Time
	f.Slowed, last = s.accounts.slowed(o.Name)
	f.SlowedDown = f.Slowed > 0 && now.Sub(last) < slowedFor
	return f
}

// feeds notes when this node saw origins give signs of life. Clocks of clusters may be hours off; this node's own is not off from itself.
type feeds struct {
	mu   sync.Mutex
	seen map[model.ClusterName]sight
}

// sight is an origin's last sign of life: a newer version, or a later time of the same one.
type sight struct {
	version    model.Version
	producedAt time.Time
	at         time.Time
	// first is set until the origin is seen to move: what is held may have been said long ago.
	first bool
}

// note takes what is held of an origin now.
func (f *feeds) note(o catalog.Origin, now time.Time) sight {
	f.mu.Lock()
	defer f.mu.Unlock()
	held, known := f.seen[o.Name]
	if known && held.version == o.Version && !o.ProducedAt.After(held.producedAt) {
		return held
	}
	next := sight{version: o.Version, producedAt: o.ProducedAt, at: now, first: !known}
	f.seen[o.Name] = next
	return next
}

// forget drops the origins that the store does not hold any more.
func (f *feeds) forget(held []catalog.Origin) {
	names := make(map[model.ClusterName]bool, len(held))
	for _, o := range held {
		names[o.Name] = true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.seen, func(name model.ClusterName, _ sight) bool { return !names[name] })
}

func (s sight) age(now time.Time) time.Duration {
	if s.first {
		return max(0, now.Sub(s.at), now.Sub(s.producedAt))
	}
	return max(0, now.Sub(s.at))
}

// fresh reports whether the publisher counts as alive, and until when if nothing more is heard.
func (s sight) fresh(now time.Time) (bool, time.Time) {
	until := s.at.Add(publisherSilence)
	return now.Before(until), until
}

// watchFeeds notes signs of life as they come, until ctx ends.
func (s *Server) watchFeeds(ctx context.Context) error {
	sub := s.cfg.Subscribe()
	defer sub.Close()
	for _, o := range s.cfg.Store.Origins() {
		s.feeds.note(o, s.cfg.Clock.Now())
	}
	for {
		names, err := sub.Next(ctx)
		if err != nil {
			return nil
		}
		first := false
		for _, name := range names {
			if o, ok := s.cfg.Store.Origin(name); ok {
				first = s.feeds.note(o, s.cfg.Clock.Now()).first || first
			}
		}
		if first {
			s.feeds.forget(s.cfg.Store.Origins())
		}
	}
}
