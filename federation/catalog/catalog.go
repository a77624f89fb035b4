// Package catalog owns what clusters say of their services: for each origin its newest state, merged from batches that may arrive in
// any order, more than once, from several sides.
//
// It is pure; its owner serialises access. The unit is the origin, not the record. An origin's states are ordered by (incarnation,
// epoch, seq), ties by digest and then by instance; the larger wins whole, with its own time. Records are opaque bytes here, so that a
// node of another version can neither change nor lose what it does not understand. Laws (tested): full states merge commutatively,
// associatively and idempotently; nodes that pull over gaps converge whoever tells whom; a batch over a gap changes nothing; versions
// never go back.
package catalog

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

// Limits bound what is kept. A zero field means its default.
type Limits struct {
	// Records and Bytes are per origin.
	Records int
	Bytes   int
	// Origins is how many origins are kept, known to be members or not.
	Origins int
}

func (l Limits) withDefaults() Limits {
	if l.Records == 0 {
		l.Records = 20_000
	}
	if l.Bytes == 0 {
		// A full state fits into one message between nodes, with room to spare for its framing.
		l.Bytes = 32 << 20
	}
	if l.Origins == 0 {
		l.Origins = 10_000
	}
	return l
}

// Catalog holds the newest state of each origin.
type Catalog struct {
	limits  Limits
	origins map[model.ClusterName]*origin
}

// Outcome says what Merge did.
type Outcome struct {
	// Changed is true when records or the version changed.
	Changed bool
	// Refreshed is true when only the time of the last confirmation moved on.
	Refreshed bool
	// Gap is true when a batch before this one is missing: the origin must be pulled, from Held on, or in full when Clone is true too.
	Gap bool
	// Held is the version held after the call.
	Held model.Version
	// Clone is true when two processes publish the same epoch.
	Clone bool
	// Err is set when the batch was refused because it exceeds a limit; nothing changed.
	Err error
}

// New returns an empty catalog.
func New(l Limits) *Catalog {
	return &Catalog{limits: l.withDefaults(), origins: map[model.ClusterName]*origin{}}
}

// Merge takes a batch in.
func (c *Catalog) Merge(b model.Batch) Outcome {
	if b.To.IsZero() {
		return Outcome{Err: fmt.Errorf("batch of %s has no version", b.Origin)}
	}
	held := c.origins[b.Origin]
	if held == nil {
		if len(c.origins) >= c.limits.Origins {
			return Outcome{Err: fmt.Errorf("origin %s is refused: %d origins are held already", b.Origin, len(c.origins))}
		}
		held = &origin{}
	}
	next, out := held.merge(b, c.limits)
	if next != nil {
		c.origins[b.Origin] = next
		held = next
	}
	out.Held = held.version
	return out
}

// Since returns what leads a holder of have to the held state: a delta when the removals in between are remembered, else everything.
// It returns false when have is not older than what is held, or nothing is. A full batch's slice is shared: do not change it.
func (c *Catalog) Since(name model.ClusterName, have model.Version) (model.Batch, bool) {
	o := c.origins[name]
	if o == nil || o.version.Compare(have) <= 0 {
		return model.Batch{}, false
	}
	return o.since(name, have), true
}

// Full returns the whole held state of an origin. The batch's slice is shared: do not change it.
func (c *Catalog) Full(name model.ClusterName) (model.Batch, bool) {
	o := c.origins[name]
	if o == nil {
		return model.Batch{}, false
	}
	return o.full(name), true
}

// Heartbeat returns a batch that only tells when the origin last confirmed the held state.
func (c *Catalog) Heartbeat(name model.ClusterName) (model.Batch, bool) {
	o := c.origins[name]
	if o == nil {
		return model.Batch{}, false
	}
	return model.Batch{Origin: name, From: o.version, To: o.version, ProducedAt: o.producedAt, Instance: o.instance}, true
}

// Origin describes one origin's held state.
type Origin struct {
	Name       model.ClusterName
	Version    model.Version
	ProducedAt time.Time
	// Instance is the process that published the held state.
	Instance string
	Records  int
	Bytes    int
}

// Origins describes all origins, by name.
func (c *Catalog) Origins() []Origin {
	out := make([]Origin, 0, len(c.origins))
	for name, o := range c.origins {
		out = append(out, o.describe(name))
	}
	slices.SortFunc(out, func(a, b Origin) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return out
}

// Origin describes one origin.
func (c *Catalog) Origin(name model.ClusterName) (Origin, bool) {
	o := c.origins[name]
	if o == nil {
		return Origin{}, false
	}
	return o.describe(name), true
}

// Digest is the SHA-256 of an origin's content, the same however the content came to be held. It is computed when it is asked for.
func (c *Catalog) Digest(name model.ClusterName) []byte {
	if o := c.origins[name]; o != nil {
		return o.digest()
	}
	return nil
}

// Records returns an origin's records by key, in a map of the caller's own.
func (c *Catalog) Records(name model.ClusterName) (map[string]model.SignedRecord, bool) {
	o := c.origins[name]
	if o == nil {
		return nil, false
	}
	out := make(map[string]model.SignedRecord, len(o.records))
	for _, r := range o.sorted() {
		out[r.Key] = r
	}
	return out, true
}

// Forget frees an origin, for example one that is no member any more.
func (c *Catalog) Forget(name model.ClusterName) { delete(c.origins, name) }
