package gossip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/internal/backoff"
)

// follow keeps a stream to a peer for as long as the peer is alive.
func (m *Mesh) follow(ctx context.Context, name string) {
	pauses := backoff.Backoff{Min: 50 * time.Millisecond, Max: 2 * time.Second}
	said := ""
	for {
		address, ok := m.target(name)
		if !ok {
			m.changed()
			return
		}
		began := m.cfg.Clock.Now()
		err := m.followOnce(ctx, name, address)
		m.setConnected(name, false)
		if ctx.Err() != nil {
			return
		}
		if m.cfg.Clock.Now().Sub(began) > 10*time.Second {
			pauses.Reset()
			said = ""
		}
		level := slog.LevelDebug
		if text := err.Error(); text != said {
			// A reason is told once, not at every attempt.
			level, said = slog.LevelWarn, text
		}
		m.cfg.Logger.Log(ctx, level, "a federation node's catalog cannot be followed", "node", name, "address", address, "error", err)
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
	m.peers[name].connected = connected
	m.mu.Unlock()
	m.changed()
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
	stream, err := m.open(ctx, conn)
	if err != nil {
		return err
	}
	m.setConnected(name, true)
	m.cfg.Logger.Info("following a federation node's catalog", "node", name, "address", address)
	pulls, asking := newInbox[model.Version](), make(chan struct{})
	go func() {
		defer close(asking)
		ask(ctx, stream, pulls)
	}()
	defer func() { cancel(); <-asking }()
	for {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		m.take(name, message.GetBatch(), pulls)
	}
}

// open begins a stream with what this node holds and takes the peer's welcome.
func (m *Mesh) open(ctx context.Context, conn *grpc.ClientConn) (hansev1.NodeService_SyncClient, error) {
	stream, err := hansev1.NewNodeServiceClient(conn).Sync(ctx)
	if err != nil {
		return nil, err
	}
	// When the stream has ended already, Recv says why.
	if err := stream.Send(m.hello()); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	first, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	welcome := first.GetWelcome()
	if welcome == nil {
		return nil, errors.New("it did not begin with a welcome")
	}
	if p := welcome.GetProtocol(); p < m.cfg.Node.ProtocolMin || p > m.cfg.Node.ProtocolMax {
		return nil, fmt.Errorf("it chose sync protocol %d, which this node does not speak", p)
	}
	return stream, nil
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

// take merges a batch and pulls the origin when one before it is missing. One that is malformed or exceeds a limit is its origin's
// affair: it changes nothing, and the others go on.
func (m *Mesh) take(name string, p *hansev1.Batch, pulls *inbox[model.Version]) {
	b, err := codec.BatchFromProto(p)
	if err != nil {
		m.cfg.Logger.Warn("batch of a federation node refused", "node", name, "error", err)
		m.count(func(s *Stats) { s.Refused++ })
		return
	}
	out := m.cfg.Store.Offer(b)
	m.count(func(s *Stats) {
		s.BatchesIn++
		if out.Gap {
			s.Gaps++
		}
	})
	switch {
	case out.Gap && out.Clone:
		// What is held is another writer's: nothing leads on from it.
		pulls.put(b.Origin, model.Version{})
	case out.Gap:
		pulls.put(b.Origin, out.Held)
	}
}

// ask sends the pulls, apart from the receiving side, so that neither peer waits for the other to read.
func ask(ctx context.Context, stream hansev1.NodeService_SyncClient, pulls *inbox[model.Version]) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-pulls.wake:
		}
		for origin, held := range pulls.take() {
			pull := &hansev1.Have{Origin: string(origin), Version: codec.VersionToProto(held)}
			if stream.Send(&hansev1.SyncRequest{Message: &hansev1.SyncRequest_Pull{Pull: pull}}) != nil {
				// The receiving side learns why.
				return
			}
		}
	}
}
