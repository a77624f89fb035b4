package gossip

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/spread"
)

const (
	// summaryOrigins is how many origins are summed up in one exchange; of more, each exchange has another part.
	summaryOrigins = 2000
	// maxSummary is the largest summary that is taken, in bytes.
	maxSummary = 1 << 20
	// repairTime bounds how long a node is followed for a repair.
	repairTime = 30 * time.Second
)

// repairer is what memberlist's exchanges of state are used for: to find what has passed this node by. It is safe for concurrent use.
type repairer struct {
	// heard has a value when a summary has come.
	heard chan struct{}

	mu      sync.Mutex
	repairs *spread.Repairs
	// told is the last origin that was summed up for others.
	told model.ClusterName
}

func newRepairer(s spread.Source, t spread.Timing) *repairer {
	return &repairer{heard: make(chan struct{}, 1), repairs: spread.NewRepairs(s, t)}
}

// LocalState sums up what this node holds. memberlist calls it.
func (d delegate) LocalState(bool) []byte {
	r := d.m.repairs
	r.mu.Lock()
	haves, last := spread.Summary(d.m.cfg.Store, r.told, summaryOrigins)
	r.told = last
	r.mu.Unlock()
	data, err := proto.Marshal(&hansev1.SyncHello{Node: d.m.cfg.Node.Name, Have: havesToProto(haves)})
	if err != nil {
		d.m.cfg.Logger.Error("what this node holds cannot be summed up", "error", err)
		return nil
	}
	return data
}

// MergeRemoteState takes what another node says that it holds. memberlist calls it.
func (d delegate) MergeRemoteState(data []byte, _ bool) {
	if len(data) == 0 {
		// A node of an older version does not say.
		return
	}
	var said hansev1.SyncHello
	if len(data) > maxSummary || proto.Unmarshal(data, &said) != nil {
		d.m.cfg.Logger.Warn("a federation node's summary of its catalog is refused", "bytes", len(data), "limit", maxSummary)
		d.m.count(func(s *Stats) { s.Refused++ })
		return
	}
	haves, malformed, err := havesFromProto(said.GetHave(), maxHello)
	d.m.count(func(s *Stats) { s.Refused += uint64(malformed) })
	if err != nil || said.GetNode() == d.m.cfg.Node.Name {
		return
	}
	r := d.m.repairs
	r.mu.Lock()
	r.repairs.Heard(said.GetNode(), haves, d.m.cfg.Clock.Now())
	r.mu.Unlock()
	select {
	case r.heard <- struct{}{}:
	default:
	}
}

// repairAll pulls what this node has been lacking for too long from those who hold it, one after the other, until ctx ends.
func (m *Mesh) repairAll(ctx context.Context) {
	timer := m.cfg.Clock.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.repairs.heard:
		case <-timer.C():
		}
		node, haves, due, waiting := m.repairs.next(m.cfg.Clock.Now())
		for node != "" && ctx.Err() == nil {
			m.repair(ctx, node, haves)
			node, haves, due, waiting = m.repairs.next(m.cfg.Clock.Now())
		}
		timer.Stop()
		if waiting {
			timer.Reset(due.Sub(m.cfg.Clock.Now()))
		}
	}
}

func (r *repairer) next(now time.Time) (node string, haves []spread.Have, due time.Time, waiting bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	node, haves = r.repairs.Take(now)
	due, waiting = r.repairs.Due()
	return node, haves, due, waiting
}

// repair pulls from a node what it holds: over the stream on which it is followed, or over one that ends when that is done.
func (m *Mesh) repair(ctx context.Context, node string, haves []spread.Have) {
	m.mu.Lock()
	p := m.peers[node]
	known := p != nil && p.alive
	address := ""
	if known {
		address = p.node.GRPC
	}
	m.mu.Unlock()
	if !known {
		return
	}
	m.cfg.Logger.Info("another federation node holds what this one lacks", "node", node, "origins", len(haves), "first", haves[0].Origin)
	m.count(func(s *Stats) { s.Repairs++ })
	if m.asks.heard(node, haves) {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	timeout := m.cfg.Clock.NewTimer(repairTime)
	defer timeout.Stop()
	go func() {
		select {
		case <-ctx.Done():
		case <-timeout.C():
			cancel()
		}
	}()
	err := m.followOnce(ctx, following{
		stream: "repair from " + node, node: node, address: address, welcomed: func() {},
		enough: func() bool { return !spread.Lacking(m.cfg.Store, haves) },
	})
	if err != nil && ctx.Err() == nil {
		m.cfg.Logger.Warn("what another federation node holds could not be pulled", "node", node, "address", address, "error", err)
	}
	m.changed()
}
