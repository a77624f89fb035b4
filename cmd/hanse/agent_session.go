package main

import (
	"time"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/state"
)

// settleTime is how long a node may take to catch up with what this agent knows already: one that has just started tells the state of its
// last snapshot, and nothing of clusters that it has not heard of yet.
const settleTime = 30 * time.Second

// listening is what the core knows of the session that stands.
type listening struct {
	// since is when it began; zero while there is none.
	since time.Time
	// heard are the clusters that the node has told of, or was asked for.
	heard map[model.ClusterName]bool
	// past is the newest state that the node has told while it is older than the one in force, since pastSince; nil if there is none.
	past      *toldState
	pastSince time.Time
}

// toldState is a replicated state as a node at an address tells it.
type toldState struct {
	view  *state.View
	proto *hansev1.State
	from  string
}

// Connected begins or ends what is known of a session. Its end changes nothing of what is known of the federation.
func (c *siteCore) Connected(_ string, connected bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = listening{}
	if connected {
		c.session = listening{since: c.clock.Now(), heard: map[model.ClusterName]bool{}}
	}
	c.changed()
}

// State takes the federation's replicated state. One that is older than the one in force comes from a node that lags behind: what it
// tells is left aside until it has caught up, because its filters are of the past, too. If it does not catch up, the federation itself
// has gone back, for example to a backup, and is followed.
func (c *siteCore) State(p *hansev1.State) {
	v, err := state.ViewFromProto(p)
	if err != nil {
		c.logger.Error("the federation's state cannot be read; the last one stays in force", "error", err)
		return
	}
	told := toldState{v, p, c.out.node()}
	c.mu.Lock()
	if c.view != nil && v.Index < c.view.Index {
		if c.session.past == nil {
			c.session.pastSince = c.clock.Now()
			c.logger.Info("the node lags behind what this agent knows; waiting for it", "index", v.Index, "known", c.view.Index)
		}
		c.session.past = &told
		c.changed()
		c.mu.Unlock()
		return
	}
	c.session.past = nil
	c.adopt(told)
	c.mu.Unlock()
	c.offerBundles(told)
}

// adopt puts a state in force; c.mu is held.
func (c *siteCore) adopt(s toldState) {
	before := c.view
	c.view, c.viewProto, c.viewFrom = s.view, s.proto, s.from
	c.rules, c.takes = s.view.ExportList(), s.view.ImportList()
	for name, m := range s.view.Clusters {
		if before == nil || string(before.Clusters[name].AgentKey) != string(m.AgentKey) {
			c.imports.Reverify(name)
		}
	}
	c.imports.Recheck()
	c.news()
	c.changed(cacheFile)
}

func (c *siteCore) offerBundles(s toldState) {
	for _, b := range s.view.Bundles {
		c.offerBundle(b, s.from)
	}
}

// settle follows a node that has not caught up in time, and asks it for the clusters that it should have told of: what they withdrew
// while this agent was away, nobody else says. It returns when to look again; zero is never.
func (c *siteCore) settle(now time.Time) time.Time {
	c.mu.Lock()
	s := &c.session
	if s.past != nil {
		past, due := *s.past, s.pastSince.Add(settleTime)
		if now.Before(due) {
			c.mu.Unlock()
			return due
		}
		c.logger.Error("the federation's state is older than what this agent knew, and stays so: it is followed. Was it restored from a backup?",
			"index", past.view.Index, "known", c.view.Index)
		s.past = nil
		c.adopt(past)
		c.mu.Unlock()
		c.offerBundles(past)
		return now
	}
	var ask []model.ClusterName
	due := s.since.Add(settleTime)
	if s.since.IsZero() {
		due = time.Time{}
	} else if !now.Before(due) {
		due = time.Time{}
		for _, origin := range c.imports.All() {
			if !s.heard[origin.Origin] {
				s.heard[origin.Origin] = true
				ask = append(ask, origin.Origin)
			}
		}
	}
	c.mu.Unlock()
	for _, origin := range ask {
		c.out.resync(origin)
	}
	return due
}

// Import takes another cluster's records.
func (c *siteCore) Import(b model.Batch) (gap bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session.past != nil || b.Origin == c.member.Cluster {
		return false
	}
	c.hear(b.Origin)
	changed, gap, err := c.imports.Apply(b, c.clock.Now())
	if err != nil {
		c.logger.Warn("imported records refused", "cluster", b.Origin, "error", err)
	}
	switch {
	case changed:
		c.news()
		c.changed(cacheFile)
	case c.stale[b.Origin]:
		// A sign of life may be all that it needs.
		c.changed()
	}
	return gap
}

// OriginDropped forgets a cluster that this one may not see any more.
func (c *siteCore) OriginDropped(origin model.ClusterName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session.past != nil {
		return
	}
	c.hear(origin)
	if c.imports.Drop(origin, c.clock.Now()) {
		c.news()
		c.changed(cacheFile)
	}
}

// hear notes that the node has told of a cluster; c.mu is held.
func (c *siteCore) hear(origin model.ClusterName) {
	if c.session.heard != nil {
		c.session.heard[origin] = true
	}
}
