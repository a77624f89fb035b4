// Package gossip owns the spread of the catalog between federation nodes: membership and liveness by memberlist, records by streams.
//
// Each node follows a few others (federation/overlay), each over a stream of its own, and is told what it lacks; what it learns it passes
// on, until everybody has it (federation/spread). What passes a node by all the same it finds in the summaries that memberlist exchanges
// and pulls. Nothing queues: a stream that is slow is sent the newest state when it can take it. A node that dies withdraws nothing.
package gossip

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
)

// Store owns the catalog and tells subscribers what has changed. It is safe for concurrent use.
type Store struct {
	logger *slog.Logger

	mu          sync.Mutex
	catalog     *catalog.Catalog
	subscribers map[*Subscription]struct{}
	charges     map[model.ClusterName]Charge
}

// NewStore returns an empty store.
func NewStore(l catalog.Limits, logger *slog.Logger) *Store {
	return &Store{
		logger: logger, catalog: catalog.New(l), subscribers: map[*Subscription]struct{}{}, charges: map[model.ClusterName]Charge{},
	}
}

// Offer merges a batch and wakes the subscribers if it told anything new.
func (s *Store) Offer(b model.Batch) catalog.Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.catalog.Merge(b)
	charge := s.charge(b, out)
	if out.Changed || out.Refreshed {
		for sub := range s.subscribers {
			sub.dirty.put(b.Origin, struct{}{})
		}
	}
	if out.Clone && worthTelling(charge.Clones) {
		s.logger.Error("two processes publish as one cluster: stop one of them, or give it a data folder of its own",
			"cluster", b.Origin, "version", b.To, "instance", b.Instance, "times", charge.Clones)
	}
	if out.Err != nil && worthTelling(charge.Refused) {
		s.logger.Warn("batch refused", "cluster", b.Origin, "error", out.Err, "times", charge.Refused)
	}
	return out
}

// Since is catalog.Catalog's.
func (s *Store) Since(origin model.ClusterName, have model.Version) (model.Batch, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.catalog.Since(origin, have)
}

// Heartbeat is catalog.Catalog's.
func (s *Store) Heartbeat(origin model.ClusterName) (model.Batch, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.catalog.Heartbeat(origin)
}

// Digest is catalog.Catalog's.
func (s *Store) Digest(origin model.ClusterName) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.catalog.Digest(origin)
}

// Origins is catalog.Catalog's.
func (s *Store) Origins() []catalog.Origin {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.catalog.Origins()
}

// Origin is catalog.Catalog's.
func (s *Store) Origin(name model.ClusterName) (catalog.Origin, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.catalog.Origin(name)
}

// Records is catalog.Catalog's.
func (s *Store) Records(origin model.ClusterName) (map[string]model.SignedRecord, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.catalog.Records(origin)
}

// Forget is catalog.Catalog's.
func (s *Store) Forget(origin model.ClusterName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.catalog.Forget(origin)
	delete(s.charges, origin)
}

// Subscription collects the origins that changed until its reader asks: it is bounded by the number of origins and never holds up a
// writer.
type Subscription struct {
	store *Store
	dirty *inbox[struct{}]
}

// Subscribe returns a subscription to changes from now on.
func (s *Store) Subscribe() *Subscription {
	sub := &Subscription{store: s, dirty: newInbox[struct{}]()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscribers[sub] = struct{}{}
	return sub
}

// Next waits for changes and returns their origins, sorted, each once however often it changed. It is for one caller at a time.
func (s *Subscription) Next(ctx context.Context) ([]model.ClusterName, error) {
	for {
		if names := s.dirty.take(); len(names) > 0 {
			return slices.Sorted(maps.Keys(names)), nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.dirty.wake:
		}
	}
}

// Close ends the subscription: nothing is collected any more.
func (s *Subscription) Close() {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	delete(s.store.subscribers, s)
}
