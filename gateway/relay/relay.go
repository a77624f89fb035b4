// Package relay owns the proxy's upstream half: it follows an agent over delta xDS and keeps the last complete configuration on disk,
// so that a restart without any agent serves what was last known.
package relay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/hanse-mesh/hanse/gateway/xds"
	"github.com/hanse-mesh/hanse/internal/backoff"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/internal/run"
)

// The pause between attempts stays short: another agent may be there already.
const (
	minPause = 50 * time.Millisecond
	maxPause = time.Second
)

// maxResponse bounds one response of an agent, in bytes.
const maxResponse = 256 << 20

// Config is what a Relay needs.
type Config struct {
	// Connect opens a connection to an agent, to another one after a failure if it can. The relay closes it. Connections should have
	// keepalive, or a silent agent is not noticed.
	Connect func(ctx context.Context) (*grpc.ClientConn, error)
	// Dir is an existing folder for the file with the last complete set.
	Dir string
	// Sink takes complete sets, in order, from one goroutine. It must not change them.
	Sink   func(xds.Resources)
	Clock  clock.Clock
	Logger *slog.Logger
}

// Relay follows an agent. Run must be called once; Connected is safe for concurrent use.
type Relay struct {
	cfg       Config
	path      string
	connected atomic.Bool
	unsaved   chan xds.Resources
}

// New returns a Relay that does nothing until Run.
func New(cfg Config) *Relay {
	return &Relay{cfg: cfg, path: filepath.Join(cfg.Dir, fileName), unsaved: make(chan xds.Resources, 1)}
}

// Cached reports whether there is a file with a set of an earlier run.
func (r *Relay) Cached() bool {
	_, err := os.Stat(r.path)
	return err == nil
}

// Connected reports whether a stream to an agent is open.
func (r *Relay) Connected() bool { return r.connected.Load() }

// Run gives the Sink the last complete set from disk, if there is one, and then follows agents until ctx ends. A set from agents is
// complete once every type was answered; a lost agent takes nothing away.
func (r *Relay) Run(ctx context.Context) error {
	h := r.restore()
	defer r.flush()
	return run.Group(ctx, r.write, func(ctx context.Context) error { return r.follow(ctx, h) })
}

func (r *Relay) restore() *held {
	h, err := load(r.path)
	if err == nil {
		r.cfg.Sink(h.set())
		return h
	}
	if !errors.Is(err, fs.ErrNotExist) {
		r.cfg.Logger.Warn("the last configuration can not be used; waiting for an agent", "file", r.path, "error", err)
	}
	return newHeld()
}

// follow keeps one stream open at a time.
func (r *Relay) follow(ctx context.Context, h *held) error {
	pause := backoff.Backoff{Min: minPause, Max: maxPause}
	level := slog.LevelWarn
	for {
		heard, err := r.connect(ctx, h)
		if ctx.Err() != nil {
			return nil
		}
		if heard {
			pause.Reset()
			level = slog.LevelWarn
		}
		wait := pause.Next()
		r.cfg.Logger.Log(ctx, level, "no agent; going on with the last configuration", "error", err, "retry", wait)
		// The loss is told once, not with every attempt while the agent is away.
		level = slog.LevelDebug
		select {
		case <-ctx.Done():
			return nil
		case <-r.cfg.Clock.After(wait):
		}
	}
}

// connect follows one agent until it is lost, and reports whether it said anything.
func (r *Relay) connect(ctx context.Context, h *held) (heard bool, err error) {
	conn, err := r.cfg.Connect(ctx)
	if err != nil {
		return false, fmt.Errorf("connect to an agent: %w", err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client := discovery.NewAggregatedDiscoveryServiceClient(conn)
	stream, err := client.DeltaAggregatedResources(ctx, grpc.MaxCallRecvMsgSize(maxResponse))
	if err != nil {
		return false, fmt.Errorf("open a stream to the agent: %w", err)
	}
	if err := subscribe(stream, h); err != nil {
		return false, err
	}
	r.connected.Store(true)
	defer r.connected.Store(false)
	for {
		resp, err := stream.Recv()
		if err != nil {
			return heard, fmt.Errorf("follow the agent: %w", err)
		}
		heard = true
		if err := r.answer(stream, h, resp); err != nil {
			return heard, err
		}
	}
}

type stream = discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient

// subscribe asks for everything of every type and says what is held already.
func subscribe(s stream, h *held) error {
	for i, t := range xds.Types {
		req := &discovery.DeltaDiscoveryRequest{
			TypeUrl: t, ResourceNamesSubscribe: []string{"*"}, InitialResourceVersions: h.versions(t),
		}
		if i == 0 {
			// The agent knows us by our certificate; the protocol wants a node all the same.
			req.Node = &core.Node{Id: "hanse-proxy", UserAgentName: "hanse"}
		}
		if err := s.Send(req); err != nil {
			return fmt.Errorf("subscribe to %s: %w", t, err)
		}
	}
	return nil
}

// answer merges a response, passes on the set that results, and acknowledges or refuses.
func (r *Relay) answer(s stream, h *held, resp *discovery.DeltaDiscoveryResponse) error {
	req := &discovery.DeltaDiscoveryRequest{TypeUrl: resp.GetTypeUrl(), ResponseNonce: resp.GetNonce()}
	changed, err := h.apply(resp)
	if err != nil {
		r.cfg.Logger.Error("the agent's configuration is refused", "type", resp.GetTypeUrl(), "error", err)
		req.ErrorDetail = &rpcstatus.Status{Code: int32(codes.InvalidArgument), Message: err.Error()}
	}
	if changed && h.complete() {
		set := h.set()
		r.cfg.Sink(set)
		r.queue(set)
	}
	if err := s.Send(req); err != nil {
		return fmt.Errorf("acknowledge %s: %w", resp.GetTypeUrl(), err)
	}
	return nil
}
