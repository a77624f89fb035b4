package uplink

import (
	"slices"
	"testing"
	"time"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/internal/clock"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestAttempts(t *testing.T) {
	all := []string{"a", "b", "c", "d"}
	cases := []struct {
		servers  []string
		lastGood string
		want     []string
	}{
		{nil, "a", nil},
		{all, "", all},
		{all, "gone", all},
		{all, "b", []string{"c", "b", "d", "a"}},
		{all, "d", []string{"a", "d", "b", "c"}},
		{[]string{"a"}, "a", []string{"a"}},
	}
	for _, c := range cases {
		if got := attempts(c.servers, c.lastGood); !slices.Equal(got, c.want) {
			t.Errorf("attempts(%q, %q) = %q, want %q", c.servers, c.lastGood, got, c.want)
		}
	}
}

func TestMovesToAnotherNode(t *testing.T) {
	first, second := newNode(t), newNode(t)
	r := start(t, []*node{first, second}, realTime)
	r.Publish([]model.Record{service("pay", 1)}, nil)
	r.SetComplete()
	first.accept(t, welcome()).expect("1.1 full +pay=1.1 1")
	first.server.Stop()
	w := welcome()
	w.Node = "n2"
	second.accept(t, w).expect("2.1 full +pay=2.1 1")
	r.handler.expect(t, "connected n1 true")
	r.handler.expect(t, "connected n1 false")
	r.handler.expect(t, "connected n2 true")
}

func TestUnreachableNodeIsPassedOver(t *testing.T) {
	dead, alive := newNode(t), newNode(t)
	dead.server.Stop()
	r := start(t, []*node{dead, alive}, realTime)
	r.SetComplete()
	alive.accept(t, welcome()).expect("1.1 full")
}

func TestSilentNodeIsLeft(t *testing.T) {
	silent, alive := newNode(t), newNode(t)
	r := start(t, []*node{silent, alive})
	receive(t, "the first attempt", silent.sessions)
	r.clock.Advance(openTimeout)
	// The attempt ends on its own; what then waits on the clock is the pause before the next.
	if err := r.clock.BlockUntil(within(t), 1); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(maxPause)
	alive.accept(t, welcome())
	r.handler.expect(t, "connected n1 true")
}

func TestBadWelcomes(t *testing.T) {
	cases := map[string]*hansev1.SessionResponse{
		"no welcome": {Message: &hansev1.SessionResponse_State{State: &hansev1.State{}}},
		"empty":      {},
		"protocol":   {Message: &hansev1.SessionResponse_Welcome{Welcome: &hansev1.SessionWelcome{Protocol: 99, Incarnation: 7}}},
		"stranger":   {Message: &hansev1.SessionResponse_Welcome{Welcome: &hansev1.SessionWelcome{Protocol: model.ProtocolMax}}},
	}
	for name, m := range cases {
		t.Run(name, func(t *testing.T) {
			bad, good := newNode(t), newNode(t)
			r := start(t, []*node{bad, good}, realTime)
			s := receive(t, "a session", bad.sessions)
			s.t = t
			s.send(m)
			good.accept(t, welcome())
			r.handler.expect(t, "connected n1 true")
		})
	}
}

func TestImports(t *testing.T) {
	n := newNode(t)
	r := start(t, []*node{n}, func(c *Config) {
		c.Handler.(*handler).gap = func(b model.Batch) bool { return !b.Full }
	})
	s := n.accept(t, welcome())
	r.handler.expect(t, "connected n1 true")
	from, to := &hansev1.Version{Incarnation: 3, Epoch: 1, Seq: 4}, &hansev1.Version{Incarnation: 3, Epoch: 1, Seq: 5}
	delta := &hansev1.Batch{Origin: "zug", From: from, To: to}
	askedFor := func() {
		t.Helper()
		if got := s.read().GetResync().GetOrigin(); got != "zug" {
			t.Fatalf("the agent asks for %q, want zug", got)
		}
	}
	s.importBatch(delta)
	r.handler.expect(t, "import zug")
	askedFor()
	// A second gap before the answer asks for nothing more: the bundle is the next thing that the node hears.
	s.importBatch(delta)
	r.handler.expect(t, "import zug")
	r.SetBundle(model.SignedBundle{Statement: []byte("b")})
	if s.read().GetBundle() == nil {
		t.Fatal("the agent asked twice for one gap")
	}
	s.importBatch(&hansev1.Batch{Origin: "zug", To: to, Full: true})
	r.handler.expect(t, "import zug")
	s.importBatch(delta)
	r.handler.expect(t, "import zug")
	askedFor()
}

func TestGarbageIsIgnored(t *testing.T) {
	n := newNode(t)
	r := start(t, []*node{n})
	s := n.accept(t, welcome())
	r.handler.expect(t, "connected n1 true")
	for _, m := range []*hansev1.SessionResponse{
		{},
		{Message: &hansev1.SessionResponse_Welcome{Welcome: welcome()}},
		{Message: &hansev1.SessionResponse_Import{Import: &hansev1.Batch{}}},
		{Message: &hansev1.SessionResponse_Import{Import: &hansev1.Batch{Full: true, Upserts: []*hansev1.SignedRecord{{}}}}},
		{Message: &hansev1.SessionResponse_Dropped{Dropped: &hansev1.OriginDropped{Origin: "Not A Name"}}},
		{Message: &hansev1.SessionResponse_Dropped{Dropped: &hansev1.OriginDropped{Origin: "zug"}}},
		{Message: &hansev1.SessionResponse_Refused{Refused: &hansev1.Refusals{Refusals: []*hansev1.Refusal{{Key: "k", Reason: "r"}}}}},
		{Message: &hansev1.SessionResponse_State{State: &hansev1.State{Index: 5}}},
	} {
		s.send(m)
	}
	r.handler.expect(t, "dropped zug")
	r.handler.expect(t, "refused [{k r}]")
	r.handler.expect(t, "state 5")
}

// hurried is the real clock, but the long pause of a refused cluster passes at once and is counted.
type hurried struct {
	clock.Real
	long chan time.Duration
}

func (h hurried) NewTimer(d time.Duration) clock.Timer {
	if d == deniedPause {
		h.long <- d
		d = 0
	}
	return h.Real.NewTimer(d)
}

func TestRefusedClusterSlowsDown(t *testing.T) {
	n := newNode(t)
	c := hurried{long: make(chan time.Duration, 1)}
	start(t, []*node{n}, func(cfg *Config) { cfg.Clock = c })
	for range deniedLimit {
		if len(c.long) > 0 {
			t.Fatal("slowed down before the refusals could be trusted")
		}
		receive(t, "an attempt", n.sessions).end <- status.Error(codes.PermissionDenied, "not a member")
	}
	receive(t, "the long pause", c.long)
	n.accept(t, welcome())
}

func TestAnOriginIsAskedForOnRequest(t *testing.T) {
	n := newNode(t)
	r := start(t, []*node{n})
	// Without a session there is nobody to ask.
	r.Resync("zug")
	s := n.accept(t, welcome())
	r.handler.expect(t, "connected n1 true")
	r.Resync("zug")
	r.Resync("zug")
	if got := s.read().GetResync().GetOrigin(); got != "zug" {
		t.Fatalf("asked for %q, want zug", got)
	}
	s.importBatch(&hansev1.Batch{Origin: "zug", Full: true, To: &hansev1.Version{Incarnation: 1, Epoch: 1, Seq: 1}})
	r.handler.expect(t, "import zug")
	r.Resync("bern")
	if got := s.read().GetResync().GetOrigin(); got != "bern" {
		t.Fatalf("asked for %q, want bern: zug was asked for twice", got)
	}
}
