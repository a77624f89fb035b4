// Package spread owns how the catalog's changes travel between federation nodes, as a protocol without I/O: what a node tells those who
// follow it (Teller), what it asks of those whom it follows (Followers), and how it finds what passed it by (Repairs).
//
// It is pure: times are arguments, and what is to be sent is returned. Each stream's links, one per origin, begin eager: changes are
// pushed. Who receives what it holds already prunes that link, which from then on carries only short news of what could be pulled, so
// that the eager links of an origin become a tree along which everybody receives each change once. News of something that did not
// come by an eager link within a grace is pulled, and the link that is pulled is eager again: so trees mend. What a Teller or Followers
// keep is bounded by origins × streams, and nothing queues: who can send again sends the newest state. Laws (tested): whatever is lost,
// cut or restarted, nodes that follow each other again converge; no origin is without an eager link while a stream lives; in the long
// run each node receives each change about once.
package spread

import (
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
)

// Source is the catalog that is spread.
type Source interface {
	// Since, Heartbeat, Origin, Origins and Digest are catalog.Catalog's.
	Since(origin model.ClusterName, have model.Version) (model.Batch, bool)
	Heartbeat(origin model.ClusterName) (model.Batch, bool)
	Origin(name model.ClusterName) (catalog.Origin, bool)
	Origins() []catalog.Origin
	Digest(origin model.ClusterName) []byte
}

// Have says what a node holds of an origin.
type Have struct {
	Origin  model.ClusterName
	Version model.Version
	// Digest is that of the content, or the beginning of it, or empty when it is not told.
	Digest     []byte
	ProducedAt time.Time
}

// Message is what one node tells another: either a batch or haves.
type Message struct {
	Batch *model.Batch
	Haves []Have
}

// Request is what a node asks on a stream: to be told of an origin from Version on and of its changes from now on, or, if Prune is set,
// to be told of its changes no more.
type Request struct {
	Stream  string
	Origin  model.ClusterName
	Version model.Version
	Prune   bool
}

// lazyProtocol is the first version of the streams' protocol that knows of pruned links.
const lazyProtocol = 2

// maxOrigins bounds the origins that one peer makes a node remember: twice what a catalog holds by default.
const maxOrigins = 20_000

// Timing are the protocol's pauses.
type Timing struct {
	// Gather is how long news for a pruned link are gathered into one message.
	Gather time.Duration
	// Confirm is the same for news that an origin only confirmed what is known.
	Confirm time.Duration
	// Grace is how long the eager links are waited for once a pruned one has told of a change.
	Grace time.Duration
	// Stale is the same for a confirmation.
	Stale time.Duration
	// Patience is how long the answer to a pull is waited for before another stream is asked.
	Patience time.Duration
	// Again is how long until the same stream is asked again although it has not answered.
	Again time.Duration
	// Unasked is how many bytes a change may have to be pushed to a peer that has never asked for its origin.
	Unasked int
}

// DefaultTiming suits regions that are some 100 ms apart: a change that goes by three of them arrives before a grace is over, since its
// news are gathered, too, and take at least one such step.
func DefaultTiming() Timing {
	return Timing{
		Gather: 50 * time.Millisecond, Confirm: time.Second, Grace: 150 * time.Millisecond, Stale: 3 * time.Second,
		Patience: 2 * time.Second, Again: 30 * time.Second, Unasked: 64 << 10,
	}
}
