package server

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/state"
)

// hears reads until the node tells of a publisher as wanted.
func (l *link) hears(instance string, epoch uint64, fresh bool) {
	l.t.Helper()
	l.until(fmt.Sprint(instance, " publishes, fresh ", fresh), func() bool {
		return l.publisher.GetInstance() == instance && l.publisher.GetHeld().GetEpoch() == epoch && l.publisher.GetFresh() == fresh
	})
}

// beats confirms the last version at a time of the origin's clock.
func (l *link) beats(after time.Duration) {
	l.t.Helper()
	l.send(&hansev1.SessionRequest{Message: &hansev1.SessionRequest_Batch{Batch: &hansev1.Batch{
		Origin: string(l.agent.name), From: codec.VersionToProto(l.version), To: codec.VersionToProto(l.version), Instance: l.instance,
		ProducedAt: timestamppb.New(start.Add(after)),
	}}})
}

func TestAClonedAgentOfAnOldProtocolLosesItsSession(t *testing.T) {
	f := newFederation(t)
	a := f.join("alpha")
	first := f.connect(t, "n1", a, "i1")
	hello := f.hello(a, "i2")
	hello.ProtocolMax = 1
	second := f.open(t, "n2", a, hello)
	second.version = first.version
	find(second, (*hansev1.SessionResponse).GetState)
	observer := f.connect(t, "n1", f.join("beta"), "o")
	f.putRule("all", toAll)
	first.publish(nil, first.service("shop", "cart"))
	observer.sees("alpha", serviceKey("cart"))
	second.publish(nil, second.service("shop", "cart"))
	refusedWith(t, second.ended(), codes.Aborted, "i1", "i2", "epoch 1")
	// A process that starts anew takes over with a newer epoch, and the first one learns it in the same way.
	third := f.connect(t, "n2", a, "i3")
	if third.version.Epoch != 2 {
		t.Fatalf("a new process begins with epoch %d", third.version.Epoch)
	}
}

func TestAnAgentIsToldWhoPublishes(t *testing.T) {
	f := newFederation(t)
	f.putRule("all", toAll)
	a := f.join("alpha")
	first := f.connect(t, "n1", a, "i1")
	if p := first.publisher; p == nil || p.GetInstance() != "" || p.GetFresh() {
		t.Fatalf("before anything was published: %v", p)
	}
	first.publish(nil, first.service("shop", "cart"))
	first.hears("i1", 1, true)
	second := f.connect(t, "n2", a, "i2")
	second.hears("i1", 1, true)
	second.publish(nil, second.service("shop", "cart"))
	second.hears("i2", 2, true)
	first.hears("i2", 2, true)
	if got := f.rivals("n1"); len(got) != 0 {
		t.Errorf("a restart looks like a clone: %v", got)
	}
	// What the first one says now counts for nothing, and shows that it lives.
	first.publish(nil, first.service("shop", "toys"))
	find(first, (*hansev1.SessionResponse).GetPublisher)
	if got := f.rivals("n1"); !slices.Equal(got, []string{"i1"}) {
		t.Errorf("the rivals are %v", got)
	}
	observer := f.connect(t, "n1", f.join("beta"), "o")
	observer.sees("alpha", serviceKey("cart"))
	// Silence is told, whatever the agent's clock says, and its end.
	f.clock.Advance(publisherSilence)
	first.hears("i2", 2, false)
	second.beats(time.Hour)
	first.hears("i2", 2, true)
	f.clock.Advance(publisherSilence)
	first.hears("i2", 2, false)
	first.version.Epoch, first.version.Seq = 3, 0
	first.publish(nil, first.service("shop", "toys"))
	observer.sees("alpha", serviceKey("toys"))
	second.hears("i1", 3, true)
	if got := f.rivals("n1"); len(got) != 0 {
		t.Errorf("the publisher is its own rival: %v", got)
	}
}

func (f *federation) rivals(node string) []string {
	f.t.Helper()
	o, ok := f.store.Origin("alpha")
	if !ok {
		f.t.Fatal("alpha has not published")
	}
	return f.nodes[node].Feed(o).Rivals
}

// TestARejoinedClustersOldAgentPublishesNothing removes a cluster and lets it join again: whatever its old agent does, it is refused.
func TestARejoinedClustersOldAgentPublishesNothing(t *testing.T) {
	f := newFederation(t)
	f.putRule("all", toAll)
	old := f.join("alpha")
	before := f.connect(t, "n1", old, "i1")
	observer := f.connect(t, "n1", f.join("beta"), "o")
	before.publish(nil, before.service("shop", "cart"))
	observer.sees("alpha", serviceKey("cart"))
	f.propose(state.RemoveCluster{Name: "alpha"})
	observer.until("alpha is gone", func() bool { return observer.held["alpha"] == nil })
	refusedWith(t, before.ended(), codes.PermissionDenied, "not a member")
	f.createToken("again", model.TokenCluster, func(tok *model.Token) { tok.ClusterPrefix, tok.Cluster = "", "alpha" })
	next := f.rejoin("again", "alpha")
	after := f.connect(t, "n1", next, "i2")
	f.clock.forget()
	again := f.open(t, "n1", old, f.hello(old, "i3"))
	f.clock.fire(f.ctx, t, memberWait)
	refusedWith(t, again.ended(), codes.PermissionDenied, "key was replaced")
	// Its records cannot be replayed by the new agent either: neither in the old membership nor as the new one's.
	forged := before.sign(before.service("shop", "cart"))
	after.publish(func(b *hansev1.Batch) { b.Upserts = append(b.Upserts, forged) }, after.service("shop", "toys"))
	refused := find(after, (*hansev1.SessionResponse).GetRefused)
	if len(refused.GetRefusals()) != 1 || refused.GetRefusals()[0].GetKey() != serviceKey("cart") {
		t.Errorf("refused: %v", refused)
	}
	observer.sees("alpha", serviceKey("toys"))
	after.publish(func(b *hansev1.Batch) { b.Full, b.To.Incarnation = true, old.cluster.Incarnation })
	refusedWith(t, after.ended(), codes.FailedPrecondition, "incarnation")
}

func TestAgesAreByThisNodesClock(t *testing.T) {
	f := newFederation(t)
	l := f.connect(t, "n1", f.join("alpha"), "i1")
	age := func() time.Duration {
		o, _ := f.store.Origin("alpha")
		return f.nodes["n1"].Feed(o).Age
	}
	l.publish(func(b *hansev1.Batch) { b.ProducedAt = timestamppb.New(start.Add(-3 * time.Hour)) }, l.service("shop", "cart"))
	l.hears("i1", 1, true)
	if got := age(); got != 3*time.Hour {
		t.Errorf("at first sight %v", got)
	}
	f.clock.Advance(time.Second)
	l.beats(-3*time.Hour + 2*time.Second)
	ctx, cancel := context.WithCancel(f.ctx)
	done := make(chan struct{})
	go func() { defer close(done); _ = f.nodes["n1"].watchFeeds(ctx) }()
	for age() != 0 {
		if f.ctx.Err() != nil {
			t.Fatalf("after a sign of life %v", age())
		}
	}
	f.clock.Advance(time.Minute)
	if got := age(); got != time.Minute {
		t.Errorf("a minute later %v", got)
	}
	cancel()
	<-done
}

func TestSessionsOfOneClusterAreBounded(t *testing.T) {
	f := newFederation(t)
	a := f.join("alpha")
	for i := range maxSessions {
		f.connect(t, "n1", a, fmt.Sprint("i", i))
	}
	refusedWith(t, f.open(t, "n1", a, f.hello(a, "one more")).ended(), codes.ResourceExhausted, "alpha", "8 sessions", "n1")
	f.connect(t, "n1", f.join("beta"), "i1")
	f.connect(t, "n2", a, "one more")
}

func TestFeedsOfForgottenOriginsAreForgotten(t *testing.T) {
	s := feeds{seen: map[model.ClusterName]sight{}}
	for n := range 3 {
		s.note(catalog.Origin{Name: model.ClusterName(fmt.Sprint("c", n))}, start)
	}
	s.forget([]catalog.Origin{{Name: "c1"}})
	if len(s.seen) != 1 {
		t.Errorf("kept: %v", s.seen)
	}
}
