package gossip

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/spread"
)

// big is more than all buffers of a connection take together.
func big(origin string, to model.Version) model.Batch {
	b := full(origin, to)
	for i := range 64 {
		b.Upserts = append(b.Upserts, model.SignedRecord{Key: fmt.Sprint(i), Record: []byte(strings.Repeat("x", 60<<10))})
	}
	return b
}

func TestAPeerThatDoesNotReadHoldsUpNobody(t *testing.T) {
	w := newWorld(t)
	m := w.mesh("a")
	stream := w.asPeer(m, hello())
	w.welcomed(stream)
	// It is followed, then it reads no more.
	m.cfg.Store.Offer(full("north", at(1, 1)))
	w.batch(stream)
	const last = 40
	for epoch := uint64(2); epoch <= last; epoch++ {
		if out := m.cfg.Store.Offer(big("north", at(epoch, 1))); !out.Changed {
			t.Fatalf("epoch %d: %+v", epoch, out)
		}
	}
	m.cfg.Store.Offer(full("south", at(1, 1)))
	// When it reads again it is told the newest state, not each one in between.
	north, batches := model.Version{}, 0
	for north != at(last, 1) {
		if b := w.batch(stream); b.Origin == "north" {
			north = b.To
		}
		if batches++; batches > 6 {
			t.Fatalf("still at %v after %d batches", north, batches)
		}
	}
}

func TestAFloodOfPullsIsBounded(t *testing.T) {
	w := newWorld(t)
	m := w.mesh("a")
	m.cfg.Store.Offer(big("north", at(1, 1)))
	stream := w.asPeer(m, hello())
	// Nothing is read meanwhile: if the node waited for that before it took the pulls, they would never all arrive.
	const flood = 6000
	for i := range flood {
		origin := "north"
		if i%2 == 1 {
			origin = fmt.Sprint("unknown-", i)
		}
		if err := stream.Send(pull(origin, model.Version{})); err != nil {
			t.Fatal(err)
		}
	}
	w.await("all pulls have arrived", func() bool { return m.Stats().PullsIn == flood })
	m.cfg.Store.Offer(full("south", at(1, 1)))
	w.welcomed(stream)
	for fulls := 0; ; fulls++ {
		if b := w.batch(stream); b.Origin == "south" {
			break
		}
		if fulls > 3 {
			t.Fatalf("%d pulls of one origin were answered with more than %d full states", flood, fulls)
		}
	}
}

// asked is the receiving side of a stream with given messages.
type asked struct {
	hansev1.NodeService_SyncServer
	messages []*hansev1.SyncRequest
}

func (a *asked) Recv() (*hansev1.SyncRequest, error) {
	if len(a.messages) == 0 {
		return nil, io.EOF
	}
	first := a.messages[0]
	a.messages = a.messages[1:]
	return first, nil
}

func TestPullsOfWhatIsNotHeldAreNotCollected(t *testing.T) {
	w := newWorld(t)
	m := w.mesh("a")
	m.cfg.Store.Offer(full("north", at(1, 1)))
	requests := newInbox[spread.Request]()
	stream := &asked{messages: []*hansev1.SyncRequest{pull("south", at(1, 1)), pull("north", at(2, 1)), pull("north", at(3, 1))}}
	if err := m.readRequests(stream, requests); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if got := requests.take(); len(got) != 1 || got["north"].Version != at(3, 1) {
		t.Errorf("collected %v", got)
	}
}

func TestServingEndsWithThePeer(t *testing.T) {
	w := newWorld(t)
	m := w.mesh("a")
	m.cfg.Store.Offer(big("north", at(1, 1)))
	ended := make(chan error, 1)
	address, _ := w.serve(func(s hansev1.NodeService_SyncServer) error {
		err := m.ServeSync(s)
		ended <- err
		return err
	})
	conn, err := dial(w.ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(w.ctx)
	stream, err := hansev1.NewNodeServiceClient(conn).Sync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(hello()); err != nil {
		t.Fatal(err)
	}
	w.welcomed(stream)
	// The node is in the midst of a message that nobody reads.
	cancel()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("a broken stream ended without an error")
		}
	case <-w.ctx.Done():
		t.Fatal("the handler goes on after its peer is gone")
	}
	m.cfg.Store.mu.Lock()
	defer m.cfg.Store.mu.Unlock()
	if n := len(m.cfg.Store.subscribers); n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
}
