// Package serve owns the sockets of the DNS server for clusterset.local, and the watches of one API server that its answers are made of.
//
// What is answered is decided in cluster-agent/dns. While the API server is away, the last answers stay: a name that is forgotten would
// cut callers off from services that live.
package serve

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"

	"k8s.io/client-go/kubernetes"
	mcsclient "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"

	"github.com/hanse-mesh/hanse/cluster-agent/dns"
	"github.com/hanse-mesh/hanse/internal/run"
)

// Config is what a Server needs. All fields are required, except as noted.
type Config struct {
	// Client and MCS reach the API server of the cluster that is served.
	Client kubernetes.Interface
	MCS    mcsclient.Interface
	// UDP and TCP are where queries come in. Run closes them.
	UDP []net.PacketConn
	TCP []net.Listener
	// Answered is told of each reply, by many goroutines at once; nil tells nobody.
	Answered func(by dns.Transport, r dns.Reply)
	Logger   *slog.Logger
}

// Server answers queries. Its methods are safe for concurrent use.
type Server struct {
	cfg   Config
	facts *facts
	zone  atomic.Pointer[dns.Zone]
	// publish puts a zone in force.
	publish func(*dns.Zone)
	turn    atomic.Uint32
	// open counts TCP connections.
	open atomic.Int64
}

// New returns a server that does nothing until Run.
func New(cfg Config) *Server {
	if cfg.Answered == nil {
		cfg.Answered = func(dns.Transport, dns.Reply) {}
	}
	s := &Server{cfg: cfg, facts: newFacts(cfg)}
	s.publish = s.zone.Store
	return s
}

// Run serves until ctx ends or a socket fails. An API server that is away, or does not have the API, is no failure.
func (s *Server) Run(ctx context.Context) error {
	tasks := []func(context.Context) error{
		s.facts.run,
		func(ctx context.Context) error { return s.facts.follow(ctx, s.publish) },
	}
	for _, conn := range s.cfg.UDP {
		for range udpReaders {
			tasks = append(tasks, func(ctx context.Context) error { return s.serveUDP(ctx, conn) })
		}
	}
	for _, l := range s.cfg.TCP {
		tasks = append(tasks, func(ctx context.Context) error { return s.serveTCP(ctx, l) })
	}
	return run.Group(ctx, tasks...)
}

// NotReady says why the server cannot answer yet; empty once it can, from then on for good.
func (s *Server) NotReady() []string {
	if s.zone.Load() != nil {
		return nil
	}
	if troubles := s.facts.troubles(); len(troubles) > 0 {
		return troubles
	}
	return []string{"the API server has not told its ServiceImports and EndpointSlices yet"}
}

// Notes says what is wrong although the server answers.
func (s *Server) Notes() []string {
	if s.zone.Load() == nil {
		return nil
	}
	out := s.facts.troubles()
	for i := range out {
		out[i] += "; the last answers stay"
	}
	return out
}

// Stats are numbers for whoever watches the server.
type Stats struct {
	// Services are those that have a name, Connections those over TCP, and Failing the watches of the API server that fail at the moment.
	Services, Connections, Failing int
}

// Stats returns the numbers of now.
func (s *Server) Stats() Stats {
	return Stats{Services: s.zone.Load().Services(), Connections: int(s.open.Load()), Failing: len(s.facts.troubles())}
}

// respond answers one query; nil means silence.
func (s *Server) respond(query []byte, by dns.Transport) []byte {
	r := dns.Respond(s.zone.Load(), query, by, s.turn.Add(1))
	if r.Message != nil {
		s.cfg.Answered(by, r)
	}
	return r.Message
}
