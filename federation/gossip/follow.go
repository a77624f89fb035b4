package gossip

import (
	"context"
	"fmt"
	"time"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/internal/backoff"
)

// follow keeps a stream to a peer for as long as the peer is alive.
func (m *Mesh) follow(ctx context.Context, name string) {
	pauses := backoff.Backoff{Min: 50 * time.Millisecond, Max: 2 * time.Second}
	for {
		address, ok := m.target(name)
		if !ok {
			return
		}
		began := m.cfg.Clock.Now()
		err := m.followOnce(ctx, name, address)
		m.setConnected(name, false)
		if ctx.Err() != nil {
			return
		}
		m.cfg.Logger.Debug("stream to a federation node ended", "node", name, "error", err)
		if m.cfg.Clock.Now().Sub(began) > 10*time.Second {
			pauses.Reset()
		}
		select {
		case <-ctx.Done():
			return
		case <-m.cfg.Clock.After(pauses.Next()):
		}
	}
}

// target is where a live peer is reached. A loop that gets none ends; a later sign of life starts another.
func (m *Mesh) target(name string) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.peers[name]
	if !p.alive {
		p.following = false
		return "", false
	}
	return p.node.GRPC, true
}

func (m *Mesh) setConnected(name string, connected bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.peers[name].connected = connected
}

// followOnce opens one stream and takes what the peer tells until the stream ends.
func (m *Mesh) followOnce(ctx context.Context, name, address string) error {
	conn, err := m.cfg.Dial(ctx, address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := hansev1.NewNodeServiceClient(conn).Sync(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(m.hello()); err != nil {
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	welcome := first.GetWelcome()
	if welcome == nil {
		return fmt.Errorf("node %s did not begin with a welcome", name)
	}
	m.setConnected(name, true)
	m.cfg.Logger.Info("following a federation node's catalog", "node", name, "protocol", welcome.GetProtocol())
	for {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		if err := m.take(stream, message.GetBatch()); err != nil {
			return fmt.Errorf("from node %s: %w", name, err)
		}
	}
}

// hello says what this node holds, so that only what is missing is sent.
func (m *Mesh) hello() *hansev1.SyncRequest {
	h := &hansev1.SyncHello{ProtocolMin: m.cfg.Node.ProtocolMin, ProtocolMax: m.cfg.Node.ProtocolMax, Node: m.cfg.Node.Name}
	for _, o := range m.cfg.Store.Origins() {
		h.Have = append(h.Have, m.have(o))
	}
	return &hansev1.SyncRequest{Message: &hansev1.SyncRequest_Hello{Hello: h}}
}

func (m *Mesh) have(o catalog.Origin) *hansev1.Have {
	return &hansev1.Have{Origin: string(o.Name), Version: codec.VersionToProto(o.Version), Digest: m.cfg.Store.digest(o.Name)}
}

// take merges a batch and pulls the origin when one before it is missing. A malformed batch ends the stream; one that exceeds a
// limit is that origin's affair and changes nothing.
func (m *Mesh) take(stream hansev1.NodeService_SyncClient, p *hansev1.Batch) error {
	b, err := codec.BatchFromProto(p)
	if err != nil {
		return err
	}
	m.count(func(s *Stats) { s.BatchesIn++ })
	out := m.cfg.Store.Offer(b)
	if !out.Gap {
		return nil
	}
	m.count(func(s *Stats) { s.Gaps++ })
	return stream.Send(pull(b.Origin, out.Held))
}

func pull(origin model.ClusterName, held model.Version) *hansev1.SyncRequest {
	return &hansev1.SyncRequest{Message: &hansev1.SyncRequest_Pull{
		Pull: &hansev1.Have{Origin: string(origin), Version: codec.VersionToProto(held)},
	}}
}
