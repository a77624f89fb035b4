package catalog

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

func version(epoch, seq uint64) model.Version {
	return model.Version{Incarnation: 7, Epoch: epoch, Seq: seq}
}

func full(epoch, seq uint64, records ...model.SignedRecord) model.Batch {
	return model.Batch{Origin: alpha, Full: true, To: version(epoch, seq), Upserts: records, Instance: "x", ProducedAt: start}
}

func delta(epoch, from, to uint64, records ...model.SignedRecord) model.Batch {
	return model.Batch{Origin: alpha, From: version(epoch, from), To: version(epoch, to), Upserts: records, Instance: "x", ProducedAt: start}
}

func without(b model.Batch, keys ...string) model.Batch {
	b.Removals = keys
	return b
}

func from(b model.Batch, instance string) model.Batch {
	b.Instance = instance
	return b
}

func at(b model.Batch, d time.Duration) model.Batch {
	b.ProducedAt = start.Add(d)
	return b
}

func keysOf(c *Catalog) string {
	records, _ := c.Records(alpha)
	var out []string
	for key, r := range records {
		out = append(out, key+"="+string(r.Record))
	}
	slices.Sort(out)
	return fmt.Sprint(out)
}

func TestMerge(t *testing.T) {
	a1, a2, b1 := signed("a", "1"), signed("a", "2"), signed("b", "1")
	for _, c := range []struct {
		name    string
		held    []model.Batch
		batch   model.Batch
		outcome Outcome
		content string
	}{
		{"first full state", nil, full(1, 1, a1), Outcome{Changed: true, Held: version(1, 1)}, "[a=1]"},
		{"delta on nothing", nil, delta(1, 1, 2, a1), Outcome{Gap: true}, "[]"},
		{"confirmation of what is not held", nil, delta(1, 1, 1), Outcome{Gap: true}, "[]"},
		{"delta that leads on", []model.Batch{full(1, 1, a1)}, without(delta(1, 1, 2, b1), "a"), Outcome{Changed: true, Held: version(1, 2)}, "[b=1]"},
		{"delta from further back", []model.Batch{full(1, 2, a1)}, delta(1, 1, 3, a2), Outcome{Changed: true, Held: version(1, 3)}, "[a=2]"},
		{"delta over a gap", []model.Batch{full(1, 1, a1)}, delta(1, 2, 3, b1), Outcome{Gap: true, Held: version(1, 1)}, "[a=1]"},
		{"delta of another epoch", []model.Batch{full(1, 1, a1)}, delta(2, 1, 2, b1), Outcome{Gap: true, Held: version(1, 1)}, "[a=1]"},
		{"delta that is known", []model.Batch{full(1, 2, a1)}, delta(1, 1, 2, b1), Outcome{Held: version(1, 2)}, "[a=1]"},
		{"newer epoch in full", []model.Batch{full(1, 9, a1)}, full(2, 1, b1), Outcome{Changed: true, Held: version(2, 1)}, "[b=1]"},
		{"older state in full", []model.Batch{full(2, 1, a1)}, full(1, 9, b1), Outcome{Held: version(2, 1)}, "[a=1]"},
		{"confirmation", []model.Batch{full(1, 1, a1)}, at(delta(1, 1, 1), time.Second), Outcome{Refreshed: true, Held: version(1, 1)}, "[a=1]"},
		{"confirmation from the past", []model.Batch{full(1, 1, a1)}, at(delta(1, 1, 1), -time.Second), Outcome{Held: version(1, 1)}, "[a=1]"},
		{"same state again", []model.Batch{full(1, 1, a1)}, full(1, 1, a1), Outcome{Held: version(1, 1)}, "[a=1]"},
		{"clone's delta", []model.Batch{full(1, 1, a1)}, from(delta(1, 1, 2, b1), "y"), Outcome{Gap: true, Clone: true, Held: version(1, 1)}, "[a=1]"},
		{"clone's confirmation", []model.Batch{full(1, 1, a1)}, from(delta(1, 1, 1), "y"), Outcome{Gap: true, Clone: true, Held: version(1, 1)}, "[a=1]"},
		{"clone's older delta", []model.Batch{full(1, 3, a1)}, from(delta(1, 1, 2, b1), "y"), Outcome{Clone: true, Held: version(1, 3)}, "[a=1]"},
		{"another process in its own epoch", []model.Batch{full(1, 3, a1)}, from(full(2, 1, b1), "y"), Outcome{Changed: true, Held: version(2, 1)}, "[b=1]"},
		{"no version", nil, model.Batch{Origin: alpha, Full: true, Upserts: []model.SignedRecord{a1}}, Outcome{Err: errAny}, "[]"},
		{"no version, as a delta", nil, model.Batch{Origin: alpha, Upserts: []model.SignedRecord{a1}}, Outcome{Err: errAny}, "[]"},
		{"delta on nothing from zero", nil, model.Batch{Origin: alpha, To: model.Version{Seq: 1}, Upserts: []model.SignedRecord{a1}}, Outcome{Gap: true}, "[]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			held := mergeAll(c.held...)
			got := held.Merge(c.batch)
			if got.Err != nil {
				got.Err = errAny
			}
			if got != c.outcome {
				t.Errorf("outcome %+v, want %+v", got, c.outcome)
			}
			if content := keysOf(held); content != c.content {
				t.Errorf("content %s, want %s", content, c.content)
			}
		})
	}
}

var errAny = fmt.Errorf("any")

func TestLimitsRefuseAndChangeNothing(t *testing.T) {
	c := New(Limits{Records: 2, Bytes: 60, Origins: 1})
	c.Merge(full(1, 1, signed("a", "1"), signed("b", "1")))
	held := observe(c)
	other := full(1, 1)
	other.Origin = "beta"
	for name, b := range map[string]model.Batch{
		"records":         delta(1, 1, 2, signed("c", "1")),
		"records in full": full(2, 1, signed("a", "1"), signed("b", "1"), signed("c", "1")),
		"bytes":           delta(1, 1, 2, signed("b", "a body so long that it does not fit")),
		"bytes in full":   full(2, 1, signed("a", "a body so long that it does not fit")),
		"origins":         other,
	} {
		if out := c.Merge(b); out.Err == nil || out.Changed {
			t.Errorf("%s: outcome %+v", name, out)
		}
		if now := observe(c); !reflect.DeepEqual(now, held) {
			t.Fatalf("%s: it changed to %v", name, now)
		}
	}
	// What a delta frees counts before what it brings.
	if out := c.Merge(without(delta(1, 1, 2, signed("c", "1")), "a")); out.Err != nil || keysOf(c) != "[b=1 c=1]" {
		t.Errorf("a swap within the limits: %+v, %s", out, keysOf(c))
	}
	c.Forget(alpha)
	if out := c.Merge(other); out.Err != nil {
		t.Errorf("after Forget: %v", out.Err)
	}
}

func TestSinceTellsOnlyWhatIsMissing(t *testing.T) {
	c := mergeAll(full(1, 1, signed("a", "1"), signed("b", "1"), signed("c", "1")))
	c.Merge(delta(1, 1, 2, signed("a", "2")))
	c.Merge(without(delta(1, 2, 3), "b"))
	c.Merge(without(delta(1, 3, 4, signed("b", "4")), "c"))
	for _, tt := range []struct {
		have    model.Version
		full    bool
		upserts string
		removed string
	}{
		{version(1, 3), false, "[b]", "[c]"},
		{version(1, 2), false, "[b]", "[c]"},
		{version(1, 1), false, "[a b]", "[c]"},
		{version(1, 0), true, "[a b]", "[]"},
		{model.Version{}, true, "[a b]", "[]"},
		{version(0, 9), true, "[a b]", "[]"},
		{model.Version{Incarnation: 6, Epoch: 1, Seq: 3}, true, "[a b]", "[]"},
	} {
		b, ok := c.Since(alpha, tt.have)
		var upserts []string
		for _, r := range b.Upserts {
			upserts = append(upserts, r.Key)
		}
		if !ok || b.Full != tt.full || fmt.Sprint(upserts) != tt.upserts || fmt.Sprint(b.Removals) != tt.removed {
			t.Errorf("since %v: %v, full %v, upserts %v, removals %v; want %+v", tt.have, ok, b.Full, upserts, b.Removals, tt)
		}
	}
	for _, have := range []model.Version{version(1, 4), version(1, 5), version(2, 1)} {
		if b, ok := c.Since(alpha, have); ok {
			t.Errorf("since %v: %+v", have, b)
		}
	}
}

// TestARemovalIsToldThoughTheRecordWasNeverHeld: a came at 2 and went at 3; who went from 1 to 3 in one step must still tell who stands at 2.
func TestARemovalIsToldThoughTheRecordWasNeverHeld(t *testing.T) {
	c := mergeAll(full(1, 1), without(delta(1, 1, 3), "a"))
	behind := mergeAll(full(1, 1), delta(1, 1, 2, signed("a", "1")))
	b, _ := c.Since(alpha, version(1, 2))
	if behind.Merge(b); keysOf(behind) != "[]" {
		t.Fatalf("the receiver is left with %s", keysOf(behind))
	}
}

func TestARecordThatWentTwiceIsRemovedOnce(t *testing.T) {
	c := mergeAll(full(1, 1, signed("a", "1")), without(delta(1, 1, 2), "a"), delta(1, 2, 3, signed("a", "3")), without(delta(1, 3, 4), "a"))
	if b, _ := c.Since(alpha, version(1, 1)); !slices.Equal(b.Removals, []string{"a"}) {
		t.Errorf("removals %v", b.Removals)
	}
}

func TestForgottenRemovalsMeanTheFullState(t *testing.T) {
	c := mergeAll(full(1, 1))
	seq := uint64(1)
	for range 3 * maxRemovals {
		c.Merge(without(delta(1, seq, seq+1), fmt.Sprint("gone-", seq)))
		seq++
	}
	if b, ok := c.Since(alpha, version(1, 1)); !ok || !b.Full {
		t.Errorf("since the beginning: full %v", b.Full)
	}
	b, ok := c.Since(alpha, version(1, seq-maxRemovals))
	if !ok || b.Full || len(b.Removals) != maxRemovals {
		t.Errorf("since %d batches ago: full %v, %d removals", maxRemovals, b.Full, len(b.Removals))
	}
	if held := len(c.origins[alpha].removals); held > 2*maxRemovals {
		t.Errorf("%d removals are remembered", held)
	}
}

func TestTheLoserOfATieIsGivenEverything(t *testing.T) {
	one, other := full(1, 1, signed("a", "1")), from(full(1, 1, signed("b", "1")), "y")
	winner := one
	if bytes.Compare(mergeAll(other).Digest(alpha), mergeAll(one).Digest(alpha)) > 0 {
		winner, other = other, one
	}
	c := mergeAll(other)
	if out := c.Merge(winner); !out.Changed || !out.Clone {
		t.Fatalf("outcome %+v", out)
	}
	c.Merge(from(delta(1, 1, 2, signed("c", "1")), winner.Instance))
	if b, _ := c.Since(alpha, version(1, 1)); !b.Full {
		t.Error("who may hold the other writer's state is led on by a delta")
	}
}

func TestHeartbeatAndForget(t *testing.T) {
	c := mergeAll(at(full(1, 1, signed("a", "1")), time.Minute))
	b, ok := c.Heartbeat(alpha)
	if !ok || b.From != version(1, 1) || b.To != b.From || b.Full || len(b.Upserts) != 0 || !b.ProducedAt.Equal(start.Add(time.Minute)) || b.Instance != "x" {
		t.Errorf("heartbeat %+v", b)
	}
	c.Forget(alpha)
	if _, ok := c.Heartbeat(alpha); ok {
		t.Error("heartbeat of a forgotten origin")
	}
	if _, ok := c.Since(alpha, model.Version{}); ok || len(c.Origins()) != 0 || c.Digest(alpha) != nil {
		t.Error("something is held of a forgotten origin")
	}
	if _, ok := c.Full(alpha); ok {
		t.Error("full state of a forgotten origin")
	}
	if _, ok := c.Records(alpha); ok {
		t.Error("records of a forgotten origin")
	}
}
