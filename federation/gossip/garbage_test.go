package gossip

import (
	"math"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
)

func haves(h ...*hansev1.Have) *hansev1.SyncResponse {
	return &hansev1.SyncResponse{Message: &hansev1.SyncResponse_Haves{Haves: &hansev1.Haves{Have: h}}}
}

func TestGarbageFromAPeerChangesNothing(t *testing.T) {
	w := newWorld(t)
	m := w.mesh("a")
	m.cfg.Store.Offer(full("north", at(1, 2), record("k", "2")))
	want := NewStore(catalog.Limits{}, w.logger())
	want.Offer(full("north", at(1, 2), record("k", "2")))
	want.Offer(full("south", at(1, 1), record("k", "1")))
	bad := []*hansev1.SyncResponse{
		{}, welcome(9), {Message: &hansev1.SyncResponse_Batch{}},
		tell(model.Batch{Origin: "No/Name", Full: true, To: at(5, 5)}),
		tell(model.Batch{Origin: "north", Full: true}),
		tell(full("north", at(9, 9), record("", "no key"))),
		tell(full("north", at(9, 9), record("k", "twice"), record("k", "twice"))),
		tell(full("north", at(9, 9), record("k", string(make([]byte, codec.MaxRecord+1))))),
		tell(model.Batch{Origin: "north", From: at(1, 2), To: at(1, 2), Upserts: []model.SignedRecord{record("k", "no version")}, Instance: "x"}),
		tell(model.Batch{Origin: "north", From: at(1, 3), To: at(1, 2), Instance: "x"}),
		tell(full("north", at(1, math.MaxUint64))), tell(full("north", at(1<<63, 1))),
		tell(full("north", at(9, 9), make([]model.SignedRecord, codec.MaxBatchRecords+1)...)),
		{Message: &hansev1.SyncResponse_Haves{Haves: &hansev1.Haves{Have: make([]*hansev1.Have, maxHaves+1)}}},
		haves(&hansev1.Have{Origin: "No/Name"}), haves(&hansev1.Have{Origin: "north", Version: codec.VersionToProto(at(1, math.MaxUint64))}),
		haves(&hansev1.Have{Origin: "north", Version: codec.VersionToProto(at(9, 9)), Digest: make([]byte, maxDigest+1)}),
	}
	random := rand.New(rand.NewPCG(1, 2))
	for len(bad) < 500 {
		// Damage that leaves a message but spoils its origin's name, so that it cannot be a batch by chance.
		b := full("north", at(9, 9), record("k", "3"))
		b.Origin = "North"
		data, err := proto.Marshal(tell(b))
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)-1-random.IntN(len(data)-16)] ^= 1 << random.IntN(8)
		var message hansev1.SyncResponse
		if proto.Unmarshal(data, &message) == nil {
			if _, err := codec.BatchFromProto(message.GetBatch()); err != nil {
				bad = append(bad, &message)
			}
		}
	}
	w.follows(m, func(_ *hansev1.SyncHello, stream hansev1.NodeService_SyncServer) error {
		if err := send(stream, append(append([]*hansev1.SyncResponse{welcome(1)}, bad...), tell(full("south", at(1, 1), record("k", "1"))))...); err != nil {
			return err
		}
		<-stream.Context().Done()
		return nil
	})
	w.await("what comes after the garbage is held, and nothing else", func() bool {
		// A batch is counted after it was taken.
		return same(want, m.cfg.Store) && m.Stats().BatchesIn > 0
	})
	if s := m.Stats(); s.Refused != uint64(len(bad)) || s.BatchesIn != 1 {
		t.Errorf("of %d malformed messages: %+v", len(bad), s)
	}
}
