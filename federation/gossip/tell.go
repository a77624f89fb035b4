package gossip

import (
	"bytes"
	"context"
	"errors"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
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
	// Subscribed before the first look at the store: no change falls in between.
	sub := m.cfg.Store.Subscribe()
	defer sub.Close()
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	pulls := newInbox[model.Version]()
	// It ends with the handler at the latest: then Recv does.
	go func() { cancel(m.readPulls(stream, pulls)) }()
	t := &teller{mesh: m, stream: stream, told: map[model.ClusterName]model.Version{}}
	if err := t.welcome(hello, protocol); err != nil {
		return err
	}
	return t.run(ctx, sub, pulls)
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

// readPulls collects what the peer asks for until the stream ends. It never waits for the telling side: a peer that asked for more than
// the connection buffers, before it reads on, would wait for ever. What is not held is not collected, so a flood of pulls is bounded by
// the origins that are.
func (m *Mesh) readPulls(stream hansev1.NodeService_SyncServer, pulls *inbox[model.Version]) error {
	for {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		have := message.GetPull()
		origin, err := model.ParseClusterName(have.GetOrigin())
		if err != nil {
			return status.Errorf(codes.InvalidArgument, "after the hello a sync stream has pulls only: %v", err)
		}
		if _, held := m.cfg.Store.Origin(origin); held {
			pulls.put(origin, codec.VersionFromProto(have.GetVersion()))
		}
		m.count(func(s *Stats) { s.PullsIn++ })
	}
}

// teller is one stream's sending side. It belongs to one goroutine.
type teller struct {
	mesh   *Mesh
	stream hansev1.NodeService_SyncServer
	// told is the version that the peer holds of each origin once it has read what was sent.
	told map[model.ClusterName]model.Version
}

// welcome answers a hello and sends what the peer lacks.
func (t *teller) welcome(h *hansev1.SyncHello, protocol uint32) error {
	message := &hansev1.SyncResponse_Welcome{Welcome: &hansev1.SyncWelcome{Protocol: protocol, Node: t.mesh.cfg.Node.Name}}
	if err := t.stream.Send(&hansev1.SyncResponse{Message: message}); err != nil {
		return err
	}
	for _, have := range h.GetHave() {
		name, version := model.ClusterName(have.GetOrigin()), codec.VersionFromProto(have.GetVersion())
		if o, held := t.mesh.cfg.Store.Origin(name); held && o.Version == version && !bytes.Equal(have.GetDigest(), t.mesh.cfg.Store.digest(name)) {
			// The same version with other content: two writers. The peer is told everything and decides by digest, as everybody does.
			version = model.Version{}
		}
		t.told[name] = version
	}
	for _, o := range t.mesh.cfg.Store.Origins() {
		if err := t.tell(o.Name); err != nil {
			return err
		}
	}
	return nil
}

// run tells what changes and what is asked for, until the stream or the peer's asking ends.
func (t *teller) run(ctx context.Context, sub *Subscription, pulls *inbox[model.Version]) error {
	for {
		select {
		case <-ctx.Done():
			if err := context.Cause(ctx); !errors.Is(err, io.EOF) {
				return err
			}
			return nil
		case <-pulls.wake:
			for origin, have := range pulls.take() {
				t.told[origin] = have
				if err := t.tell(origin); err != nil {
					return err
				}
			}
		case <-sub.dirty.wake:
			for origin := range sub.dirty.take() {
				if err := t.tell(origin); err != nil {
					return err
				}
			}
		}
	}
}

// tell sends what leads the peer from what it was told to what is held; when that is the same, only that it was confirmed.
func (t *teller) tell(origin model.ClusterName) error {
	b, newer := t.mesh.cfg.Store.Since(origin, t.told[origin])
	if !newer {
		if b, newer = t.mesh.cfg.Store.heartbeat(origin); !newer || b.To != t.told[origin] {
			return nil
		}
	}
	return t.send(b)
}

func (t *teller) send(b model.Batch) error {
	if err := t.stream.Send(&hansev1.SyncResponse{Message: &hansev1.SyncResponse_Batch{Batch: codec.BatchToProto(b)}}); err != nil {
		return err
	}
	t.told[b.Origin] = b.To
	t.mesh.count(func(s *Stats) {
		s.BatchesOut++
		if b.Full {
			s.FullsOut++
		}
	})
	return nil
}
