package catalog

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
)

const alpha = model.ClusterName("alpha")

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// seen is all that can be observed of a catalog.
type seen struct {
	Origins []Origin
	Content map[model.ClusterName]map[string]model.SignedRecord
	Digests map[model.ClusterName]string
}

func observe(c *Catalog) seen {
	s := seen{Origins: c.Origins(), Content: map[model.ClusterName]map[string]model.SignedRecord{}, Digests: map[model.ClusterName]string{}}
	for _, o := range s.Origins {
		s.Content[o.Name], _ = c.Records(o.Name)
		s.Digests[o.Name] = string(c.Digest(o.Name))
	}
	return s
}

func sameSeen(t interface{ Fatalf(string, ...any) }, what string, a, b *Catalog) {
	if x, y := observe(a), observe(b); !reflect.DeepEqual(x, y) {
		t.Fatalf("%s:\n%v\n%v", what, x, y)
	}
}

func signed(key, body string) model.SignedRecord {
	return model.SignedRecord{Key: key, Record: []byte(body), Signature: []byte("signature of " + body)}
}

// fulls draws full states from a space small enough that versions, contents and instances tie.
func fulls(t *rapid.T) model.Batch {
	b := model.Batch{
		Origin: alpha, Full: true,
		To:         model.Version{Incarnation: 7, Epoch: rapid.Uint64Range(1, 2).Draw(t, "epoch"), Seq: rapid.Uint64Range(1, 2).Draw(t, "seq")},
		ProducedAt: start.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "at")) * time.Second),
		Instance:   rapid.SampledFrom([]string{"x", "y"}).Draw(t, "instance"),
	}
	for _, key := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), rapid.ID[string]).Draw(t, "keys") {
		b.Upserts = append(b.Upserts, signed(key, rapid.SampledFrom([]string{"1", "2"}).Draw(t, "body")))
	}
	return b
}

func mergeAll(batches ...model.Batch) *Catalog {
	c := New(Limits{})
	for _, b := range batches {
		c.Merge(b)
	}
	return c
}

func TestFullStatesMergeInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		batches := rapid.SliceOfN(rapid.Custom(fulls), 1, 6).Draw(t, "batches")
		once := mergeAll(batches...)
		sameSeen(t, "in another order", once, mergeAll(rapid.Permutation(batches).Draw(t, "order")...))
		sameSeen(t, "twice", once, mergeAll(append(slices.Clone(batches), batches...)...))

		// Associative: what two others have merged, merged.
		cut := rapid.IntRange(0, len(batches)).Draw(t, "cut")
		joined := New(Limits{})
		for _, half := range []*Catalog{mergeAll(batches[:cut]...), mergeAll(batches[cut:]...)} {
			if b, ok := half.Full(alpha); ok {
				joined.Merge(b)
			}
		}
		sameSeen(t, "in halves", once, joined)
	})
}

// writer is an origin's publisher: it knows the content of every version that it has published.
type writer struct {
	instance string
	at       model.Version
	content  map[string]model.SignedRecord
	clock    int
}

func (w *writer) batch(from model.Version) model.Batch {
	w.clock++
	return model.Batch{Origin: alpha, From: from, To: w.at, Instance: w.instance, ProducedAt: start.Add(time.Duration(w.clock) * time.Second)}
}

// restart begins an epoch with the full state.
func (w *writer) restart() model.Batch {
	w.at = model.Version{Incarnation: 7, Epoch: w.at.Epoch + 1, Seq: 1}
	b := w.batch(model.Version{})
	b.Full = true
	for _, key := range slices.Sorted(maps.Keys(w.content)) {
		b.Upserts = append(b.Upserts, w.content[key])
	}
	return b
}

func (w *writer) change(t *rapid.T) model.Batch {
	from := w.at
	w.at.Seq++
	b := w.batch(from)
	keys := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 0, 3, rapid.ID[string]).Draw(t, "keys")
	for _, key := range keys {
		if _, ok := w.content[key]; ok && rapid.Bool().Draw(t, "remove") {
			delete(w.content, key)
			b.Removals = append(b.Removals, key)
			continue
		}
		w.content[key] = signed(key, fmt.Sprint(w.at.Epoch, w.at.Seq))
		b.Upserts = append(b.Upserts, w.content[key])
	}
	return b
}

// TestNodesConvergeWhoeverTellsWhom has one writer publish to changing nodes, while nodes tell each other what has changed since
// versions that the receiver held at some time, out of order and more than once; over gaps they pull. At any time each node holds
// exactly what the writer said at that version, and in the end all hold the newest.
func TestNodesConvergeWhoeverTellsWhom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &writer{instance: "x", content: map[string]model.SignedRecord{}}
		nodes := []*Catalog{New(Limits{}), New(Limits{}), New(Limits{})}
		published := map[model.Version]*Catalog{}
		var stale []model.Batch
		offer := func(to *Catalog, b model.Batch, from *Catalog) {
			before, _ := to.Origin(alpha)
			out := to.Merge(b)
			if out.Gap && from != nil {
				if missing, ok := from.Since(alpha, out.Held); ok {
					if out = to.Merge(missing); out.Gap {
						t.Fatalf("a pulled batch has a gap: %v after %v", missing, out.Held)
					}
				}
			}
			after, held := to.Origin(alpha)
			if after.Version.Compare(before.Version) < 0 {
				t.Fatalf("version went back from %v to %v", before.Version, after.Version)
			}
			if !held {
				return
			}
			want := published[after.Version]
			if !bytes.Equal(to.Digest(alpha), want.Digest(alpha)) {
				t.Fatalf("at %v after %v:\n%v\nthe writer said\n%v", after.Version, b, observe(to).Content, observe(want).Content)
			}
		}
		publish := func(b model.Batch) {
			full := b
			full.Full, full.Removals, full.Upserts = true, nil, slices.Collect(maps.Values(w.content))
			published[b.To] = mergeAll(full)
			home := rapid.SampledFrom(nodes).Draw(t, "home")
			offer(home, b, published[b.To])
		}
		publish(w.restart())
		node := func(label string) *Catalog { return rapid.SampledFrom(nodes).Draw(t, label) }
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) { publish(w.change(t)) },
			"restart": func(t *rapid.T) {
				if rapid.IntRange(0, 5).Draw(t, "rarely") == 0 {
					publish(w.restart())
				}
			},
			"tell": func(t *rapid.T) {
				from, to := node("from"), node("to")
				at, _ := to.Origin(alpha)
				// What the teller believes the receiver to hold may be long past.
				at.Version.Seq -= min(at.Version.Seq, rapid.Uint64Range(0, 3).Draw(t, "behind"))
				if b, ok := from.Since(alpha, at.Version); ok {
					stale = append(stale, b)
					offer(to, b, from)
				}
			},
			"late": func(t *rapid.T) {
				if len(stale) > 0 {
					from := node("from")
					offer(node("to"), rapid.SampledFrom(stale).Draw(t, "batch"), from)
				}
			},
		})
		for range nodes {
			for _, from := range nodes {
				for _, to := range nodes {
					held, _ := to.Origin(alpha)
					if b, ok := from.Since(alpha, held.Version); ok {
						offer(to, b, from)
					}
				}
			}
		}
		sameSeen(t, "in the end", nodes[0], nodes[1])
		sameSeen(t, "in the end", nodes[0], nodes[2])
		if o, _ := nodes[0].Origin(alpha); o.Version != w.at {
			t.Fatalf("held in the end: %v, published: %v", o.Version, w.at)
		}
	})
}

func TestABatchOverAGapChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &writer{instance: "x", content: map[string]model.SignedRecord{}}
		c := mergeAll(w.restart())
		w.change(t)
		over := w.change(t)
		held := observe(c)
		if out := c.Merge(over); !out.Gap || out.Changed || out.Held.Seq != 1 {
			t.Fatalf("outcome %+v", out)
		}
		if after := observe(c); !reflect.DeepEqual(held, after) {
			t.Fatalf("it changed\n%v\nto\n%v", held, after)
		}
		empty := New(Limits{})
		if out := empty.Merge(over); !out.Gap || len(empty.Origins()) != 0 {
			t.Fatalf("a delta on nothing: %+v", out)
		}
	})
}

// TestClonesEndInOneState has two writers publish the same epoch to two nodes, which then tell each other, pulling in full over gaps.
func TestClonesEndInOneState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		writers := []*writer{{instance: "x", content: map[string]model.SignedRecord{}}, {instance: "y", content: map[string]model.SignedRecord{}}}
		nodes := []*Catalog{New(Limits{}), New(Limits{})}
		for i, w := range writers {
			nodes[i].Merge(w.restart())
			for range rapid.IntRange(0, 3).Draw(t, "changes") {
				nodes[i].Merge(w.change(t))
			}
		}
		clones := false
		for range 3 {
			for i, from := range nodes {
				to := nodes[1-i]
				held, _ := to.Origin(alpha)
				b, ok := from.Since(alpha, held.Version)
				if !ok {
					b, _ = from.Heartbeat(alpha)
				}
				out := to.Merge(b)
				clones = clones || out.Clone
				if out.Gap {
					full, _ := from.Full(alpha)
					out = to.Merge(full)
				}
				if out.Gap {
					t.Fatal("a full state has a gap")
				}
			}
		}
		if !clones {
			t.Fatal("no alarm was raised")
		}
		sameSeen(t, "in the end", nodes[0], nodes[1])
	})
}
