package sim

import (
	"maps"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/state"
)

// settleTime is how long a node may take to catch up with what an agent knows already.
const settleTime = 30 * time.Second

// listening is what an agent knows of the session that stands: cmd/hanse's, which decides what of a node's words counts.
type listening struct {
	// since is when it began; zero while there is none.
	since time.Time
	heard map[model.ClusterName]bool
	// past is the newest state that the node has told while it is older than the one in force, since pastSince.
	past      *state.View
	pastSince time.Time
}

func (a *agent) connected(connected bool) {
	a.session = listening{}
	if connected {
		a.session = listening{since: a.clock(a.w.now), heard: map[model.ClusterName]bool{}}
	}
	a.wake()
}

// learn takes the replicated state as a node tells it; one that lags behind is waited for.
func (a *agent) learn(v *state.View) {
	if a.view != nil && v.Index < a.view.Index {
		if a.session.past == nil {
			a.session.pastSince = a.clock(a.w.now)
		}
		a.session.past = v
		a.wake()
		return
	}
	a.session.past = nil
	a.adopt(v)
}

func (a *agent) adopt(v *state.View) {
	before := a.view
	a.view, a.rules = v, v.ExportList()
	for _, name := range slices.Sorted(maps.Keys(v.Clusters)) {
		if before == nil || string(before.Clusters[name].AgentKey) != string(v.Clusters[name].AgentKey) {
			a.imports.Reverify(name)
		}
	}
	a.imports.Recheck()
	a.unsaved, a.seen.changed = true, true
	a.w.oracle.imports(a)
	a.touch()
}

// settle follows a node that has not caught up in time, asks it for what it has not mentioned, and returns when to look again.
func (a *agent) settle(now time.Time) time.Time {
	s := &a.session
	if s.past != nil {
		if due := s.pastSince.Add(settleTime); now.Before(due) {
			return due
		}
		past := s.past
		s.past = nil
		a.adopt(past)
		return now
	}
	if s.since.IsZero() {
		return time.Time{}
	}
	if due := s.since.Add(settleTime); now.Before(due) {
		return due
	}
	for _, i := range a.imports.All() {
		if !s.heard[i.Origin] {
			s.heard[i.Origin] = true
			a.link.resync(i.Origin)
		}
	}
	return time.Time{}
}

// hear notes that the node has told of a cluster, and reports whether that counts.
func (a *agent) hear(origin model.ClusterName) bool {
	if a.session.past != nil {
		return false
	}
	if a.session.heard != nil {
		a.session.heard[origin] = true
	}
	return true
}
