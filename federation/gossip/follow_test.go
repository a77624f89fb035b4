package gossip

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// follows has a mesh follow a peer that behaves as told.
func (w *world) follows(m *Mesh, peer func(hello *hansev1.SyncHello, stream hansev1.NodeService_SyncServer) error) {
	w.Helper()
	address, _ := w.serve(func(stream hansev1.NodeService_SyncServer) error {
		first, err := stream.Recv()
		if err != nil {
			return err
		}
		return peer(first.GetHello(), stream)
	})
	m.note("peer", "127.0.0.1:1", meta{GRPC: address}, true)
	ctx, cancel := context.WithCancel(w.ctx)
	var tasks sync.WaitGroup
	tasks.Go(func() { m.asks.run(ctx) })
	m.replan(ctx, &tasks)
	w.Cleanup(func() { cancel(); tasks.Wait() })
}

func welcome(protocol uint32) *hansev1.SyncResponse {
	return &hansev1.SyncResponse{Message: &hansev1.SyncResponse_Welcome{Welcome: &hansev1.SyncWelcome{Protocol: protocol, Node: "peer"}}}
}

func tell(b model.Batch) *hansev1.SyncResponse {
	return &hansev1.SyncResponse{Message: &hansev1.SyncResponse_Batch{Batch: codec.BatchToProto(b)}}
}

func send(stream hansev1.NodeService_SyncServer, messages ...*hansev1.SyncResponse) error {
	for _, message := range messages {
		if err := stream.Send(message); err != nil {
			return err
		}
	}
	return nil
}

func TestAGapIsPulled(t *testing.T) {
	for _, c := range []struct {
		name string
		told model.Batch
		want model.Version
	}{
		{"a batch is missing", delta("north", at(1, 4), record("k", "4")), at(1, 2)},
		{"the epoch's beginning is missing", delta("north", at(2, 2), record("k", "4")), at(1, 2)},
		{"another writer's", func() model.Batch { b := delta("north", at(1, 3)); b.Instance = "y"; return b }(), model.Version{}},
		{"nothing is held", delta("south", at(1, 2)), model.Version{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			m := w.mesh("a")
			m.cfg.Store.Offer(full("north", at(1, 2), record("k", "2")))
			pulled := make(chan *hansev1.Have, 1)
			w.follows(m, func(_ *hansev1.SyncHello, stream hansev1.NodeService_SyncServer) error {
				if err := send(stream, welcome(1), tell(c.told)); err != nil {
					return err
				}
				message, err := stream.Recv()
				if err != nil {
					return err
				}
				pulled <- message.GetPull()
				answer := c.told
				answer.Full, answer.From = true, model.Version{}
				if err := send(stream, tell(answer)); err != nil {
					return err
				}
				<-stream.Context().Done()
				return nil
			})
			select {
			case have := <-pulled:
				if have.GetOrigin() != string(c.told.Origin) || codec.VersionFromProto(have.GetVersion()) != c.want {
					t.Errorf("it pulled %v, want %s from %v", have, c.told.Origin, c.want)
				}
			case <-w.ctx.Done():
				t.Fatal("nothing was pulled")
			}
			w.await("the answer is held", func() bool { o, _ := m.cfg.Store.Origin(c.told.Origin); return o.Version == c.told.To })
		})
	}
}

// TestManyGapsWaitForNobody has more gaps than a connection buffers pulls, told by a peer that reads none before it has told all.
func TestManyGapsWaitForNobody(t *testing.T) {
	w := newWorld(t)
	m := w.mesh("a")
	const origins = 5000
	asked, done := map[string]bool{}, make(chan error, 1)
	w.follows(m, func(_ *hansev1.SyncHello, stream hansev1.NodeService_SyncServer) error {
		err := send(stream, welcome(1))
		for i := 0; i < origins && err == nil; i++ {
			err = send(stream, tell(delta(fmt.Sprint("origin-", i), at(1, 2))))
		}
		for len(asked) < origins && err == nil {
			var message *hansev1.SyncRequest
			if message, err = stream.Recv(); err == nil {
				asked[message.GetPull().GetOrigin()] = true
			}
		}
		done <- err
		return err
	})
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-w.ctx.Done():
		t.Fatal("the two wait for each other")
	}
}

func TestAPeerThatDoesNotWelcomeIsNotFollowed(t *testing.T) {
	for name, first := range map[string]*hansev1.SyncResponse{
		"did not begin with a welcome": tell(full("north", at(1, 1))), "chose sync protocol 3": welcome(3), "chose sync protocol 0": welcome(0),
	} {
		w := newWorld(t)
		m := w.mesh("a")
		w.follows(m, func(_ *hansev1.SyncHello, stream hansev1.NodeService_SyncServer) error {
			return send(stream, first, tell(full("south", at(1, 1))))
		})
		w.await(name+" is told", func() bool { return w.hasLogged(name) })
		if p := m.Peers(); len(m.cfg.Store.Origins()) != 0 || p[0].Connected {
			t.Errorf("%s: %v, %v", name, p, m.cfg.Store.Origins())
		}
	}
}

func TestAStreamThatBreaksIsOpenedAgainWithWhatIsHeld(t *testing.T) {
	w := newWorld(t)
	m := w.mesh("a")
	hellos := make(chan *hansev1.SyncHello, 2)
	w.follows(m, func(h *hansev1.SyncHello, stream hansev1.NodeService_SyncServer) error {
		select {
		case hellos <- h:
		default:
			// Later attempts are not looked at.
		}
		return send(stream, welcome(2), tell(full("north", at(1, uint64(len(h.GetHave()))+1), record("k", "1"))))
	})
	want := []*hansev1.SyncHello{
		{ProtocolMin: 1, ProtocolMax: 2, Node: "a"},
		{ProtocolMin: 1, ProtocolMax: 2, Node: "a", Have: []*hansev1.Have{{
			Origin: "north", Version: codec.VersionToProto(at(1, 1)), ProducedAt: timestamppb.New(full("north", at(1, 1)).ProducedAt),
		}}},
	}
	for i := range want {
		select {
		case got := <-hellos:
			for j, have := range want[i].Have {
				have.Digest = m.cfg.Store.Digest(model.ClusterName(got.Have[j].Origin))
			}
			if !proto.Equal(got, want[i]) {
				t.Errorf("hello %d is\n%v\nwant\n%v", i, got, want[i])
			}
		case <-w.ctx.Done():
			t.Fatal("no hello came")
		}
	}
}

func TestAReasonIsToldOnce(t *testing.T) {
	w := newWorld(t)
	m := w.mesh("a")
	attempts := make(chan struct{})
	w.follows(m, func(_ *hansev1.SyncHello, stream hansev1.NodeService_SyncServer) error {
		select {
		case attempts <- struct{}{}:
		case <-stream.Context().Done():
		}
		return send(stream, welcome(9))
	})
	for range 4 {
		select {
		case <-attempts:
		case <-w.ctx.Done():
			t.Fatal("it gave up")
		}
	}
	if lines := w.logged(); len(lines) != 1 {
		t.Errorf("logged: %q", lines)
	}
}

func TestAPeerThatDoesNotAnswerIsNotWaitedForForEver(t *testing.T) {
	w := newWorld(t)
	m := w.mesh("a")
	c := clock.NewFake(time.Unix(0, 0))
	m.cfg.Clock = c
	asked := make(chan struct{})
	w.follows(m, func(_ *hansev1.SyncHello, stream hansev1.NodeService_SyncServer) error {
		asked <- struct{}{}
		<-stream.Context().Done()
		return nil
	})
	for range 2 {
		select {
		case <-asked:
		case <-w.ctx.Done():
			t.Fatal("it does not try again")
		}
		if err := c.BlockUntil(w.ctx, 1); err != nil {
			t.Fatal(err)
		}
		c.Advance(welcomeWait)
		w.await("somebody is told", func() bool { return w.hasLogged("no welcome came") })
		if err := c.BlockUntil(w.ctx, 1); err != nil {
			t.Fatal(err)
		}
		c.Advance(2 * time.Second)
	}
}
