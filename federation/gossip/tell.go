package gossip

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/federation/spread"
)

// ServeSync tells another node what it lacks, and every change from then on, until the stream ends. The caller has checked that the
// peer is a federation node.
func (m *Mesh) ServeSync(stream hansev1.NodeService_SyncServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	protocol, err := m.negotiate(hello)
	if err != nil {
		return err
	}
	haves, malformed, err := havesFromProto(hello.GetHave(), maxHello)
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "the hello of node %s: %v", hello.GetNode(), err)
	}
	m.count(func(s *Stats) { s.Refused += uint64(malformed) })
	// Subscribed before the first look at the store: no change falls in between.
	sub := m.cfg.Store.Subscribe()
	defer sub.Close()
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	requests := newInbox[spread.Request]()
	// It ends with the handler at the latest: then Recv does.
	go func() { cancel(m.readRequests(stream, requests)) }()
	welcome := &hansev1.SyncResponse_Welcome{Welcome: &hansev1.SyncWelcome{Protocol: protocol, Node: m.cfg.Node.Name}}
	if err := stream.Send(&hansev1.SyncResponse{Message: welcome}); err != nil {
		return err
	}
	t := &telling{mesh: m, stream: stream, teller: spread.NewTeller(m.cfg.Store, protocol, m.timing), changes: sub, requests: requests}
	t.teller.Hello(haves, m.cfg.Clock.Now())
	return t.run(ctx)
}

func (m *Mesh) negotiate(h *hansev1.SyncHello) (uint32, error) {
	n := m.cfg.Node
	if h == nil {
		return 0, status.Error(codes.InvalidArgument, "a sync stream begins with a hello")
	}
	highest := min(n.ProtocolMax, h.GetProtocolMax())
	if highest < n.ProtocolMin || highest < h.GetProtocolMin() {
		return 0, status.Errorf(codes.FailedPrecondition, "node %s speaks sync protocols %d to %d, node %s %d to %d: upgrade the older one",
			n.Name, n.ProtocolMin, n.ProtocolMax, h.GetNode(), h.GetProtocolMin(), h.GetProtocolMax())
	}
	return highest, nil
}

// readRequests collects what the peer asks for until the stream ends. It never waits for the telling side: a peer that asked for more
// than the connection buffers, before it reads on, would wait for ever. What is not held is not collected, so a flood of requests is
// bounded by the origins that are.
func (m *Mesh) readRequests(stream hansev1.NodeService_SyncServer, requests *inbox[spread.Request]) error {
	for {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		r, err := requestFromProto(message)
		if err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		if _, held := m.cfg.Store.Origin(r.Origin); held {
			requests.put(r.Origin, r)
		}
		m.count(func(s *Stats) {
			if r.Prune {
				s.PrunesIn++
			} else {
				s.PullsIn++
			}
		})
	}
}

// telling is one stream's sending side. It belongs to one goroutine.
type telling struct {
	mesh     *Mesh
	stream   hansev1.NodeService_SyncServer
	teller   *spread.Teller
	changes  *Subscription
	requests *inbox[spread.Request]
}

// run tells what changes and what is asked for, until the stream or the peer's asking ends.
func (t *telling) run(ctx context.Context) error {
	timer := t.mesh.cfg.Clock.NewTimer(0)
	defer timer.Stop()
	for {
		if err := t.send(ctx); err != nil {
			return err
		}
		timer.Stop()
		if due, gathered := t.teller.Due(); gathered {
			timer.Reset(due.Sub(t.mesh.cfg.Clock.Now()))
		}
		select {
		case <-ctx.Done():
			if err := context.Cause(ctx); !errors.Is(err, io.EOF) {
				return err
			}
			return nil
		case <-t.requests.wake:
		case <-t.changes.dirty.wake:
		case <-timer.C():
		}
	}
}

// send sends what there is to tell. Before each message it takes in what has come meanwhile, so that a slow peer is told the newest.
func (t *telling) send(ctx context.Context) error {
	for ctx.Err() == nil {
		t.takeIn()
		m, ok := t.teller.Next(t.mesh.cfg.Clock.Now())
		if !ok {
			break
		}
		if err := t.stream.Send(messageToProto(m)); err != nil {
			return err
		}
		t.mesh.count(func(s *Stats) { s.told(m) })
	}
	return nil
}

func (t *telling) takeIn() {
	for origin, r := range t.requests.take() {
		if r.Prune {
			t.teller.Prune(origin)
		} else {
			t.teller.Pull(origin, r.Version)
		}
	}
	now := t.mesh.cfg.Clock.Now()
	for origin := range t.changes.dirty.take() {
		t.teller.Changed(origin, now)
	}
}
