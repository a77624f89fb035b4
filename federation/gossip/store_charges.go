package gossip

import (
	"maps"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/spread"
)

// Charge is what an origin has cost this node since the node started, or since the origin was forgotten.
type Charge struct {
	// Batches and Bytes are those that were offered, from wherever they came; Bytes are of keys, records and signatures.
	Batches, Bytes uint64
	// Refused are the batches that exceeded a limit.
	Refused uint64
}

// Charges returns what each held origin has cost. What came of origins that were not held afterwards is charged to the empty name, so
// that made-up names cost no memory.
func (s *Store) Charges() map[model.ClusterName]Charge {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.charges)
}

// charge notes a batch; s.mu is held.
func (s *Store) charge(b model.Batch, out catalog.Outcome) {
	name := b.Origin
	if out.Held.IsZero() {
		name = ""
	}
	c := s.charges[name]
	c.Batches++
	c.Bytes += uint64(spread.Size(b))
	if out.Err != nil {
		c.Refused++
	}
	s.charges[name] = c
}
