package gossip

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hanse-mesh/hanse/federation/overlay"
)

// unreachableAfter is how long a live peer has not been reached over a stream when another one is followed as well.
const unreachableAfter = 10 * time.Second

// forgetAfter is how long a dead peer keeps its place in the overlay: long enough to come back to it, not for ever, as names may be made
// up anew for each node.
const forgetAfter = time.Hour

// pursuit is a loop that keeps a stream to a peer, or tries to.
type pursuit struct {
	cancel    context.CancelFunc
	connected bool
	// since is when the stream was there last, or the pursuit began.
	since time.Time
}

// replan has the peers followed that the overlay names, and others no more, once those that take their place are connected.
func (m *Mesh) replan(ctx context.Context, tasks *sync.WaitGroup) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.cfg.Clock.Now()
	maps.DeleteFunc(m.peers, func(_ string, p *peer) bool { return !p.alive && p.pursuit == nil && now.Sub(p.seen) > forgetAfter })
	wanted, missing := m.wanted(), 0
	for name := range wanted {
		p := m.peers[name]
		if p.pursuit == nil {
			m.pursue(ctx, name, p, tasks)
		}
		if !p.pursuit.connected {
			missing++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.peers)) {
		p := m.peers[name]
		switch {
		case wanted[name] || p.pursuit == nil || !p.alive:
			// A stream to a peer that is taken for dead ends by itself, or is of use.
		case p.pursuit.connected && missing > 0:
			missing--
		default:
			p.pursuit.cancel()
		}
	}
}

// wanted names the live peers to follow; m.mu is held. For those that cannot be reached others are followed as well.
func (m *Mesh) wanted() map[string]bool {
	self := m.cfg.Node
	members := []overlay.Member{{Name: self.Name, Region: self.Region, Alive: true}}
	unreachable := false
	for name, p := range m.peers {
		members = append(members, overlay.Member{Name: name, Region: p.node.Region, Alive: p.alive})
		unreachable = unreachable || p.unreachable
	}
	wanted := map[string]bool{}
	for _, name := range overlay.Follow(self.Name, members, m.degree) {
		wanted[name] = true
	}
	if !unreachable {
		return wanted
	}
	for i := range members[1:] {
		members[i+1].Alive = members[i+1].Alive && !m.peers[members[i+1].Name].unreachable
	}
	for _, name := range overlay.Follow(self.Name, members, m.degree) {
		wanted[name] = true
	}
	return wanted
}

// pursue begins a pursuit; m.mu is held.
func (m *Mesh) pursue(ctx context.Context, name string, p *peer, tasks *sync.WaitGroup) {
	ctx, cancel := context.WithCancel(ctx)
	p.pursuit = &pursuit{cancel: cancel, since: m.cfg.Clock.Now()}
	tasks.Go(func() {
		defer cancel()
		m.follow(ctx, name)
	})
}

// target is where a live peer is reached. A pursuit that gets none ends; a later sign of life begins another.
func (m *Mesh) target(ctx context.Context, name string) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.peers[name]
	if !p.alive || ctx.Err() != nil {
		p.pursuit, p.unreachable = nil, false
		// It may be wanted again already.
		m.plan()
		return "", false
	}
	return p.node.GRPC, true
}

// setConnected notes that a pursuit has a stream, or has none any more.
func (m *Mesh) setConnected(name string, connected bool) {
	m.mu.Lock()
	p := m.peers[name]
	now := m.cfg.Clock.Now()
	if connected || p.pursuit.connected {
		p.pursuit.since = now
	}
	changed := p.pursuit.connected != connected
	p.pursuit.connected = connected
	unreachable := !connected && now.Sub(p.pursuit.since) >= unreachableAfter
	changed = changed || p.unreachable != unreachable
	p.unreachable = unreachable
	m.mu.Unlock()
	if changed {
		m.plan()
	}
	m.changed()
}

// plan has Run call replan; what happens until then is one reason for it.
func (m *Mesh) plan() {
	select {
	case m.events <- struct{}{}:
	default:
	}
}
