package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/state"
)

const (
	// helloWait bounds how long a stream may stay silent before it says who it is.
	helloWait = 10 * time.Second
	// memberWait is how long a session waits for a membership that this node has perhaps not heard of yet.
	memberWait = 3 * time.Second
	// maxName bounds the free text of a hello, in bytes.
	maxName = 128
	// maxResyncs bounds the origins that an agent may ask for again at once.
	maxResyncs = 1024
)

// session is one agent's stream. Three goroutines share it: one reads, one writes (the handler's own), one brings bundles to the
// leader. What the reader notes for the others is behind mu.
type session struct {
	server   *Server
	stream   hansev1.FederationService_SessionServer
	log      *slog.Logger
	cluster  model.ClusterName
	instance string
	key      []byte
	protocol uint32
	account  *account
	// slowed is set once the reader had to wait for the account; caused is what the message that it handles is charged for.
	slowed bool
	caused consequence

	// kick wakes the writer; it holds one signal.
	kick chan struct{}
	// bundles holds the newest bundle that the agent has sent and the leader has not seen.
	bundles chan model.SignedBundle

	// questions are those to the agent; ended closes when the session does.
	questions questions
	ended     chan struct{}

	mu       sync.Mutex
	outbox   outbox
	accepted accepted
}

// outbox is what the reader has for the writer.
type outbox struct {
	refused bool
	resync  string
	origins map[model.ClusterName]bool
	bundle  string
	// publisher is set when the agent has published although another process does.
	publisher bool
}

// Session serves an agent: see federation.proto. Its end withdraws nothing of what the agent published.
func (s *Server) Session(stream hansev1.FederationService_SessionServer) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	cluster, key, err := s.agentPeer(ctx, 0)
	if err != nil {
		return err
	}
	in := make(chan received)
	go receive(ctx, stream, in)
	hello, err := s.hello(ctx, in)
	if err != nil {
		return err
	}
	protocol, err := negotiate(hello, cluster)
	if err != nil {
		return err
	}
	view := s.waitUntil(ctx, memberWait, func(v *state.View) bool { _, err := member(v, cluster, key); return err == nil })
	if _, err := member(view, cluster, key); err != nil {
		return s.deny(err)
	}
	x := &session{
		server: s, stream: stream, cluster: cluster, instance: hello.GetInstance(), key: key, protocol: protocol,
		account: s.accounts.of(cluster, s.cfg.Clock.Now()),
		log:     s.cfg.Logger.With("cluster", cluster, "instance", hello.GetInstance()),
		kick:    make(chan struct{}, 1),
		bundles: make(chan model.SignedBundle, 1),
		ended:   make(chan struct{}),
	}
	defer close(x.ended)
	if err := s.sessions.add(x, Session{
		Cluster: cluster, Since: s.cfg.Clock.Now(), Instance: x.instance, AgentVersion: hello.GetAgentVersion(), Protocol: protocol,
	}); err != nil {
		return err
	}
	defer s.sessions.remove(x)
	defer s.refusals.end(x)
	x.log.Info("agent connected", "version", hello.GetAgentVersion())
	err = x.run(ctx, view, in)
	x.log.Info("agent disconnected", "err", err)
	return err
}

// run greets the agent and serves it until one side ends it.
func (x *session) run(ctx context.Context, view *state.View, in <-chan received) error {
	welcome := &hansev1.SessionWelcome{
		Protocol: x.protocol, Node: x.server.cfg.Node.Name, Federation: view.Federation,
		Held: codec.VersionToProto(x.held().Version), Incarnation: view.Clusters[x.cluster].Incarnation,
	}
	if err := x.stream.Send(&hansev1.SessionResponse{Message: &hansev1.SessionResponse_Welcome{Welcome: welcome}}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	ended := make(chan error, 1)
	changes := make(chan []model.ClusterName)
	subscription := x.server.cfg.Subscribe()
	defer subscription.Close()
	tasks.Go(func() { ended <- x.read(ctx, in) })
	tasks.Go(func() { x.carryBundles(ctx) })
	tasks.Go(func() { pump(ctx, subscription, changes) })
	return x.write(ctx, changes, ended)
}

// received is a message of the agent, or the end of its stream.
type received struct {
	message *hansev1.SessionRequest
	err     error
}

// receive reads the stream. It ends with the stream, which is after the handler has returned.
func receive(ctx context.Context, stream hansev1.FederationService_SessionServer, in chan<- received) {
	for {
		m, err := stream.Recv()
		select {
		case in <- received{m, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func (s *Server) hello(ctx context.Context, in <-chan received) (*hansev1.SessionHello, error) {
	timer := s.cfg.Clock.NewTimer(helloWait)
	defer timer.Stop()
	select {
	case r := <-in:
		if r.err != nil {
			return nil, r.err
		}
		hello := r.message.GetHello()
		if hello == nil {
			return nil, status.Error(codes.InvalidArgument, "the first message of a session must be a hello")
		}
		return hello, nil
	case <-timer.C():
		return nil, status.Errorf(codes.DeadlineExceeded, "no hello came within %s", helloWait)
	case <-s.stopped:
		return nil, errStopping
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

var errStopping = status.Error(codes.Unavailable, "this node is stopping: use another one")

// negotiate checks the hello and returns the newest protocol that both sides speak.
func negotiate(h *hansev1.SessionHello, cluster model.ClusterName) (uint32, error) {
	switch {
	case h.GetCluster() != string(cluster):
		return 0, status.Errorf(codes.PermissionDenied, "the hello is of cluster %.80q, the certificate of %s", h.GetCluster(), cluster)
	case h.GetInstance() == "" || len(h.GetInstance()) > maxName || len(h.GetAgentVersion()) > maxName:
		return 0, status.Errorf(codes.InvalidArgument, "the hello must have an instance, and texts of at most %d bytes", maxName)
	case h.GetProtocolMin() > model.ProtocolMax || h.GetProtocolMax() < model.ProtocolMin:
		return 0, status.Errorf(codes.FailedPrecondition, "the agent speaks protocols %d to %d, this node %d to %d: upgrade the older one",
			h.GetProtocolMin(), h.GetProtocolMax(), model.ProtocolMin, model.ProtocolMax)
	}
	return min(h.GetProtocolMax(), model.ProtocolMax), nil
}

// read handles what the agent sends until the stream ends or a message ends it.
func (x *session) read(ctx context.Context, in <-chan received) error {
	for {
		select {
		case r := <-in:
			if errors.Is(r.err, io.EOF) {
				return nil
			}
			if r.err == nil {
				r.err = x.handle(r.message)
			}
			if r.err != nil {
				return r.err
			}
			x.pay(ctx, r.message)
		case <-ctx.Done():
			return nil
		}
	}
}

// pump carries the store's changes to a channel. The subscription coalesces while nobody reads.
func pump(ctx context.Context, from Subscription, to chan<- []model.ClusterName) {
	for {
		origins, err := from.Next(ctx)
		if err != nil {
			return
		}
		select {
		case to <- origins:
		case <-ctx.Done():
			return
		}
	}
}

func (x *session) handle(m *hansev1.SessionRequest) error {
	switch m := m.GetMessage().(type) {
	case *hansev1.SessionRequest_Batch:
		return x.publish(m.Batch)
	case *hansev1.SessionRequest_Bundle:
		return x.takeBundle(m.Bundle)
	case *hansev1.SessionRequest_Resync:
		origin, err := model.ParseClusterName(m.Resync.GetOrigin())
		if err != nil {
			return status.Errorf(codes.InvalidArgument, "resync: %v", err)
		}
		return x.note(func(o *outbox) error {
			if len(o.origins) >= maxResyncs {
				return status.Errorf(codes.ResourceExhausted, "more than %d origins were asked for again at once", maxResyncs)
			}
			if o.origins == nil {
				o.origins = map[model.ClusterName]bool{}
			}
			o.origins[origin] = true
			return nil
		})
	case *hansev1.SessionRequest_Answer:
		x.questions.answered(m.Answer)
		return nil
	case *hansev1.SessionRequest_Hello:
		return status.Error(codes.InvalidArgument, "a session has one hello")
	default:
		// A newer agent may say more within the negotiated protocol; what is not known is not needed.
		return nil
	}
}

// note changes the outbox and wakes the writer.
func (x *session) note(change func(*outbox) error) error {
	x.mu.Lock()
	err := change(&x.outbox)
	x.mu.Unlock()
	x.wake()
	return err
}

// wake has the writer look around; it never blocks.
func (x *session) wake() {
	select {
	case x.kick <- struct{}{}:
	default:
	}
}
