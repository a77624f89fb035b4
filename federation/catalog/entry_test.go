package catalog

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

func forged(r model.SignedRecord) model.SignedRecord {
	r.Signature = []byte("forged")
	return r
}

func apply(t *testing.T, i *Imports, batches ...model.Batch) {
	t.Helper()
	for _, b := range batches {
		if _, gap, err := i.Apply(b, start); gap || err != nil {
			t.Fatalf("batch to %v: gap %v, %v", b.To, gap, err)
		}
	}
}

// TestARefusedRecordLeavesTheLastGoodOneInForce is about one record that was good at version 2.
func TestARefusedRecordLeavesTheLastGoodOneInForce(t *testing.T) {
	good := full(1, 2, said("a", 2), said("b", 1))
	for _, c := range []struct {
		name    string
		then    []model.Batch
		content string
		refused string
	}{
		{"forged in a delta", []model.Batch{delta(1, 2, 3, forged(said("a", 3)))}, "[a@2 b@1]", "not signed; version"},
		{"forged in full", []model.Batch{full(1, 3, forged(said("a", 3)), said("b", 1))}, "[a@2 b@1]", "not signed; version"},
		{"forged twice", []model.Batch{delta(1, 2, 3, forged(said("a", 3))), delta(1, 3, 4, forged(said("a", 4)))}, "[a@2 b@1]", "not signed; version"},
		{"replayed", []model.Batch{delta(1, 2, 3, said("a", 1))}, "[a@2 b@1]", "which is older; version"},
		{"forged, then good", []model.Batch{delta(1, 2, 3, forged(said("a", 3))), delta(1, 3, 4, said("a", 4))}, "[a@4 b@1]", ""},
		{"forged, then what is in force", []model.Batch{delta(1, 2, 3, forged(said("a", 3))), full(1, 3, said("a", 2), said("b", 1))}, "[a@2 b@1]", ""},
		{"forged, then an older one", []model.Batch{delta(1, 2, 3, forged(said("a", 3))), full(1, 3, said("a", 1), said("b", 1))}, "[a@2 b@1]", "which is older"},
		{"forged, then removed", []model.Batch{delta(1, 2, 3, forged(said("a", 3))), without(delta(1, 3, 4), said("a", 1).Key)}, "[b@1]", ""},
		{"forged, then left out", []model.Batch{delta(1, 2, 3, forged(said("a", 3))), full(1, 4, said("b", 1))}, "[b@1]", ""},
		{"removed, then replayed", []model.Batch{without(delta(1, 2, 3), said("a", 1).Key), delta(1, 3, 4, forged(said("a", 4)))}, "[b@1]", "not signed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := NewImports(Limits{}, (&notary{}).verify, openAll)
			apply(t, i, good)
			i.All()
			apply(t, i, c.then...)
			refused := strings.Join(i.All()[0].Refused, "\n")
			if content := contentOf(i); content != c.content || !strings.Contains(refused, c.refused) || (c.refused == "") != (refused == "") {
				t.Errorf("content %s, refused %q; want %s, %q", content, refused, c.content, c.refused)
			}
			bytesCounted(t, i)
			// The disk keeps what is in force.
			data, err := i.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			back := NewImports(Limits{}, (&notary{}).verify, openAll)
			if err := back.Load(data); err != nil || contentOf(back) != c.content {
				t.Errorf("loaded again: %s, %v", contentOf(back), err)
			}
		})
	}
}

func bytesCounted(t *testing.T, i *Imports) {
	t.Helper()
	bytes := 0
	for _, e := range i.origins[alpha].records {
		bytes += size(e.newest())
	}
	if held := i.origins[alpha].bytes; held != bytes {
		t.Errorf("%d bytes are counted, %d are held", held, bytes)
	}
}

// keyed verifies records by the key that is in force, which their signature names.
func keyed(key *string) Verify {
	return func(origin model.ClusterName, r model.SignedRecord) (model.Record, error) {
		if string(r.Signature) != *key {
			return model.Record{}, fmt.Errorf("not signed by %s", *key)
		}
		r.Signature = []byte("ok")
		return (&notary{}).verify(origin, r)
	}
}

func signedBy(key string, r model.SignedRecord) model.SignedRecord {
	r.Signature = []byte(key)
	return r
}

func TestARecordUnderTheNextKeyWaitsForIt(t *testing.T) {
	key := "k1"
	i := NewImports(Limits{}, keyed(&key), openAll)
	apply(t, i, full(1, 1, signedBy("k1", said("a", 1)), signedBy("k1", said("b", 1))), delta(1, 1, 2, signedBy("k2", said("a", 2))))
	if got := contentOf(i); got != "[a@1 b@1]" {
		t.Fatalf("before the key is known: %s", got)
	}
	// A judgement under the same key changes nothing.
	if i.Reverify(alpha); contentOf(i) != "[a@1 b@1]" || len(i.All()[0].Refused) != 1 {
		t.Fatalf("judged again: %s, %v", contentOf(i), i.All()[0].Refused)
	}
	key = "k2"
	if i.Reverify(alpha); contentOf(i) != "[a@2]" || len(i.All()[0].Refused) != 1 {
		t.Fatalf("under the next key: %s, %v", contentOf(i), i.All()[0].Refused)
	}
}

func TestAReplayStaysRefusedWhenJudgedAgain(t *testing.T) {
	n := &notary{}
	i := NewImports(Limits{}, n.verify, openAll)
	apply(t, i, full(1, 1, said("a", 15)), delta(1, 1, 2, said("a", 3)))
	if i.Reverify(alpha); contentOf(i) != "[a@15]" || len(i.All()[0].Refused) != 1 {
		t.Errorf("%s, %v", contentOf(i), i.All()[0].Refused)
	}
	// Nothing is in force when nothing verifies; what had counted is kept for the day when it does, not the replay.
	n.err = errors.New("no key")
	i.Reverify(alpha)
	bytesCounted(t, i)
	data, err := i.Marshal()
	if err != nil || contentOf(i) != "[]" {
		t.Fatalf("%s, %v", contentOf(i), err)
	}
	n.err = nil
	back := NewImports(Limits{}, n.verify, openAll)
	if err := back.Load(data); err != nil || contentOf(back) != "[a@15]" {
		t.Errorf("loaded again: %s, %v", contentOf(back), err)
	}
}

func TestImportsAreLedOnByOneWriterOnly(t *testing.T) {
	i := NewImports(Limits{}, (&notary{}).verify, openAll)
	apply(t, i, full(1, 1, said("a", 1)))
	for what, b := range map[string]model.Batch{"delta": delta(1, 1, 2, said("b", 2)), "confirmation": at(delta(1, 1, 1), time.Hour)} {
		if changed, gap, err := i.Apply(from(b, "y"), start); changed || !gap || err != nil || contentOf(i) != "[a@1]" {
			t.Errorf("another writer's %s: %v, %v, %v", what, changed, gap, err)
		}
	}
	apply(t, i, from(full(1, 1, said("b", 1)), "y"), from(delta(1, 1, 2, said("c", 2)), "y"))
	if got := contentOf(i); got != "[b@1 c@2]" {
		t.Errorf("after the other writer's full state: %s", got)
	}
}

func TestAConfirmationMovesTheTimeForwardOnly(t *testing.T) {
	i := NewImports(Limits{}, (&notary{}).verify, openAll)
	apply(t, i, full(1, 1, said("a", 1)))
	for _, step := range []struct{ told, held time.Duration }{{time.Minute, time.Minute}, {time.Second, time.Minute}, {time.Hour, time.Hour}} {
		i.All()
		if changed, _, _ := i.Apply(at(delta(1, 1, 1), step.told), start); changed || !i.All()[0].ProducedAt.Equal(start.Add(step.held)) {
			t.Errorf("confirmed at %v: changed %v, %v", step.told, changed, i.All()[0].ProducedAt)
		}
	}
}
