package spread

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
)

func version(epoch, seq uint64) model.Version {
	return model.Version{Incarnation: 1, Epoch: epoch, Seq: seq}
}

func fullState(origin model.ClusterName, v model.Version, bodies ...string) model.Batch {
	b := model.Batch{Origin: origin, Full: true, To: v, Instance: "i", ProducedAt: start}
	for i, body := range bodies {
		b.Upserts = append(b.Upserts, record(fmt.Sprint(i), body))
	}
	return b
}

func delta(origin model.ClusterName, from, to model.Version, body string) model.Batch {
	b := fullState(origin, to, body)
	b.Full, b.From = false, from
	return b
}

func holding(batches ...model.Batch) *catalog.Catalog {
	c := catalog.New(catalog.Limits{})
	for _, b := range batches {
		c.Merge(b)
	}
	return c
}

// everything is what a teller sends at a time, one line per message.
func everything(t *Teller, now time.Time) []string {
	var out []string
	for {
		m, ok := t.Next(now)
		switch {
		case !ok:
			return out
		case m.Batch == nil:
			line := "haves"
			for _, h := range m.Haves {
				line += fmt.Sprintf(" %s@%d.%d", h.Origin, h.Version.Epoch, h.Version.Seq)
			}
			out = append(out, line)
		case m.Batch.Full:
			out = append(out, fmt.Sprintf("full %s@%d.%d", m.Batch.Origin, m.Batch.To.Epoch, m.Batch.To.Seq))
		case m.Batch.From == m.Batch.To:
			out = append(out, fmt.Sprintf("confirm %s@%d.%d", m.Batch.Origin, m.Batch.To.Epoch, m.Batch.To.Seq))
		default:
			out = append(out, fmt.Sprintf("delta %s@%d.%d", m.Batch.Origin, m.Batch.To.Epoch, m.Batch.To.Seq))
		}
	}
}

func expect(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestATellerOffersPushesAndAnswers(t *testing.T) {
	c := holding(fullState("x", version(1, 1), "1"), fullState("y", version(1, 1), "1"))
	teller := NewTeller(c, 2, DefaultTiming())
	teller.Hello([]Have{{Origin: "y", Version: version(1, 1), ProducedAt: start, Digest: c.Digest("y")}}, start)
	expect(t, "what the hello lacks is offered", everything(teller, start), "haves x@1.1")
	expect(t, "once", everything(teller, start))

	c.Merge(delta("y", version(1, 1), version(1, 2), "2"))
	teller.Changed("y", start)
	expect(t, "a change is pushed", everything(teller, start), "delta y@1.2")
	teller.Changed("y", start)
	expect(t, "once", everything(teller, start))

	teller.Pull("x", model.Version{})
	teller.Pull("unknown", model.Version{})
	expect(t, "a pull is answered", everything(teller, start), "full x@1.1")
	teller.Pull("x", version(1, 1))
	expect(t, "if only by a confirmation", everything(teller, start), "confirm x@1.1")
	teller.Pull("x", version(9, 9))
	expect(t, "unless the other is ahead", everything(teller, start))

	// The same version with other content is stated in full.
	other := holding(fullState("x", version(1, 1), "another"))
	teller = NewTeller(c, 2, DefaultTiming())
	teller.Hello([]Have{{Origin: "x", Version: version(1, 1), Digest: other.Digest("x")}, {Origin: "y", Version: version(1, 2), ProducedAt: start}}, start)
	expect(t, "a clone", everything(teller, start), "full x@1.1")
}

func TestAPrunedLinkTellsOfWhatCouldBePulled(t *testing.T) {
	c := holding(fullState("x", version(1, 1), "1"), fullState("y", version(1, 1), "1"))
	timing := DefaultTiming()
	teller := NewTeller(c, 2, timing)
	teller.Hello([]Have{{Origin: "x", Version: version(1, 1), ProducedAt: start}, {Origin: "y", Version: version(1, 1), ProducedAt: start}}, start)
	teller.Prune("x")
	teller.Prune("y")
	for seq := uint64(2); seq < 9; seq++ {
		c.Merge(delta("x", version(1, seq-1), version(1, seq), "2"))
		teller.Changed("x", start)
	}
	expect(t, "news are gathered", everything(teller, start))
	due, ok := teller.Due()
	if !ok || !due.Equal(start.Add(timing.Gather)) {
		t.Fatalf("due %v, %v", due, ok)
	}
	expect(t, "then told once", everything(teller, due), "haves x@1.8")
	if _, ok := teller.Due(); ok {
		t.Error("something is still due")
	}
	// Confirmations are news, too, but less urgent.
	alive := model.Batch{Origin: "y", From: version(1, 1), To: version(1, 1), ProducedAt: start.Add(time.Second), Instance: "i"}
	c.Merge(alive)
	teller.Changed("y", start)
	expect(t, "confirmations are gathered for longer", everything(teller, start.Add(timing.Gather)))
	expect(t, "and told once", everything(teller, start.Add(timing.Confirm)), "haves y@1.1")
	// A pull makes the link eager again.
	teller.Pull("x", version(1, 7))
	expect(t, "answer", everything(teller, start), "delta x@1.8")
	c.Merge(delta("x", version(1, 8), version(1, 9), "9"))
	teller.Changed("x", start)
	expect(t, "push", everything(teller, start), "delta x@1.9")
	// A change that waits to be sent when the prune comes is told of instead.
	c.Merge(delta("x", version(1, 9), version(1, 10), "10"))
	teller.Changed("x", start)
	teller.Prune("x")
	expect(t, "pruned", everything(teller, start))
	expect(t, "news", everything(teller, start.Add(timing.Gather)), "haves x@1.10")
}

func TestLargeStatesArePushedToThoseWhoAsked(t *testing.T) {
	timing := DefaultTiming()
	timing.Unasked = 100
	c := holding(fullState("x", version(1, 1), string(make([]byte, 101))))
	teller := NewTeller(c, 2, timing)
	teller.Hello(nil, start)
	expect(t, "offer", everything(teller, start), "haves x@1.1")
	c.Merge(fullState("x", version(2, 1), string(make([]byte, 101))))
	teller.Changed("x", start)
	expect(t, "not pushed", everything(teller, start))
	expect(t, "but told of", everything(teller, start.Add(timing.Gather)), "haves x@2.1")
	teller.Pull("x", model.Version{})
	expect(t, "asked for", everything(teller, start), "full x@2.1")
	c.Merge(fullState("x", version(3, 1), string(make([]byte, 101))))
	teller.Changed("x", start)
	expect(t, "pushed from then on", everything(teller, start), "full x@3.1")
}

func TestAPeerOfProtocolOneIsToldBatchesOnly(t *testing.T) {
	timing := DefaultTiming()
	timing.Unasked = 0
	c := holding(fullState("x", version(1, 1), "1"), fullState("y", version(1, 1), "1"))
	teller := NewTeller(c, 1, timing)
	teller.Hello(nil, start)
	teller.Prune("x")
	expect(t, "hello", everything(teller, start), "full x@1.1", "full y@1.1")
	c.Merge(delta("x", version(1, 1), version(1, 2), "2"))
	teller.Changed("x", start)
	expect(t, "change", everything(teller, start), "delta x@1.2")
}

func TestATellerSendsManyHavesInParts(t *testing.T) {
	c := catalog.New(catalog.Limits{})
	for i := range maxHaves*2 + 1 {
		c.Merge(fullState(model.ClusterName(fmt.Sprint("x", i)), version(1, 1)))
	}
	teller := NewTeller(c, 2, DefaultTiming())
	teller.Hello(nil, start)
	messages, told := 0, 0
	for {
		m, ok := teller.Next(start)
		if !ok {
			break
		}
		messages++
		told += len(m.Haves)
	}
	if messages != 3 || told != maxHaves*2+1 {
		t.Errorf("%d haves in %d messages", told, messages)
	}
}

// TestATellerForgetsWhatNobodyHolds has a peer claim to hold far more than there is, and origins come and go.
func TestATellerForgetsWhatNobodyHolds(t *testing.T) {
	c := catalog.New(catalog.Limits{Origins: 10})
	teller := NewTeller(c, 2, DefaultTiming())
	claims := make([]Have, 3*maxOrigins)
	for i := range claims {
		claims[i] = Have{Origin: model.ClusterName(fmt.Sprint("claimed-", i)), Version: version(1, 1)}
	}
	teller.Hello(claims, start)
	for i := range 2 * maxOrigins {
		name := model.ClusterName(fmt.Sprint("x", i))
		c.Merge(fullState(name, version(1, 1)))
		teller.Changed(name, start)
		everything(teller, start)
		c.Forget(name)
	}
	if n := len(teller.origins); n > 2*maxOrigins {
		t.Errorf("%d origins are remembered", n)
	}
}
