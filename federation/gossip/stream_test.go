package gossip

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// asPeer opens a stream to a mesh as another node would, and says hello.
func (w *world) asPeer(m *Mesh, first *hansev1.SyncRequest) hansev1.NodeService_SyncClient {
	w.Helper()
	address, _ := w.serve(m.ServeSync)
	conn, err := dial(w.ctx, address)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = conn.Close() })
	stream, err := hansev1.NewNodeServiceClient(conn).Sync(w.ctx)
	if err != nil {
		w.Fatal(err)
	}
	if err := stream.Send(first); err != nil {
		w.Fatal(err)
	}
	return stream
}

func hello(have ...*hansev1.Have) *hansev1.SyncRequest {
	return &hansev1.SyncRequest{Message: &hansev1.SyncRequest_Hello{Hello: &hansev1.SyncHello{ProtocolMin: 1, ProtocolMax: 1, Node: "peer", Have: have}}}
}

func pull(origin string, have model.Version) *hansev1.SyncRequest {
	return &hansev1.SyncRequest{Message: &hansev1.SyncRequest_Pull{Pull: &hansev1.Have{Origin: origin, Version: codec.VersionToProto(have)}}}
}

// welcomed skips the welcome.
func (w *world) welcomed(stream hansev1.NodeService_SyncClient) {
	w.Helper()
	first, err := stream.Recv()
	if err != nil || first.GetWelcome().GetProtocol() != 1 {
		w.Fatalf("got %v, %v, want a welcome with protocol 1", first, err)
	}
}

func (w *world) batch(stream hansev1.NodeService_SyncClient) model.Batch {
	w.Helper()
	message, err := stream.Recv()
	if err != nil {
		w.Fatal(err)
	}
	b, err := codec.BatchFromProto(message.GetBatch())
	if err != nil {
		w.Fatal(err)
	}
	return b
}

func TestAPeerIsToldWhatItLacks(t *testing.T) {
	w := newWorld(t)
	m := w.mesh("a")
	store := m.cfg.Store
	for _, name := range []string{"ahead", "behind", "equal", "other", "unknown"} {
		store.Offer(full(name, at(1, 1), record("k", "1")))
		store.Offer(delta(name, at(1, 2), record("l", "2")))
	}
	have := func(name string, v model.Version, digest string) *hansev1.Have {
		return &hansev1.Have{Origin: name, Version: codec.VersionToProto(v), Digest: []byte(digest)}
	}
	// A peer that is ahead is told nothing of that.
	stream := w.asPeer(m, hello(
		have("ahead", at(1, 3), ""), have("behind", at(1, 1), ""), have("equal", at(1, 2), string(store.Digest("equal"))), have("other", at(1, 2), "another"), have("No origin", at(9, 9), ""),
	))
	w.welcomed(stream)
	for _, want := range []struct {
		name    model.ClusterName
		full    bool
		upserts int
	}{{"behind", false, 1}, {"equal", false, 0}, {"other", true, 2}, {"unknown", true, 2}} {
		if b := w.batch(stream); b.Origin != want.name || b.Full != want.full || len(b.Upserts) != want.upserts || b.To != at(1, 2) {
			t.Errorf("told %+v, want %+v", b, want)
		}
	}
	// A pull is answered from the version that the peer holds.
	for have, upserts := range map[model.Version]int{at(1, 1): 1, {}: 2, at(1, 2): 0} {
		if err := stream.Send(pull("unknown", have)); err != nil {
			t.Fatal(err)
		}
		if b := w.batch(stream); b.Full != have.IsZero() || len(b.Upserts) != upserts || !b.Full && b.From != have {
			t.Errorf("pulled from %v: %+v", have, b)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if message, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("after the peer's end: %v, %v", message, err)
	}
}

func TestAStreamThatBeginsWronglyIsRefused(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name  string
		first *hansev1.SyncRequest
		code  codes.Code
		text  string
	}{
		{"nothing", &hansev1.SyncRequest{}, codes.InvalidArgument, "begins with a hello"},
		{"pull", pull("north", at(1, 1)), codes.InvalidArgument, "begins with a hello"},
		{"empty hello", &hansev1.SyncRequest{Message: &hansev1.SyncRequest_Hello{}}, codes.FailedPrecondition, "0 to 0: upgrade"},
		{"too old", &hansev1.SyncRequest{Message: &hansev1.SyncRequest_Hello{Hello: &hansev1.SyncHello{Node: "old"}}}, codes.FailedPrecondition, "node old 0 to 0: upgrade"},
		{"too new", &hansev1.SyncRequest{Message: &hansev1.SyncRequest_Hello{Hello: &hansev1.SyncHello{Node: "new", ProtocolMin: 3, ProtocolMax: 4}}}, codes.FailedPrecondition, "node a speaks sync protocols 1 to 2"},
	} {
		message, err := w.asPeer(w.mesh("a"), c.first).Recv()
		if status.Code(err) != c.code || !strings.Contains(fmt.Sprint(err), c.text) {
			t.Errorf("%s: got %v, %v", c.name, message, err)
		}
	}
	for name, second := range map[string]*hansev1.SyncRequest{"nothing": {}, "hello": hello(), "name": pull("No/Name", at(1, 1))} {
		stream := w.asPeer(w.mesh("a"), hello())
		w.welcomed(stream)
		if err := stream.Send(second); err != nil {
			t.Fatal(err)
		}
		if message, err := stream.Recv(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s after the hello: got %v, %v", name, message, err)
		}
	}
}
