package gossip

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// node is a running federation node, as far as gossip goes.
type node struct {
	*Mesh
	world     *world
	transport *memberlist.NetTransport
	served    *grpc.Server
	cancel    context.CancelFunc
	ended     chan struct{}
}

type syncServer struct {
	hansev1.UnimplementedNodeServiceServer
	sync func(hansev1.NodeService_SyncServer) error
}

func (s syncServer) Sync(stream hansev1.NodeService_SyncServer) error { return s.sync(stream) }

// serve has sync answer at an address on loopback.
func (w *world) serve(sync func(hansev1.NodeService_SyncServer) error) (string, *grpc.Server) {
	w.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	server := grpc.NewServer()
	hansev1.RegisterNodeServiceServer(server, syncServer{sync: sync})
	go func() { _ = server.Serve(listener) }()
	w.Cleanup(server.Stop)
	return listener.Addr().String(), server
}

func dial(_ context.Context, address string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

// mesh returns one that is not part of any membership yet.
func (w *world) mesh(name string, edit ...func(*Config)) *Mesh {
	w.Helper()
	cfg := Config{
		Node: model.Node{Name: name, ProtocolMin: 1, ProtocolMax: 2},
		Bind: "127.0.0.1:0", Advertise: "127.0.0.1:0", Keys: [][]byte{[]byte("0123456789abcdef")},
		Seeds: func() []string { w.mu.Lock(); defer w.mu.Unlock(); return append([]string(nil), w.seeds...) },
		Dial:  dial, Store: NewStore(catalog.Limits{}, w.logger()), Clock: clock.Real{}, Logger: w.logger(),
	}
	for _, e := range edit {
		e(&cfg)
	}
	m, err := New(cfg)
	if err != nil {
		w.Fatal(err)
	}
	m.changed = w.changed
	return m
}

// start runs a node with the real membership protocol, quickened. Every node is a seed of those that start after it.
func (w *world) start(name string, edit ...func(*Config)) *node {
	w.Helper()
	n := &node{world: w, ended: make(chan struct{})}
	address, served := w.serve(func(s hansev1.NodeService_SyncServer) error { return n.ServeSync(s) })
	n.served = served
	n.Mesh = w.mesh(name, append(edit, func(c *Config) { c.Node.GRPCAddress, c.Dial = address, w.cables.dialer(name) })...)
	var err error
	n.transport, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{BindAddrs: []string{"127.0.0.1"}, Logger: slog.NewLogLogger(slog.NewTextHandler(io.Discard, nil), 0)})
	if err != nil {
		w.Fatal(err)
	}
	port := n.transport.GetAutoBindPort()
	n.list.Transport, n.list.BindPort, n.list.AdvertisePort = transport{n.transport, w.cables, name}, port, port
	w.cables.own(name, address, fmt.Sprintf("127.0.0.1:%d", port))
	n.list.ProbeInterval, n.list.ProbeTimeout, n.list.SuspicionMult, n.list.SuspicionMaxTimeoutMult = w.probe, w.probe/2, 2, 2
	n.list.GossipInterval, n.list.PushPullInterval, n.list.TCPTimeout = w.pace, time.Second, time.Second
	n.list.DeadNodeReclaimTime, n.list.EnableCompression = time.Millisecond, false
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	go func() {
		defer close(n.ended)
		if err := n.Run(ctx); ctx.Err() == nil {
			w.Errorf("node %s ended: %v", name, err)
		}
	}()
	if w.nodes = append(w.nodes, n); len(w.nodes) == 1 {
		w.Cleanup(func() { all(w.nodes, (*node).stop) })
	}
	w.mu.Lock()
	w.seeds = append(w.seeds, fmt.Sprintf("127.0.0.1:%d", port))
	w.mu.Unlock()
	return n
}

// all does something to nodes at once.
func all(nodes []*node, do func(*node)) {
	var tasks sync.WaitGroup
	for _, n := range nodes {
		tasks.Go(func() { do(n) })
	}
	tasks.Wait()
}

// stop ends a node that says farewell.
func (n *node) stop() {
	n.cancel()
	<-n.ended
	n.served.Stop()
}

// crash ends a node that cannot tell anybody.
func (n *node) crash() {
	_ = n.transport.Shutdown()
	n.stop()
}

// sees is how one node sees another.
func (n *node) sees(name string) Peer {
	for _, p := range n.Peers() {
		if p.Name == name {
			return p
		}
	}
	return Peer{}
}

// follows is whether a loop keeps, or tries to keep, a stream to another node.
func (n *node) follows(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.peers[name] != nil && n.peers[name].pursuit != nil
}

// joined waits until the nodes follow each other.
func (w *world) joined(nodes ...*node) {
	w.Helper()
	for _, n := range nodes {
		for _, other := range nodes {
			if name := other.cfg.Node.Name; n != other {
				w.await(fmt.Sprintf("%s follows %s", n.cfg.Node.Name, name), func() bool { return n.sees(name).Connected })
			}
		}
	}
}

// agree waits until all nodes hold what want holds, of as many origins.
func (w *world) agree(want *Store, nodes ...*node) {
	w.Helper()
	for _, n := range nodes {
		w.await(n.cfg.Node.Name+" holds what was published", func() bool { return same(want, n.cfg.Store) })
	}
}

func same(a, b *Store) bool {
	x, y := a.Origins(), b.Origins()
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if x[i].Version != y[i].Version || !x[i].ProducedAt.Equal(y[i].ProducedAt) || string(a.Digest(x[i].Name)) != string(b.Digest(x[i].Name)) {
			return false
		}
	}
	return true
}

func at(epoch, seq uint64) model.Version {
	return model.Version{Incarnation: 3, Epoch: epoch, Seq: seq}
}

func record(key, body string) model.SignedRecord {
	return model.SignedRecord{Key: key, Record: []byte(body), Signature: []byte("signed " + body)}
}

func full(origin string, to model.Version, records ...model.SignedRecord) model.Batch {
	return model.Batch{Origin: model.ClusterName(origin), Full: true, To: to, Upserts: records, Instance: "x", ProducedAt: time.Unix(int64(to.Seq), 0).UTC()}
}

// delta leads to a version from the one before it.
func delta(origin string, to model.Version, records ...model.SignedRecord) model.Batch {
	b := full(origin, to, records...)
	b.Full, b.From = false, to
	b.From.Seq--
	return b
}
