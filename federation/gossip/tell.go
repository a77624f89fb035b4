package gossip

import (
	"bytes"
	"context"

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
	t := &teller{mesh: m, stream: stream, told: map[model.ClusterName]model.Version{}}
	if err := t.welcome(hello, protocol); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	pulls := make(chan model.ClusterName, 1)
	go func() {
		defer cancel()
		readPulls(ctx, stream, pulls)
	}()
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

// readPulls hands on the origins that the peer asks for again.
func readPulls(ctx context.Context, stream hansev1.NodeService_SyncServer, pulls chan<- model.ClusterName) {
	for {
		message, err := stream.Recv()
		if err != nil {
			return
		}
		origin, err := model.ParseClusterName(message.GetPull().GetOrigin())
		if err != nil {
			return
		}
		select {
		case pulls <- origin:
		case <-ctx.Done():
			return
		}
	}
}

// teller is one stream's sending side. It belongs to one goroutine.
type teller struct {
	mesh   *Mesh
	stream hansev1.NodeService_SyncServer
	// told is the version that the peer holds of each origin, as far as this stream knows.
	told map[model.ClusterName]model.Version
}

// welcome answers a hello and sends what the peer lacks.
func (t *teller) welcome(h *hansev1.SyncHello, protocol uint32) error {
	message := &hansev1.SyncResponse_Welcome{Welcome: &hansev1.SyncWelcome{Protocol: protocol, Node: t.mesh.cfg.Node.Name}}
	if err := t.stream.Send(&hansev1.SyncResponse{Message: message}); err != nil {
		return err
	}
	differs := map[model.ClusterName]bool{}
	for _, have := range h.GetHave() {
		name := model.ClusterName(have.GetOrigin())
		t.told[name] = codec.VersionFromProto(have.GetVersion())
		differs[name] = !bytes.Equal(have.GetDigest(), t.mesh.cfg.Store.digest(name))
	}
	for _, o := range t.mesh.cfg.Store.Origins() {
		if t.told[o.Name] == o.Version && differs[o.Name] {
			// The same version with other content: two writers. The peer decides by digest, as everybody does.
			if err := t.restate(o.Name); err != nil {
				return err
			}
		}
		if err := t.tell(o.Name); err != nil {
			return err
		}
	}
	return nil
}

func (t *teller) run(ctx context.Context, sub *Subscription, pulls <-chan model.ClusterName) error {
	changed := make(chan []model.ClusterName)
	go func() {
		for {
			names, err := sub.Next(ctx)
			if err != nil {
				return
			}
			select {
			case changed <- names:
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case origin := <-pulls:
			if err := t.restate(origin); err != nil {
				return err
			}
		case names := <-changed:
			for _, name := range names {
				if err := t.tell(name); err != nil {
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

// restate sends an origin in full.
func (t *teller) restate(origin model.ClusterName) error {
	b, ok := t.mesh.cfg.Store.full(origin)
	if !ok {
		return nil
	}
	return t.send(b)
}

func (t *teller) send(b model.Batch) error {
	if err := t.stream.Send(&hansev1.SyncResponse{Message: &hansev1.SyncResponse_Batch{Batch: codec.BatchToProto(b)}}); err != nil {
		return err
	}
	t.told[b.Origin] = b.To
	t.mesh.count(func(s *Stats) { s.BatchesOut++ })
	return nil
}
