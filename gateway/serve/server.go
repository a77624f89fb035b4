package serve

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/delta/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// Events is told what happens on streams. Calls come from the streams' own goroutines, several at a time, and must not block.
type Events interface {
	// Opened and Closed come in pairs, once per stream.
	Opened(class string)
	Closed(class string)
	// Acked says that a client accepted a response of a type; whether it now holds everything, Cache.Settled says.
	Acked(class, typeURL string)
	Nacked(class string, nack model.Nack)
}

// Config is what a Server needs.
type Config struct {
	// ClassOf derives a stream's class from its peer. An error refuses the stream and is shown to the client as it is, so it should
	// carry a gRPC status. What the client says of itself in its node is never considered.
	ClassOf func(ctx context.Context) (string, error)
	// Events may be nil.
	Events Events
	Clock  clock.Clock
	Logger *slog.Logger
}

// Server answers aggregated delta xDS from a Cache. It is safe for concurrent use.
type Server struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	delta delta.Server
}

// NewServer returns a server whose streams end with ctx.
func NewServer(ctx context.Context, c *Cache, cfg Config) *Server {
	if cfg.Events == nil {
		cfg.Events = noEvents{}
	}
	b := &callbacks{cache: c, cfg: cfg, streams: map[int64]stream{}}
	return &Server{delta: delta.NewServer(ctx, c, b)}
}

// Register offers the server's service.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	discovery.RegisterAggregatedDiscoveryServiceServer(r, s)
}

// DeltaAggregatedResources serves one stream.
func (s *Server) DeltaAggregatedResources(st discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return s.delta.DeltaStreamHandler(st, resource.AnyType)
}

// StreamAggregatedResources refuses: only delta xDS is served.
func (s *Server) StreamAggregatedResources(discovery.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return status.Error(codes.Unimplemented, ErrStateOfTheWorld.Error())
}

// stream is what the callbacks know of an open stream.
type stream struct {
	class string
	// id is the cache's private node id of the stream.
	id string
}

// callbacks ties go-control-plane's streams to the cache's sessions.
type callbacks struct {
	cache *Cache
	cfg   Config

	mu      sync.Mutex
	streams map[int64]stream
}

var errNoStream = errors.New("request on a stream that is not open")

func (b *callbacks) get(n int64) (stream, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.streams[n]
	return s, ok
}

// OnDeltaStreamOpen fixes the stream's class for its life.
func (b *callbacks) OnDeltaStreamOpen(ctx context.Context, n int64, _ string) error {
	name, err := b.cfg.ClassOf(ctx)
	if err != nil {
		b.cfg.Logger.Warn("xds stream refused", "error", err)
		return err
	}
	s := stream{class: name, id: b.cache.open(name)}
	b.mu.Lock()
	b.streams[n] = s
	b.mu.Unlock()
	b.cfg.Logger.Debug("xds stream opened", "class", name)
	b.cfg.Events.Opened(name)
	return nil
}

// OnDeltaStreamClosed forgets the stream.
func (b *callbacks) OnDeltaStreamClosed(n int64, _ *core.Node) {
	b.mu.Lock()
	s, ok := b.streams[n]
	delete(b.streams, n)
	b.mu.Unlock()
	if !ok {
		return
	}
	b.cache.close(s.id)
	b.cfg.Logger.Debug("xds stream closed", "class", s.class)
	b.cfg.Events.Closed(s.class)
}

// OnStreamDeltaRequest replaces whatever node the client claims to be, on every request, and takes note of acknowledgements.
func (b *callbacks) OnStreamDeltaRequest(n int64, req *discovery.DeltaDiscoveryRequest) error {
	s, ok := b.get(n)
	if !ok {
		return errNoStream
	}
	req.Node = &core.Node{Id: s.id}
	if req.GetResponseNonce() == "" {
		return nil
	}
	if req.GetErrorDetail() == nil {
		if b.cache.acknowledged(s.id, req.GetResponseNonce(), nil) {
			b.cfg.Events.Acked(s.class, req.GetTypeUrl())
		}
		return nil
	}
	nack := model.Nack{TypeURL: req.GetTypeUrl(), Reason: clip(req.GetErrorDetail().GetMessage()), At: b.cfg.Clock.Now()}
	if b.cache.acknowledged(s.id, req.GetResponseNonce(), &nack) {
		b.cfg.Logger.Warn("Envoy refused a configuration; it keeps the last good one", "class", s.class, "type", nack.TypeURL, "reason", nack.Reason)
		b.cfg.Events.Nacked(s.class, nack)
	}
	return nil
}

// OnStreamDeltaResponse takes note of what is on its way.
func (b *callbacks) OnStreamDeltaResponse(n int64, _ *discovery.DeltaDiscoveryRequest, resp *discovery.DeltaDiscoveryResponse) {
	if s, ok := b.get(n); ok {
		b.cache.sentResponse(s.id, resp)
	}
}

type noEvents struct{}

func (noEvents) Opened(string)             {}
func (noEvents) Closed(string)             {}
func (noEvents) Acked(string, string)      {}
func (noEvents) Nacked(string, model.Nack) {}
