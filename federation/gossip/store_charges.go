package gossip

import (
	"maps"
	"math/bits"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/spread"
)

// Charge is what an origin has cost this node since the node started, or since the origin was forgotten.
type Charge struct {
	// Batches and Bytes are those that were offered, from wherever they came; Bytes are of keys, records and signatures.
	Batches, Bytes uint64
	// Refused are the batches that exceeded a limit; Clones those that showed two processes to publish as one cluster.
	Refused, Clones uint64
}

// Charges returns what each held origin has cost. What came of origins that were not held afterwards is charged to the empty name, so
// that made-up names cost no memory.
func (s *Store) Charges() map[model.ClusterName]Charge {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.charges)
}

// charge notes a batch and returns the account that it is charged to; s.mu is held.
func (s *Store) charge(b model.Batch, out catalog.Outcome) Charge {
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
	if out.Clone {
		c.Clones++
	}
	s.charges[name] = c
	return c
}

// worthTelling thins out what happens again and again: the 1st, 2nd, 4th, 8th … time is told.
func worthTelling(times uint64) bool { return bits.OnesCount64(times) == 1 }
