package gossip

import "github.com/hanse-mesh/hanse/federation/spread"

// Stats counts what has gone through the streams since the node started.
type Stats struct {
	BatchesIn, BatchesOut uint64
	// BytesIn and BytesOut are those of the batches' keys, records and signatures.
	BytesIn, BytesOut uint64
	// FullsOut are the batches sent that stated an origin in full.
	FullsOut uint64
	// HavesIn and HavesOut are the short news of pruned links, in origins.
	HavesIn, HavesOut uint64
	// PullsIn and PrunesIn are what peers have asked for; Asked has what this node asked for, and how useful the batches were.
	PullsIn, PrunesIn uint64
	Asked             spread.Counts
	// Gaps are the batches taken that led on from what was not held.
	Gaps uint64
	// Repairs are the times that another node was found to hold what this one had been lacking.
	Repairs uint64
	// Refused are the malformed batches and haves.
	Refused uint64
}

func (s *Stats) told(m spread.Message) {
	s.HavesOut += uint64(len(m.Haves))
	if m.Batch == nil {
		return
	}
	s.BatchesOut++
	s.BytesOut += uint64(spread.Size(*m.Batch))
	if m.Batch.Full {
		s.FullsOut++
	}
}

// Stats returns a copy of the counters.
func (m *Mesh) Stats() Stats {
	m.mu.Lock()
	s := m.stats
	m.mu.Unlock()
	s.Asked = m.asks.counts()
	return s
}

func (m *Mesh) count(f func(*Stats)) {
	m.mu.Lock()
	f(&m.stats)
	m.mu.Unlock()
	m.changed()
}
