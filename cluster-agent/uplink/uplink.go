// Package uplink owns the agent's session with the federation: one outbound gRPC stream to one of several nodes.
//
// Up it sends what the cluster publishes, as batches of signed records in versions (incarnation, epoch, seq); down it hands states,
// imports and refusals to a Handler. Publishing never blocks: the desired records are kept as a set, and a sender that falls behind
// sends the newest state of what changed. Losing the session withdraws nothing on either side. A process that another one of the same
// cluster has superseded keeps its session for what it imports, and publishes again as cluster-agent/tenure decides.
package uplink

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/tenure"
	"github.com/hanse-mesh/hanse/internal/clock"
	"google.golang.org/grpc"
)

// DefaultMaxRecords is how many records a cluster may publish unless Config says otherwise.
const DefaultMaxRecords = 20_000

// MaxMessageBytes bounds one message from a node: a full state of one origin, or the replicated state.
const MaxMessageBytes = 64 << 20

// Epochs persists the counter of publishing epochs. StoreEpoch returns when the value is on disk. Both are called by one goroutine.
type Epochs interface {
	// LoadEpoch returns the last epoch stored; 0 when there is none.
	LoadEpoch() (uint64, error)
	StoreEpoch(epoch uint64) error
}

// Handler takes what the federation says. Its methods are called one at a time; while one runs, nothing further is read from the node.
type Handler interface {
	// State takes the replicated state, without tokens.
	State(state *hansev1.State)
	// Import takes a batch of another origin and reports whether one before it is missing: then the origin is asked for in full.
	Import(batch model.Batch) (gap bool)
	// OriginDropped says that this cluster may no longer see the origin.
	OriginDropped(origin model.ClusterName)
	// Refused says which of the cluster's own records do not count, replacing what was said before.
	Refused(refusals []Refusal)
	// Connected says that a session with node began or ended.
	Connected(node string, connected bool)
}

// Refusal is a record of this cluster that the federation does not accept.
type Refusal struct {
	Key    string
	Reason string
}

// Config is what an Uplink needs. All fields are required unless they say otherwise.
type Config struct {
	Cluster model.ClusterName
	// Instance is random per process.
	Instance     string
	AgentVersion string
	// Servers returns the nodes' gRPC addresses, the preferred first; it is asked again before each round of attempts.
	Servers func() []string
	// Dial makes a connection with mutual TLS and keepalive; it may return before the connection is up.
	Dial func(ctx context.Context, address string) (*grpc.ClientConn, error)
	// Sign marshals and signs a record whose Version has been set.
	Sign    func(model.Record) (model.SignedRecord, error)
	Epochs  Epochs
	Handler Handler
	// Answer answers the nodes' questions; nil answers none.
	Answer Answer
	// MaxRecords bounds what is published; 0 is DefaultMaxRecords. It never exceeds codec.MaxBatchRecords, the size of
	// a full state.
	MaxRecords int
	Clock      clock.Clock
	Logger     *slog.Logger
}

// Stats says how the uplink fares.
type Stats struct {
	Connected bool
	// Node and Address are those of the current session, or of the last one.
	Node    string
	Address string
	// Since is when Connected last changed; zero before the first session.
	Since time.Time
	// Version is the last version sent; zero before the first.
	Version model.Version
	// LastSent is when a batch, with records or without, last left.
	LastSent time.Time
	// Records is how many records the cluster wants to publish; Overflow how many more did not fit.
	Records  int
	Overflow int
	// SupersededBy is the process that publishes as this cluster instead of this one; empty while none does.
	SupersededBy string
	// LastError is why the last session or attempt ended, or why nothing can be published; empty while all is well.
	LastError string
}

// Uplink is safe for concurrent use.
type Uplink struct {
	cfg  Config
	want *desired

	// tenure and produced, the newest time that a batch has stated, are the sender's; sessions follow one another.
	tenure   tenure.Tenure
	produced time.Time

	mu    sync.Mutex
	stats Stats
	// current is the session that stands; nil while there is none.
	current *session
}

// New returns an uplink that does nothing until Run.
func New(cfg Config) *Uplink {
	if cfg.MaxRecords == 0 {
		cfg.MaxRecords = DefaultMaxRecords
	}
	cfg.MaxRecords = min(cfg.MaxRecords, codec.MaxBatchRecords)
	return &Uplink{cfg: cfg, want: newDesired(cfg.MaxRecords), tenure: tenure.Tenure{Instance: cfg.Instance}}
}

// Publish changes the set of records that the cluster wants the federation to hold. It never blocks. Records that exceed MaxRecords
// wait for room and are logged; those already published stay.
func (u *Uplink) Publish(upserts []model.Record, removals []string) {
	if refused := u.want.change(upserts, removals); refused > 0 {
		u.cfg.Logger.Error("records exceed what a cluster may publish; export fewer services", "refused", refused, "limit", u.cfg.MaxRecords)
	}
}

// SetComplete says that Publish has been told everything once. Until then no record is sent, so that an agent which has not yet
// loaded its registry withdraws nothing.
func (u *Uplink) SetComplete() { u.want.setComplete() }

// SetBundle publishes the trust bundle of the cluster, now and at the start of every session. It never blocks.
func (u *Uplink) SetBundle(b model.SignedBundle) { u.want.setBundle(b) }

// Resync asks the node of the current session for another origin in full; without a session it does nothing. It never blocks.
func (u *Uplink) Resync(origin model.ClusterName) {
	u.mu.Lock()
	s := u.current
	u.mu.Unlock()
	if s != nil && s.requests.resync(origin) {
		u.want.poke()
	}
}

// ConfirmRemovals tells the federation that every service which the cluster has withdrawn so far is meant to be gone, however many they
// are: importers then hold none of them. It publishes the full state anew and returns when that has been sent, or with ctx's error; then
// it will be sent when it can be. What is withdrawn later needs another confirmation.
func (u *Uplink) ConfirmRemovals(ctx context.Context) error {
	select {
	case <-u.want.confirm():
		if !u.want.stillConfirmed() {
			return errors.New("more services were withdrawn before the confirmation was sent: confirm again")
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stats returns a copy of the current figures.
func (u *Uplink) Stats() Stats {
	u.mu.Lock()
	s := u.stats
	u.mu.Unlock()
	s.Records, s.Overflow = u.want.size()
	return s
}

func (u *Uplink) note(change func(*Stats)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change(&u.stats)
}
