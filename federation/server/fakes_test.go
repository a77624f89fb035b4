package server

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/trust/bundle"
)

// raft is a replicated state without replication: all nodes of a test share it.
type raft struct {
	now func() time.Time

	mu      sync.Mutex
	state   *state.State
	view    *state.View
	changed chan struct{}
	leader  string
	group   map[string]GroupMember
	entries int
}

func newRaft(now func() time.Time) *raft {
	r := &raft{now: now, state: state.New(bundle.Accept), changed: make(chan struct{}), group: map[string]GroupMember{}}
	r.view = r.state.View()
	return r
}

func (r *raft) Propose(_ context.Context, c state.Command) (state.Result, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries++
	result := r.state.Apply(r.view.Index+1, state.Entry{Version: r.view.CommandVersion(), At: r.now(), Command: c})
	r.view = r.state.View()
	close(r.changed)
	r.changed = make(chan struct{})
	return result, result.Err
}

func (r *raft) Watch() (*state.View, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.view, r.changed
}

func (r *raft) Leader() (string, string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.leader, "", r.leader != ""
}

func (r *raft) lead(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leader = name
}

func (r *raft) AddVoter(_ context.Context, name, address string) error {
	return r.add(name, GroupMember{Address: address, Voter: true})
}

func (r *raft) AddReplica(_ context.Context, name, address string) error {
	return r.add(name, GroupMember{Address: address})
}

func (r *raft) add(name string, m GroupMember) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.group[name] = m
	return nil
}

// dismiss takes a node out of the group.
func (r *raft) dismiss(_ context.Context, name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.group, name)
	return nil
}

func (r *raft) Group() map[string]GroupMember {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.group)
}

func (r *raft) proposed() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.entries
}

// store is the catalog of all nodes of a test.
type store struct {
	mu      sync.Mutex
	catalog *catalog.Catalog
	subs    map[*subscription]bool
}

func newStore() *store {
	return &store{catalog: catalog.New(catalog.Limits{Records: 20}), subs: map[*subscription]bool{}}
}

func (s *store) Offer(b model.Batch) catalog.Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.catalog.Merge(b)
	if out.Changed || out.Refreshed {
		for sub := range s.subs {
			sub.add(b.Origin)
		}
	}
	return out
}

func (s *store) Since(origin model.ClusterName, have model.Version) (model.Batch, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.catalog.Since(origin, have)
}

func (s *store) Origin(name model.ClusterName) (catalog.Origin, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.catalog.Origin(name)
}

func (s *store) Origins() []catalog.Origin {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.catalog.Origins()
}

func (s *store) subscribe() Subscription {
	sub := &subscription{store: s, ready: make(chan struct{}, 1), changed: map[model.ClusterName]bool{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subs[sub] = true
	return sub
}

type subscription struct {
	store *store
	ready chan struct{}

	mu      sync.Mutex
	changed map[model.ClusterName]bool
}

func (s *subscription) add(origin model.ClusterName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed[origin] = true
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

func (s *subscription) Next(ctx context.Context) ([]model.ClusterName, error) {
	select {
	case <-s.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []model.ClusterName
	for origin := range s.changed {
		out = append(out, origin)
	}
	clear(s.changed)
	return out, nil
}

func (s *subscription) Close() {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	delete(s.store.subs, s)
}
