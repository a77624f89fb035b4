package uplink

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/internal/clock"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func receive[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-within(t).Done():
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// node is a federation node whose sessions the test answers itself.
type node struct {
	hansev1.UnimplementedFederationServiceServer
	listener *bufconn.Listener
	server   *grpc.Server
	sessions chan *talk
}

// talk is one session as the node sees it; end closes it with an error.
type talk struct {
	t      *testing.T
	stream hansev1.FederationService_SessionServer
	end    chan error
}

func newNode(t *testing.T) *node {
	n := &node{listener: bufconn.Listen(1 << 16), server: grpc.NewServer(), sessions: make(chan *talk, 8)}
	hansev1.RegisterFederationServiceServer(n.server, n)
	done := make(chan error, 1)
	go func() { done <- n.server.Serve(n.listener) }()
	t.Cleanup(func() { n.server.Stop(); <-done })
	return n
}

func (n *node) Session(stream hansev1.FederationService_SessionServer) error {
	t := &talk{stream: stream, end: make(chan error, 1)}
	n.sessions <- t
	select {
	case err := <-t.end:
		return err
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
}

// accept is greet by a node that holds nothing of the cluster.
func (n *node) accept(t *testing.T, w *hansev1.SessionWelcome) *talk {
	t.Helper()
	s := n.greet(t, w)
	s.send(&hansev1.SessionResponse{Message: &hansev1.SessionResponse_Publisher{Publisher: &hansev1.Publisher{}}})
	return s
}

// greet waits for a session, reads its hello and welcomes it.
func (n *node) greet(t *testing.T, w *hansev1.SessionWelcome) *talk {
	t.Helper()
	s := receive(t, "a session", n.sessions)
	s.t = t
	if hello := s.read().GetHello(); hello.GetCluster() != "bern" || hello.GetInstance() != "i1" || hello.GetProtocolMax() != model.ProtocolMax {
		t.Fatalf("hello is %v", hello)
	}
	s.send(&hansev1.SessionResponse{Message: &hansev1.SessionResponse_Welcome{Welcome: w}})
	return s
}

func (s *talk) read() *hansev1.SessionRequest {
	s.t.Helper()
	got := make(chan *hansev1.SessionRequest, 1)
	go func() {
		m, _ := s.stream.Recv()
		got <- m
	}()
	return receive(s.t, "a message of the agent", got)
}

func (s *talk) batch() *hansev1.Batch {
	s.t.Helper()
	b := s.read().GetBatch()
	if b == nil {
		s.t.Fatal("the agent's message is no batch")
	}
	return b
}

func (s *talk) send(m *hansev1.SessionResponse) {
	s.t.Helper()
	if err := s.stream.Send(m); err != nil {
		s.t.Fatalf("sending to the agent: %v", err)
	}
}

func (s *talk) importBatch(b *hansev1.Batch) {
	s.t.Helper()
	s.send(&hansev1.SessionResponse{Message: &hansev1.SessionResponse_Import{Import: b}})
}

func welcome() *hansev1.SessionWelcome {
	return &hansev1.SessionWelcome{Protocol: model.ProtocolMax, Node: "n1", Federation: "fed", Incarnation: 7}
}

// disk is a persisted counter.
type disk struct {
	mu    sync.Mutex
	epoch uint64
	err   error
	// tried, when set, is told of failures.
	tried chan struct{}
}

func (d *disk) LoadEpoch() (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.epoch, nil
}

func (d *disk) StoreEpoch(e uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil {
		d.epoch = e
	} else if d.tried != nil {
		d.tried <- struct{}{}
	}
	return d.err
}

func (d *disk) breaks(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

// handler passes on what it is told as text.
type handler struct {
	events chan string
	gap    func(model.Batch) bool
}

func (h *handler) State(s *hansev1.State) { h.events <- fmt.Sprint("state ", s.GetIndex()) }
func (h *handler) Import(b model.Batch) bool {
	h.events <- "import " + string(b.Origin)
	return h.gap != nil && h.gap(b)
}
func (h *handler) OriginDropped(o model.ClusterName) { h.events <- "dropped " + string(o) }
func (h *handler) Refused(r []Refusal)               { h.events <- fmt.Sprint("refused ", r) }
func (h *handler) Connected(n string, c bool)        { h.events <- fmt.Sprint("connected ", n, " ", c) }

func (h *handler) expect(t *testing.T, want string) {
	t.Helper()
	if got := receive(t, want, h.events); got != want {
		t.Fatalf("handler was told %q, want %q", got, want)
	}
}

// rig is an uplink with everything around it replaced.
type rig struct {
	*Uplink
	clock   *clock.Fake
	disk    *disk
	handler *handler
}

// sign makes readable records: "EPOCH.SEQ" and the number of ports.
func sign(r model.Record) (model.SignedRecord, error) {
	if r.Service != nil && strings.HasPrefix(r.Service.Service.Name, "bad") {
		return model.SignedRecord{}, fmt.Errorf("no signature for %s", r.Key())
	}
	body := fmt.Sprintf("%d.%d", r.Version.Epoch, r.Version.Seq)
	if r.Service != nil {
		body += fmt.Sprint(" ", len(r.Service.Identities))
	}
	return model.SignedRecord{Key: r.Key(), Record: []byte(body), Signature: []byte("s")}, nil
}

// start runs an uplink to the nodes until the test ends.
func start(t *testing.T, nodes []*node, change ...func(*Config)) *rig {
	r := &rig{
		clock: clock.NewFake(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), disk: &disk{},
		handler: &handler{events: make(chan string, 1000)},
	}
	cfg := Config{
		Cluster: "bern", Instance: "i1", AgentVersion: "test", Sign: sign, Epochs: r.disk, Handler: r.handler,
		Clock: r.clock, Logger: slog.New(slog.DiscardHandler),
		Servers: func() (addresses []string) {
			for i := range nodes {
				addresses = append(addresses, fmt.Sprint(i))
			}
			return addresses
		},
		Dial: func(_ context.Context, address string) (*grpc.ClientConn, error) {
			var i int
			if _, err := fmt.Sscan(address, &i); err != nil {
				return nil, err
			}
			return grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
				grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return nodes[i].listener.DialContext(ctx) }))
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	r.Uplink = New(cfg)
	if d, ok := cfg.Epochs.(*disk); ok {
		r.disk = d
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return r
}

func realTime(c *Config) { c.Clock = clock.Real{} }

// service is a record that tells its changes apart by its number of identities.
func service(name string, identities int) model.Record {
	return model.Record{Cluster: "bern", Service: &model.ServiceRecord{
		Service: model.ServiceKey{Namespace: "shop", Name: name}, Identities: make([]string, identities),
	}}
}

// text writes a batch as "EPOCH.SEQ full +KEY=RECORD -KEY".
func text(b *hansev1.Batch) string {
	s := fmt.Sprintf("%d.%d", b.GetTo().GetEpoch(), b.GetTo().GetSeq())
	if b.GetFull() {
		s += " full"
	}
	for _, r := range b.GetUpserts() {
		s += " +" + strings.TrimPrefix(r.GetKey(), "service/shop/") + "=" + string(r.GetRecord())
	}
	for _, k := range b.GetRemovals() {
		s += " -" + strings.TrimPrefix(k, "service/shop/")
	}
	return s
}

func (s *talk) expect(want string) *hansev1.Batch {
	s.t.Helper()
	b := s.batch()
	if got := text(b); got != want {
		s.t.Fatalf("batch is %q, want %q", got, want)
	}
	return b
}
