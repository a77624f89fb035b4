package gossip

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// repairing returns a mesh that knows of another one and does nothing but repair, on a clock that stands still. It does not ask for what
// is late on the streams that it has.
func (w *world) repairing() (m, other *Mesh, now *clock.Fake) {
	w.Helper()
	now = clock.NewFake(w.began)
	m, other = w.mesh("a", func(c *Config) { c.Clock = now }), w.mesh("b")
	address, _ := w.serve(other.ServeSync)
	m.note("b", "127.0.0.1:1", meta{GRPC: address}, true)
	ctx, cancel := context.WithCancel(w.ctx)
	var tasks sync.WaitGroup
	tasks.Go(func() { m.repairAll(ctx) })
	w.Cleanup(func() { cancel(); tasks.Wait() })
	return m, other, now
}

// hears has a mesh take another one's summary, and lets the time pass after which what it lacks is pulled.
func (w *world) hears(m, other *Mesh, now *clock.Fake) {
	w.Helper()
	delegate{m}.MergeRemoteState(delegate{other}.LocalState(false), false)
	if err := now.BlockUntil(w.ctx, 1); err != nil {
		w.Fatal(err)
	}
	now.Advance(m.timing.Stale)
}

func TestWhatPassedANodeByIsPulled(t *testing.T) {
	w := newWorld(t)
	m, other, now := w.repairing()
	m.cfg.Store.Offer(full("north", at(1, 1), record("k", "1")))
	other.cfg.Store.Offer(full("north", at(1, 1), record("k", "1")))
	other.cfg.Store.Offer(delta("north", at(1, 2), record("k", "2")))
	other.cfg.Store.Offer(full("south", at(1, 1), record("k", "1")))
	w.hears(m, other, now)
	w.await("what the other held is held", func() bool { return same(other.cfg.Store, m.cfg.Store) })
	w.await("the stream of the repair has ended", func() bool {
		m.asks.mu.Lock()
		defer m.asks.mu.Unlock()
		return len(m.asks.streams) == 0
	})
	if s := m.Stats(); s.Repairs != 1 {
		t.Errorf("%+v", s)
	}
	// Equal nodes have nothing to tell each other.
	delegate{m}.MergeRemoteState(delegate{other}.LocalState(false), false)
	if _, _, _, waiting := m.repairs.next(now.Now()); waiting {
		t.Error("what is held is waited for")
	}
}

// TestAForgottenOriginIsPulledOverTheStreamThatIsThere has a node lose what the one that it follows believes it to hold.
func TestAForgottenOriginIsPulledOverTheStreamThatIsThere(t *testing.T) {
	w := newWorld(t)
	m, other, now := w.repairing()
	other.cfg.Store.Offer(full("north", at(1, 1), record("k", "1")))
	ctx, cancel := context.WithCancel(w.ctx)
	var tasks sync.WaitGroup
	m.replan(ctx, &tasks)
	w.Cleanup(func() { cancel(); tasks.Wait() })
	w.await("it is told", func() bool { return same(other.cfg.Store, m.cfg.Store) })
	m.cfg.Store.Forget("north")
	w.hears(m, other, now)
	w.await("it is told again", func() bool { return same(other.cfg.Store, m.cfg.Store) })
}

func TestTwoWritersOfOneVersionAreFoundBySummary(t *testing.T) {
	w := newWorld(t)
	m, other, now := w.repairing()
	one, two := full("north", at(1, 1), record("k", "1")), full("north", at(1, 1), record("k", "2"))
	m.cfg.Store.Offer(one)
	other.cfg.Store.Offer(two)
	if string(m.cfg.Store.Digest("north")) > string(other.cfg.Store.Digest("north")) {
		// The larger digest wins: it has to be the other's.
		m.cfg.Store.Forget("north")
		other.cfg.Store.Forget("north")
		m.cfg.Store.Offer(two)
		other.cfg.Store.Offer(one)
	}
	w.hears(m, other, now)
	w.await("both hold the same", func() bool { return same(other.cfg.Store, m.cfg.Store) })
}

func TestASummaryOfManyOriginsComesInParts(t *testing.T) {
	w := newWorld(t)
	m, other := w.mesh("a"), w.mesh("b")
	const origins = summaryOrigins*5/2 + 1
	for i := range origins {
		other.cfg.Store.Offer(full(fmt.Sprint("origin-", i), at(1, 1)))
	}
	for range 3 {
		data := delegate{other}.LocalState(false)
		if len(data) > maxSummary {
			t.Fatalf("a summary has %d bytes", len(data))
		}
		delegate{m}.MergeRemoteState(data, false)
	}
	if node, haves, _, _ := m.repairs.next(time.Now().Add(time.Hour)); node != "b" || len(haves) != origins {
		t.Errorf("of %d origins %d are known to be at %q", origins, len(haves), node)
	}
}

func TestSummariesThatTellNothing(t *testing.T) {
	w := newWorld(t)
	m := w.mesh("a")
	m.cfg.Store.Offer(full("north", at(1, 2), record("k", "1")))
	summary := func(node string, haves ...*hansev1.Have) []byte {
		data, err := proto.Marshal(&hansev1.SyncHello{Node: node, Have: haves})
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	older := &hansev1.Have{Origin: "north", Version: codec.VersionToProto(at(1, 1))}
	huge := &hansev1.Have{Origin: "north", Version: codec.VersionToProto(at(1<<63, 1))}
	newer := &hansev1.Have{Origin: "north", Version: codec.VersionToProto(at(9, 9))}
	for name, data := range map[string][]byte{
		"nothing": nil, "junk": []byte("junk"), "too much": append(summary("b", newer), make([]byte, maxSummary)...),
		"older": summary("b", older), "negative": summary("b", huge), "its own": summary("a", newer),
		"no name": summary("b", &hansev1.Have{Origin: "No/Name", Version: newer.Version}), "too many": summary("b", many(newer, maxHello+1)...),
	} {
		delegate{m}.MergeRemoteState(data, false)
		if _, _, _, waiting := m.repairs.next(w.began); waiting {
			t.Errorf("%s: something is waited for", name)
		}
	}
	// What a stranger claims to hold is not sought at it.
	delegate{m}.MergeRemoteState(summary("stranger", newer), false)
	node, claimed, _, _ := m.repairs.next(time.Now().Add(time.Hour))
	if node != "stranger" {
		t.Fatalf("%s, %v", node, claimed)
	}
	m.repair(w.ctx, node, claimed)
	if s := m.Stats(); s.Repairs != 0 {
		t.Errorf("%+v", s)
	}
}

func many(h *hansev1.Have, n int) []*hansev1.Have {
	out := make([]*hansev1.Have, n)
	for i := range out {
		out[i] = h
	}
	return out
}
