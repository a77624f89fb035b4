package uplink

import (
	"context"
	"strings"
	"testing"
	"time"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

func (s *talk) tellPublisher(instance string, epoch, seq uint64, fresh bool) {
	s.t.Helper()
	s.send(&hansev1.SessionResponse{Message: &hansev1.SessionResponse_Publisher{Publisher: &hansev1.Publisher{
		Instance: instance, Held: &hansev1.Version{Incarnation: 7, Epoch: epoch, Seq: seq}, Fresh: fresh,
	}}})
}

// barrier returns when the agent has handled what was sent before.
func (r *rig) barrier(t *testing.T, s *talk) {
	t.Helper()
	s.send(&hansev1.SessionResponse{Message: &hansev1.SessionResponse_State{State: &hansev1.State{Index: 77}}})
	for receive(t, "the handler", r.handler.events) != "state 77" {
	}
}

func TestASupersededAgentWaitsForSilence(t *testing.T) {
	n := newNode(t)
	r := start(t, []*node{n})
	r.Publish([]model.Record{service("pay", 1)}, nil)
	r.SetComplete()
	s := n.accept(t, welcome())
	s.expect("1.1 full +pay=1.1 1")
	s.tellPublisher("i1", 1, 1, true)
	s.tellPublisher("other", 4, 2, true)
	r.barrier(t, s)
	r.clock.Advance(heartbeat)
	// The sign of life is of the old version; changes wait.
	s.expect("1.1")
	r.Publish([]model.Record{service("pay", 2)}, nil)
	r.clock.Advance(heartbeat)
	s.expect("1.1")
	if st := r.Stats(); st.SupersededBy != "other" || !st.Connected {
		t.Errorf("stats %+v", st)
	}
	s.importBatch(&hansev1.Batch{Origin: "us", Full: true, To: &hansev1.Version{Incarnation: 1, Epoch: 1, Seq: 1}})
	r.handler.expect(t, "import us")
	s.tellPublisher("other", 4, 6, false)
	s.expect("5.1 full +pay=5.1 2")
	s.tellPublisher("i1", 5, 1, true)
	r.Publish([]model.Record{service("pay", 3)}, nil)
	s.expect("5.2 +pay=5.2 3")
	if st := r.Stats(); st.SupersededBy != "" {
		t.Errorf("stats %+v", st)
	}
}

func TestASupersededAgentStaysSoInTheNextSession(t *testing.T) {
	n := newNode(t)
	r := start(t, []*node{n}, realTime)
	r.SetComplete()
	s := n.accept(t, welcome())
	s.expect("1.1 full")
	s.tellPublisher("other", 2, 1, true)
	r.barrier(t, s)
	s.end <- nil
	s = n.accept(t, welcome())
	// The first sign of life comes at once.
	s.expect("1.1")
	s.tellPublisher("other", 2, 1, false)
	s.expect("3.1 full")
}

// A process that was frozen while another one took over learns that before it publishes; a node that says nothing does not stop it.
func TestAProcessThatHasPublishedHearsFirst(t *testing.T) {
	n := newNode(t)
	r := start(t, []*node{n}, realTime)
	r.Publish([]model.Record{service("pay", 1)}, nil)
	r.SetComplete()
	s := n.greet(t, welcome())
	s.expect("1.1 full +pay=1.1 1")
	s.end <- nil
	s = n.greet(t, welcome())
	s.tellPublisher("other", 2, 1, true)
	s.expect("1.1")
	s.tellPublisher("other", 2, 1, false)
	s.expect("3.1 full +pay=3.1 1")
	s.tellPublisher("i1", 3, 1, true)
	s.end <- nil
	s = n.greet(t, welcome())
	s.expect("4.1 full +pay=4.1 1")
}

func TestAWordAboutAnotherMembershipCountsForNothing(t *testing.T) {
	n := newNode(t)
	r := start(t, []*node{n})
	r.SetComplete()
	s := n.accept(t, welcome())
	s.expect("1.1 full")
	s.send(&hansev1.SessionResponse{Message: &hansev1.SessionResponse_Publisher{Publisher: &hansev1.Publisher{
		Instance: "other", Held: &hansev1.Version{Incarnation: 8, Epoch: 9, Seq: 9}, Fresh: true,
	}}})
	r.barrier(t, s)
	r.Publish([]model.Record{service("pay", 1)}, nil)
	s.expect("1.2 +pay=1.2 1")
}

func TestAnAbsurdWordEndsTheSession(t *testing.T) {
	liar, honest := newNode(t), newNode(t)
	r := start(t, []*node{liar, honest}, realTime)
	r.SetComplete()
	s := liar.accept(t, welcome())
	s.expect("1.1 full")
	s.tellPublisher("other", 1<<63, 1, true)
	honest.accept(t, welcome()).expect("2.1 full")
}

func TestRemovalsAreConfirmed(t *testing.T) {
	n := newNode(t)
	r := start(t, []*node{n})
	r.Publish([]model.Record{service("pay", 1), service("cart", 1), service("toys", 1)}, nil)
	r.SetComplete()
	s := n.accept(t, welcome())
	if b := s.expect("1.1 full +cart=1.1 1 +pay=1.1 1 +toys=1.1 1"); b.GetRemovalsConfirmed() {
		t.Error("what nobody confirmed is confirmed")
	}
	r.Publish(nil, []string{service("cart", 1).Key()})
	s.expect("1.2 -cart")
	r.clock.Advance(epochPause)
	confirmed := make(chan error, 1)
	go func() { confirmed <- r.ConfirmRemovals(t.Context()) }()
	if b := s.expect("2.1 full +pay=2.1 1 +toys=2.1 1"); !b.GetRemovalsConfirmed() {
		t.Error("the state does not carry the confirmation")
	}
	if err := receive(t, "the confirmation", confirmed); err != nil {
		t.Error(err)
	}
	// Another epoch says so again, until more is withdrawn.
	resync := func() {
		r.clock.Advance(epochPause)
		s.send(&hansev1.SessionResponse{Message: &hansev1.SessionResponse_Resync{Resync: &hansev1.PublishResync{}}})
	}
	resync()
	if b := s.expect("3.1 full +pay=3.1 1 +toys=3.1 1"); !b.GetRemovalsConfirmed() {
		t.Error("the confirmation is forgotten")
	}
	r.Publish(nil, []string{service("toys", 1).Key()})
	s.expect("3.2 -toys")
	resync()
	if b := s.expect("4.1 full +pay=4.1 1"); b.GetRemovalsConfirmed() {
		t.Error("what was withdrawn later is confirmed, too")
	}
}

func TestAConfirmationWaitsForASession(t *testing.T) {
	r := start(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.ConfirmRemovals(ctx); err == nil {
		t.Error("confirmed without a session")
	}
}

func TestStatedTimesNeverGoBack(t *testing.T) {
	n := newNode(t)
	r := start(t, []*node{n})
	r.SetComplete()
	s := n.accept(t, welcome())
	last := s.expect("1.1 full").GetProducedAt().AsTime()
	for i := range 3 {
		r.Publish([]model.Record{service("pay", i)}, nil)
		b := s.batch()
		if at := b.GetProducedAt().AsTime(); !at.After(last) || at.Sub(r.clock.Now()) > 10*time.Millisecond || !strings.Contains(text(b), "pay") {
			t.Fatalf("%s at %v after %v", text(b), at, last)
		} else {
			last = at
		}
	}
}
