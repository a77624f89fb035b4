// Package server owns what a federation node offers over gRPC: admission of clusters and nodes, the sessions of agents, and the
// node-to-node calls that belong to them.
//
// Decisions lie elsewhere: federation/state says who is a member, api/policy what may be seen, trust/authz what may be claimed. This
// package carries them to the wire, and checks every caller's certificate against the replicated state on every call.
package server

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/internal/run"
)

const (
	// MaxMessage is the largest gRPC message that nodes and agents exchange, in bytes. It is set where the gRPC server is made.
	MaxMessage = 64 << 20
	// AgentTTL is how long an agent's certificate lives, RenewGrace how long after its end it still counts for a renewal.
	AgentTTL   = 7 * 24 * time.Hour
	RenewGrace = 30 * 24 * time.Hour
	// NodeTTL is how long a node's certificate lives, IssuingTTL how long its issuing CA's.
	NodeTTL    = 90 * 24 * time.Hour
	IssuingTTL = 5 * 365 * 24 * time.Hour
	// MaxSkew is how far a joining agent's clock may be from this node's.
	MaxSkew = 5 * time.Minute
)

// Consensus is the replicated state as this package needs it.
type Consensus interface {
	// Propose commits a command; only the leader can. A refusal is a *state.Error.
	Propose(ctx context.Context, c state.Command) (state.Result, error)
	// Watch returns the state and a channel that closes at its next change.
	Watch() (*state.View, <-chan struct{})
	// Leader names the leader as far as this node knows.
	Leader() (name, raftAddress string, ok bool)
	// AddVoter and AddReplica bring a node into the Raft group, or change its address.
	AddVoter(ctx context.Context, name, raftAddress string) error
	AddReplica(ctx context.Context, name, raftAddress string) error
}

// Store is the catalog of all origins as this package needs it. It is safe for concurrent use.
type Store interface {
	Offer(b model.Batch) catalog.Outcome
	Since(origin model.ClusterName, have model.Version) (model.Batch, bool)
	Origin(name model.ClusterName) (catalog.Origin, bool)
	Origins() []catalog.Origin
}

// Subscription tells which origins of the Store have changed.
type Subscription interface {
	// Next waits for changes and returns their origins, each once however often it changed.
	Next(ctx context.Context) ([]model.ClusterName, error)
	Close()
}

// Leaf describes a certificate to issue. It has the shape of ca.LeafRequest.
type Leaf struct {
	CSR        []byte
	SPIFFEID   string
	CommonName string
	DNSNames   []string
	IPs        []net.IP
	TTL        time.Duration
	Now        time.Time
}

// Issuer is this node's issuing CA. Chains are DER, the new certificate first and the federation's root last.
type Issuer interface {
	IssueLeaf(l Leaf) ([][]byte, error)
	IssueCA(csr []byte, commonName string, ttl time.Duration, now time.Time) ([][]byte, error)
}

// Peers verifies the certificate of a call's peer against the federation's root, now. It may have expired up to grace ago.
type Peers interface {
	VerifyPeer(ctx context.Context, grace time.Duration) (spiffeid.ID, *x509.Certificate, error)
}

// Config is what a Server stands on.
type Config struct {
	// Node is this node.
	Node      model.Node
	Consensus Consensus
	Store     Store
	// Subscribe opens a subscription to the Store.
	Subscribe func() Subscription
	Issuer    Issuer
	Peers     Peers
	// DialNode connects to another node's gRPC address as this node. The connection is closed after the call.
	DialNode func(ctx context.Context, address string) (*grpc.ClientConn, error)
	// Sync serves the catalog to another node whose identity was checked.
	Sync func(hansev1.NodeService_SyncServer) error
	// Group is the Raft configuration by node, as this node knows it.
	Group func() map[string]GroupMember
	// Dismiss takes a node out of the Raft group, unless the state, with all that is committed, knows the node after all.
	Dismiss func(ctx context.Context, name string) error
	// Reachable returns nil when something accepts connections at a Raft address.
	Reachable func(ctx context.Context, address string) error
	// GossipKeys are told to nodes that join, the primary first.
	GossipKeys [][]byte
	Clock      clock.Clock
	Logger     *slog.Logger
}

// Server implements FederationService and NodeService. It is safe for concurrent use.
type Server struct {
	hansev1.UnimplementedFederationServiceServer
	hansev1.UnimplementedNodeServiceServer

	cfg      Config
	sessions sessions
	refusals refusalBoard
	feeds    feeds
	accounts accounts
	// stopped closes when Run ends: sessions end with it.
	stopped chan struct{}
}

// New returns a server; Register offers it and Run keeps its duties.
func New(cfg Config) *Server {
	return &Server{
		cfg:      cfg,
		sessions: sessions{open: map[*session]Session{}},
		refusals: refusalBoard{byCluster: map[model.ClusterName]refused{}, changed: make(chan struct{})},
		feeds:    feeds{seen: map[model.ClusterName]sight{}},
		accounts: accounts{byCluster: map[model.ClusterName]*account{}},
		stopped:  make(chan struct{}),
	}
}

// Register offers both services.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	hansev1.RegisterFederationServiceServer(r, s)
	hansev1.RegisterNodeServiceServer(r, s)
}

// Run keeps a leader's duties, and watches the feeds, until ctx ends, and then ends all sessions. It must be called once.
func (s *Server) Run(ctx context.Context) error {
	defer close(s.stopped)
	return run.Group(ctx, s.keepGroup, s.watchFeeds)
}

func (s *Server) view() *state.View {
	v, _ := s.cfg.Consensus.Watch()
	return v
}
