package gossip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/federation/spread"
	"github.com/hanse-mesh/hanse/internal/backoff"
)

// follow keeps a stream to a peer for as long as the peer is alive and ctx lasts.
func (m *Mesh) follow(ctx context.Context, name string) {
	pauses := backoff.Backoff{Min: 50 * time.Millisecond, Max: 2 * time.Second}
	said := ""
	for {
		address, ok := m.target(ctx, name)
		if !ok {
			m.changed()
			return
		}
		began := m.cfg.Clock.Now()
		err := m.followOnce(ctx, following{stream: name, node: name, address: address, welcomed: func() { m.setConnected(name, true) }})
		m.setConnected(name, false)
		if ctx.Err() != nil {
			continue
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
		case <-m.cfg.Clock.After(pauses.Next()):
		}
	}
}

// following is one stream to a node.
type following struct {
	// stream is its name among those that are followed.
	stream, node, address string
	welcomed              func()
	// enough ends the stream when it returns true after a message; nil is never.
	enough func() bool
}

// welcomeWait bounds how long a peer may take to answer a hello. One that lives and does not answer would else be waited for for ever,
// and nobody would be followed in its place.
const welcomeWait = 10 * time.Second

var errNoWelcome = fmt.Errorf("no welcome came within %v: the process lives but does not answer", welcomeWait)

// bound cancels with a cause after d, unless the function that it returns is called before.
func (m *Mesh) bound(cancel context.CancelCauseFunc, d time.Duration, cause error) (intime func()) {
	timer, done := m.cfg.Clock.NewTimer(d), make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		select {
		case <-timer.C():
			cancel(cause)
		case <-done:
		}
	})
	return func() {
		close(done)
		watcher.Wait()
		timer.Stop()
	}
}

// followOnce opens one stream and takes what the peer tells until the stream ends.
func (m *Mesh) followOnce(ctx context.Context, f following) error {
	conn, err := m.cfg.Dial(ctx, f.address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	intime := m.bound(cancel, welcomeWait, errNoWelcome)
	stream, protocol, err := m.open(ctx, conn)
	intime()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err != nil {
		return err
	}
	requests := m.asks.opened(f.stream, protocol)
	defer m.asks.closed(f.stream)
	f.welcomed()
	m.cfg.Logger.Info("following a federation node's catalog", "node", f.node, "address", f.address)
	asking := make(chan struct{})
	go func() {
		defer close(asking)
		ask(ctx, stream, requests)
	}()
	defer func() { cancel(nil); <-asking }()
	for f.enough == nil || !f.enough() {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		m.take(f, message)
	}
	return nil
}

// open begins a stream with what this node holds and takes the peer's welcome.
func (m *Mesh) open(ctx context.Context, conn *grpc.ClientConn) (hansev1.NodeService_SyncClient, uint32, error) {
	stream, err := hansev1.NewNodeServiceClient(conn).Sync(ctx)
	if err != nil {
		return nil, 0, err
	}
	// When the stream has ended already, Recv says why.
	if err := stream.Send(m.hello()); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	first, err := stream.Recv()
	if err != nil {
		return nil, 0, err
	}
	welcome := first.GetWelcome()
	if welcome == nil {
		return nil, 0, errors.New("it did not begin with a welcome")
	}
	if p := welcome.GetProtocol(); p < m.cfg.Node.ProtocolMin || p > m.cfg.Node.ProtocolMax {
		return nil, 0, fmt.Errorf("it chose sync protocol %d, which this node does not speak", p)
	}
	return stream, welcome.GetProtocol(), nil
}

// hello says what this node holds, so that only what is missing is sent.
func (m *Mesh) hello() *hansev1.SyncRequest {
	h := &hansev1.SyncHello{ProtocolMin: m.cfg.Node.ProtocolMin, ProtocolMax: m.cfg.Node.ProtocolMax, Node: m.cfg.Node.Name}
	for _, o := range m.cfg.Store.Origins() {
		h.Have = append(h.Have, haveToProto(spread.Have{Origin: o.Name, Version: o.Version, ProducedAt: o.ProducedAt, Digest: m.cfg.Store.Digest(o.Name)}))
	}
	return &hansev1.SyncRequest{Message: &hansev1.SyncRequest_Hello{Hello: h}}
}

// take merges what a peer tells. What is malformed or exceeds a limit is its origin's affair: it changes nothing, and the others go on.
func (m *Mesh) take(f following, message *hansev1.SyncResponse) {
	if message.GetHaves() != nil {
		haves, malformed, err := havesFromProto(message.GetHaves().GetHave(), maxHaves)
		if err != nil {
			m.refuse(f, err)
			return
		}
		m.count(func(s *Stats) { s.HavesIn += uint64(len(haves)); s.Refused += uint64(malformed) })
		m.asks.heard(f.stream, haves)
		return
	}
	b, err := codec.BatchFromProto(message.GetBatch())
	if err != nil {
		m.refuse(f, err)
		return
	}
	out := m.cfg.Store.Offer(b)
	m.asks.took(f.stream, b, out)
	m.count(func(s *Stats) {
		s.BatchesIn++
		s.BytesIn += uint64(spread.Size(b))
		if out.Gap {
			s.Gaps++
		}
	})
}

func (m *Mesh) refuse(f following, err error) {
	times := uint64(0)
	m.count(func(s *Stats) { s.Refused++; times = s.Refused })
	if worthTelling(times) {
		m.cfg.Logger.Warn("what a federation node tells is refused", "node", f.node, "error", err, "times", times)
	}
}

// ask sends the requests, apart from the receiving side, so that neither peer waits for the other to read.
func ask(ctx context.Context, stream hansev1.NodeService_SyncClient, requests *inbox[spread.Request]) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-requests.wake:
		}
		for _, r := range requests.take() {
			if stream.Send(requestToProto(r)) != nil {
				// The receiving side learns why.
				return
			}
		}
	}
}
