package gossip

import (
	"fmt"
	"testing"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
)

func newHello(have ...*hansev1.Have) *hansev1.SyncRequest {
	return &hansev1.SyncRequest{Message: &hansev1.SyncRequest_Hello{Hello: &hansev1.SyncHello{ProtocolMin: 1, ProtocolMax: 2, Node: "peer", Have: have}}}
}

func prune(origin string) *hansev1.SyncRequest {
	return &hansev1.SyncRequest{Message: &hansev1.SyncRequest_Prune{Prune: &hansev1.Prune{Origin: origin}}}
}

// news takes one message of one have.
func (w *world) news(stream hansev1.NodeService_SyncClient) *hansev1.Have {
	w.Helper()
	message, err := stream.Recv()
	if err != nil || len(message.GetHaves().GetHave()) != 1 {
		w.Fatalf("got %v, %v, want a have", message, err)
	}
	return message.GetHaves().GetHave()[0]
}

func TestAPrunedStreamTellsOfChangesUntilItIsPulled(t *testing.T) {
	w := newWorld(t)
	m := w.mesh("a")
	m.cfg.Store.Offer(full("north", at(1, 1), record("k", "1")))
	stream := w.asPeer(m, newHello())
	if first, err := stream.Recv(); err != nil || first.GetWelcome().GetProtocol() != 2 {
		t.Fatalf("%v, %v", first, err)
	}
	if offer := w.news(stream); codec.VersionFromProto(offer.GetVersion()) != at(1, 1) || !offer.GetProducedAt().IsValid() {
		t.Fatalf("offered %v", offer)
	}
	send := func(r *hansev1.SyncRequest) {
		t.Helper()
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
	}
	send(pull("north", model.Version{}))
	if b := w.batch(stream); !b.Full || b.To != at(1, 1) {
		t.Fatalf("pulled %+v", b)
	}
	send(prune("north"))
	w.await("it is pruned", func() bool { return m.Stats().PrunesIn == 1 })
	// What is pruned and what is not held may be pruned any number of times.
	for i := range 1000 {
		send(prune("north"))
		send(prune(fmt.Sprint("unknown-", i)))
	}
	w.await("all are taken", func() bool { return m.Stats().PrunesIn == 2001 })
	m.cfg.Store.Offer(delta("north", at(1, 2), record("k", "2")))
	if have := w.news(stream); codec.VersionFromProto(have.GetVersion()) != at(1, 2) {
		t.Fatalf("told of %v", have)
	}
	send(pull("north", at(1, 1)))
	if b := w.batch(stream); b.Full || b.To != at(1, 2) {
		t.Fatalf("pulled %+v", b)
	}
	m.cfg.Store.Offer(delta("north", at(1, 3), record("k", "3")))
	if b := w.batch(stream); b.Full || b.To != at(1, 3) {
		t.Fatalf("pushed %+v", b)
	}
	if s := m.Stats(); s.HavesOut != 2 || s.BatchesOut != 3 || s.FullsOut != 1 {
		t.Errorf("%+v", s)
	}
}

func TestWhatAPeerOffersIsPulled(t *testing.T) {
	w := newWorld(t)
	m := w.mesh("a")
	w.follows(m, func(_ *hansev1.SyncHello, stream hansev1.NodeService_SyncServer) error {
		if err := send(stream, welcome(2), haves(&hansev1.Have{Origin: "north", Version: codec.VersionToProto(at(1, 1))})); err != nil {
			return err
		}
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		b := full(message.GetPull().GetOrigin(), at(1, 1), record("k", "1"))
		if err := send(stream, tell(b)); err != nil {
			return err
		}
		<-stream.Context().Done()
		return nil
	})
	w.await("it is held", func() bool { o, _ := m.cfg.Store.Origin("north"); return o.Version == at(1, 1) })
}

func TestWhatAnOriginCosts(t *testing.T) {
	w := newWorld(t)
	s := NewStore(catalog.Limits{Records: 1, Origins: 2}, w.logger())
	s.Offer(full("north", at(1, 1), record("k", "1")))
	s.Offer(full("north", at(1, 1), record("k", "1")))
	s.Offer(full("north", at(2, 1), record("k", "1"), record("l", "1")))
	s.Offer(full("south", at(1, 1)))
	// Names that are not held share one account.
	for i := range 100 {
		s.Offer(full(fmt.Sprint("made-up-", i), at(1, 1)))
		s.Offer(delta(fmt.Sprint("gap-", i), at(1, 2)))
	}
	size := uint64(len("k" + "1" + "signed 1"))
	want := map[model.ClusterName]Charge{"north": {Batches: 3, Bytes: 4 * size, Refused: 1}, "south": {Batches: 1}, "": {Batches: 200, Refused: 200}}
	got := s.Charges()
	for name, c := range want {
		if got[name] != c {
			t.Errorf("%q is charged %+v, want %+v", name, got[name], c)
		}
	}
	// What happens again and again is told ever more rarely: the 1st, 2nd, 4th … time.
	if n := len(w.logged()); n != 1+8 {
		t.Errorf("%d lines of 1 and of 200 refusals", n)
	}
	if s.Forget("north"); len(got) != 3 || len(s.Charges()) != 2 {
		t.Errorf("charges %v, then %v", got, s.Charges())
	}
}
