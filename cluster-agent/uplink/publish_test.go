package uplink

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"pgregory.net/rapid"
)

func TestBatchesOfOneEpoch(t *testing.T) {
	n := newNode(t)
	r := start(t, []*node{n})
	r.Publish([]model.Record{service("pay", 1), service("cart", 1)}, nil)
	r.SetComplete()
	s := n.accept(t, welcome())
	full := s.expect("1.1 full +cart=1.1 1 +pay=1.1 1")
	if full.GetOrigin() != "bern" || full.GetInstance() != "i1" || full.GetTo().GetIncarnation() != 7 || !full.GetProducedAt().AsTime().Equal(r.clock.Now()) {
		t.Fatalf("the full batch says %v", full)
	}
	r.Publish([]model.Record{service("pay", 2)}, nil)
	delta := s.expect("1.2 +pay=1.2 2")
	if from := delta.GetFrom(); from.GetEpoch() != 1 || from.GetSeq() != 1 || from.GetIncarnation() != 7 {
		t.Fatalf("the delta is from %v", from)
	}
	r.Publish(nil, []string{service("cart", 1).Key(), "service/shop/never"})
	s.expect("1.3 -cart")
	r.clock.Advance(heartbeat)
	if beat := s.expect("1.3"); beat.GetFrom().GetSeq() != 3 || !beat.GetProducedAt().AsTime().Equal(r.clock.Now()) {
		t.Fatalf("the heartbeat says %v", beat)
	}
	if st := r.Stats(); !st.Connected || st.Node != "n1" || st.Records != 1 || st.Version.Seq != 3 {
		t.Fatalf("stats are %+v", st)
	}
}

func TestEpochContinuesAboveHeldAndPersisted(t *testing.T) {
	cases := map[string]struct {
		persisted   uint64
		incarnation uint64
		held        uint64
		want        uint64
	}{
		"held is larger":      {3, 7, 9, 10},
		"persisted is larger": {12, 7, 9, 13},
		"another incarnation": {3, 6, 9, 4},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			d := &disk{epoch: c.persisted}
			r := start(t, []*node{n}, func(cfg *Config) { cfg.Epochs = d })
			r.SetComplete()
			w := welcome()
			w.Held = &hansev1.Version{Incarnation: c.incarnation, Epoch: c.held, Seq: 4}
			b := n.accept(t, w).batch()
			if e, _ := d.LoadEpoch(); b.GetTo().GetEpoch() != c.want || e != c.want {
				t.Fatalf("epoch %d, persisted %d, want %d", b.GetTo().GetEpoch(), e, c.want)
			}
		})
	}
}

func TestAbsurdEpochIsNotBelieved(t *testing.T) {
	liar, honest := newNode(t), newNode(t)
	r := start(t, []*node{liar, honest}, realTime)
	r.SetComplete()
	w := welcome()
	w.Held = &hansev1.Version{Incarnation: 7, Epoch: ^uint64(0) - 1}
	liar.accept(t, w)
	honest.accept(t, welcome()).expect("1.1 full")
}

func TestCrashBetweenPersistAndSend(t *testing.T) {
	n := newNode(t)
	d := &disk{}
	stuck := make(chan struct{}, 1)
	release := make(chan struct{})
	t.Run("first life", func(t *testing.T) {
		r := start(t, []*node{n}, func(c *Config) {
			c.Epochs = d
			c.Sign = func(model.Record) (model.SignedRecord, error) {
				stuck <- struct{}{}
				<-release
				return model.SignedRecord{}, errors.New("the process dies here")
			}
		})
		r.Publish([]model.Record{service("pay", 1)}, nil)
		r.SetComplete()
		n.accept(t, welcome())
		receive(t, "signing", stuck)
		if e, _ := d.LoadEpoch(); e != 1 {
			t.Fatalf("epoch %d is persisted before its first use, want 1", e)
		}
		close(release)
	})
	r := start(t, []*node{n}, func(c *Config) { c.Epochs = d })
	r.Publish([]model.Record{service("pay", 1)}, nil)
	r.SetComplete()
	n.accept(t, welcome()).expect("2.1 full +pay=2.1 1")
}

func TestUnpersistedEpochIsNotUsed(t *testing.T) {
	n := newNode(t)
	d := &disk{err: errors.New("disk full"), tried: make(chan struct{}, 10)}
	r := start(t, []*node{n}, func(c *Config) { c.Epochs = d })
	r.SetComplete()
	s := n.accept(t, welcome())
	receive(t, "an attempt to persist", d.tried)
	r.SetBundle(model.SignedBundle{Statement: []byte("b1")})
	if b := s.read().GetBundle(); string(b.GetStatement()) != "b1" {
		t.Fatalf("got %v, want only the bundle", b)
	}
	if st := r.Stats(); !st.Connected || !strings.Contains(st.LastError, "disk full") || !st.LastSent.IsZero() {
		t.Fatalf("stats are %+v", st)
	}
	d.breaks(nil)
	r.clock.Advance(heartbeat)
	s.expect("1.1 full")
}

func TestNothingBeforeComplete(t *testing.T) {
	n := newNode(t)
	r := start(t, []*node{n})
	r.SetBundle(model.SignedBundle{Statement: []byte("b1")})
	s := n.accept(t, welcome())
	if b := s.read().GetBundle(); string(b.GetStatement()) != "b1" {
		t.Fatalf("got %v, want the bundle", b)
	}
	r.Publish([]model.Record{service("pay", 1)}, nil)
	r.clock.Advance(2 * heartbeat)
	r.SetBundle(model.SignedBundle{Statement: []byte("b2")})
	if b := s.read().GetBundle(); string(b.GetStatement()) != "b2" {
		t.Fatalf("got %v, want the next bundle and no batch before it", b)
	}
	r.Publish([]model.Record{service("cart", 1)}, nil)
	r.SetComplete()
	s.expect("1.1 full +cart=1.1 1 +pay=1.1 1")
}

func TestReconnectSignsAnew(t *testing.T) {
	n := newNode(t)
	r := start(t, []*node{n}, realTime)
	r.Publish([]model.Record{service("pay", 1)}, nil)
	r.SetBundle(model.SignedBundle{Statement: []byte("b1")})
	r.SetComplete()
	s := n.accept(t, welcome())
	s.read()
	s.expect("1.1 full +pay=1.1 1")
	s.end <- nil
	r.handler.expect(t, "connected n1 true")
	r.handler.expect(t, "connected n1 false")
	r.Publish([]model.Record{service("cart", 1)}, nil)
	s = n.accept(t, welcome())
	if s.read().GetBundle() == nil {
		t.Fatal("the bundle is not sent again")
	}
	s.expect("2.1 full +cart=2.1 1 +pay=2.1 1")
}

func TestUnsignableRecordHoldsUpNoOther(t *testing.T) {
	n := newNode(t)
	r := start(t, []*node{n}, func(c *Config) {
		c.Sign = func(rec model.Record) (model.SignedRecord, error) {
			sr, err := sign(rec)
			if strings.Contains(sr.Key, "huge") {
				sr.Record = make([]byte, codec.MaxRecord+1)
			}
			return sr, err
		}
	})
	r.Publish([]model.Record{service("bad", 1), service("huge", 1), service("pay", 1)}, nil)
	r.SetComplete()
	s := n.accept(t, welcome())
	s.expect("1.1 full +pay=1.1 1")
	// The node never had the bad one: it is told of no removal.
	r.Publish(nil, []string{service("bad", 1).Key(), service("pay", 1).Key()})
	s.expect("1.2 -pay")
}

func TestNodeAsksForFullState(t *testing.T) {
	n := newNode(t)
	r := start(t, []*node{n})
	r.Publish([]model.Record{service("pay", 1)}, nil)
	r.SetComplete()
	s := n.accept(t, welcome())
	s.expect("1.1 full +pay=1.1 1")
	r.clock.Advance(epochPause)
	s.send(&hansev1.SessionResponse{Message: &hansev1.SessionResponse_Resync{Resync: &hansev1.PublishResync{Reason: "gap"}}})
	s.expect("2.1 full +pay=2.1 1")
	r.Publish([]model.Record{service("pay", 2)}, nil)
	s.expect("2.2 +pay=2.2 2")
}

// TestSlowNodeGetsTheNewestState publishes far more than the stream takes while the node reads nothing: Publish must return, and
// what the node reads afterwards must lead to the last state in fewer batches than there were changes.
func TestSlowNodeGetsTheNewestState(t *testing.T) {
	const changes = 400
	n := newNode(t)
	r := start(t, []*node{n}, func(c *Config) {
		c.Sign = func(rec model.Record) (model.SignedRecord, error) {
			sr, err := sign(rec)
			sr.Record = append(sr.Record, strings.Repeat(" ", 32<<10)...)
			return sr, err
		}
	})
	r.SetComplete()
	s := n.accept(t, welcome())
	s.expect("1.1 full")
	for i := range changes {
		r.Publish([]model.Record{service("pay", i+1)}, nil)
	}
	for batches := 1; ; batches++ {
		b := s.batch()
		if got := strings.TrimSpace(text(b)); strings.HasSuffix(got, fmt.Sprint(" ", changes)) {
			if batches >= changes {
				t.Fatalf("%d batches for %d changes: nothing was merged", batches, changes)
			}
			return
		}
	}
}

func TestOverflowBeginsAnEpoch(t *testing.T) {
	n := newNode(t)
	stuck, release := make(chan struct{}, 100), make(chan struct{})
	r := start(t, []*node{n}, func(c *Config) {
		c.MaxRecords = 4
		c.Sign = func(rec model.Record) (model.SignedRecord, error) {
			if rec.Version.Seq > 1 {
				stuck <- struct{}{}
				<-release
			}
			return sign(rec)
		}
	})
	r.SetComplete()
	s := n.accept(t, welcome())
	s.expect("1.1 full")
	r.Publish([]model.Record{service("pay", 1)}, nil)
	receive(t, "the sender to be busy", stuck)
	for i := range 10 {
		rec := service(fmt.Sprint("s", i), 1)
		r.Publish([]model.Record{rec}, nil)
		r.Publish(nil, []string{rec.Key()})
	}
	r.clock.Advance(epochPause)
	close(release)
	s.expect("1.2 +pay=1.2 1")
	s.expect("2.1 full +pay=2.1 1")
}

func TestRecordsBeyondTheLimitWaitForRoom(t *testing.T) {
	d := newDesired(2)
	if refused := d.change([]model.Record{service("a", 1), service("b", 1), service("c", 1), service("c", 2)}, nil); refused != 2 {
		t.Fatalf("%d refused, want 2", refused)
	}
	d.change(nil, []string{service("a", 0).Key()})
	if got, _ := d.all(); len(got) != 2 || got[1].Key() != service("c", 0).Key() || len(got[1].Service.Identities) != 2 {
		t.Fatalf("after room was made the set is %+v", got)
	}
	if records, over := d.size(); records != 2 || over != 0 {
		t.Fatalf("size is %d and %d over", records, over)
	}
}

// TestLawDeltasLeadToTheDesiredSet follows random changes by all and delta, as the sender does, and compares with a plain map.
func TestLawDeltasLeadToTheDesiredSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDesired(6)
		truth, held := map[string]int{}, map[string]int{}
		follow := func() {
			if _, overflow := d.ready(); overflow || len(held) == 0 {
				clear(held)
				all, _ := d.all()
				for _, r := range all {
					held[r.Key()] = len(r.Service.Identities)
				}
			}
			upserts, removals := d.delta()
			for _, r := range upserts {
				held[r.Key()] = len(r.Service.Identities)
			}
			for _, k := range removals {
				delete(held, k)
			}
		}
		for i := range rapid.IntRange(0, 40).Draw(t, "n") {
			rec := service(rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, "name"), i)
			if rapid.Bool().Draw(t, "remove") {
				d.change(nil, []string{rec.Key()})
				delete(truth, rec.Key())
			} else {
				d.change([]model.Record{rec}, nil)
				truth[rec.Key()] = i
			}
			if rapid.Bool().Draw(t, "follow") {
				follow()
			}
		}
		follow()
		if fmt.Sprint(held) != fmt.Sprint(truth) {
			t.Fatalf("followed to %v, the set is %v", held, truth)
		}
	})
}
