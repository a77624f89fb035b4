package codec

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
)

// labels draws RFC 1123 labels.
func labels() *rapid.Generator[string] {
	return rapid.StringMatching(`[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?`)
}

func times() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(-1<<33, 1<<35).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")).UTC()
	})
}

func versions() *rapid.Generator[model.Version] {
	part := rapid.Uint64Max(math.MaxInt64)
	return rapid.Custom(func(t *rapid.T) model.Version {
		return model.Version{Incarnation: part.Draw(t, "incarnation"), Epoch: part.Draw(t, "epoch"), Seq: rapid.Uint64Range(1, math.MaxInt64).Draw(t, "seq")}
	})
}

func batches() *rapid.Generator[model.Batch] {
	return rapid.Custom(func(t *rapid.T) model.Batch {
		b := model.Batch{
			Origin: model.ClusterName(labels().Draw(t, "origin")), To: versions().Draw(t, "to"), Full: rapid.Bool().Draw(t, "full"),
			ProducedAt: times().Draw(t, "at"), Instance: rapid.StringN(0, -1, MaxInstance).Draw(t, "instance"), Confirmed: rapid.Bool().Draw(t, "confirmed"),
		}
		keys := rapid.SliceOfNDistinct(rapid.StringN(1, -1, 40), 0, 6, rapid.ID[string]).Draw(t, "keys")
		if !b.Full {
			b.From = b.To
			if b.From.Seq -= rapid.Uint64Range(0, b.To.Seq).Draw(t, "behind"); b.From == b.To {
				keys = nil
			}
		}
		for _, key := range keys {
			if !b.Full && rapid.Bool().Draw(t, "removed") {
				b.Removals = append(b.Removals, key)
				continue
			}
			b.Upserts = append(b.Upserts, model.SignedRecord{
				Key: key, Record: rapid.SliceOfN(rapid.Byte(), 1, 30).Draw(t, "record"), Signature: rapid.SliceOfN(rapid.Byte(), 1, 30).Draw(t, "signature"),
			})
		}
		return b
	})
}

// overWire sends a message through its bytes.
func overWire[M proto.Message](t interface{ Fatal(...any) }, in, out M) M {
	data, err := proto.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(data, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestBatchesSurviveTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := batches().Draw(t, "batch")
		got, err := BatchFromProto(overWire(t, BatchToProto(want), &hansev1.Batch{}))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got\n%+v\nwant\n%+v", got, want)
		}
	})
}

// mutated damages the bytes of a valid message here and there.
func mutated(t *rapid.T, data []byte) []byte {
	out := bytes.Clone(data)
	for range rapid.IntRange(1, 4).Draw(t, "damages") {
		at := rapid.IntRange(0, len(out)).Draw(t, "at")
		to := min(len(out), at+rapid.IntRange(0, 3).Draw(t, "cut"))
		out = append(append(bytes.Clone(out[:at]), rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "put")...), out[to:]...)
	}
	return out
}

func TestNoBytesMakeBatchFromProtoPanicOrLie(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data, err := proto.Marshal(BatchToProto(batches().Draw(t, "batch")))
		if err != nil {
			t.Fatal(err)
		}
		if data = mutated(t, data); rapid.IntRange(0, 3).Draw(t, "random") == 0 {
			data = rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		}
		var p hansev1.Batch
		if proto.Unmarshal(data, &p) != nil {
			return
		}
		b, err := BatchFromProto(&p)
		if err != nil {
			return
		}
		// What passes is what others take again unchanged.
		again, err := BatchFromProto(overWire(t, BatchToProto(b), &hansev1.Batch{}))
		if b.Full {
			b.From = model.Version{}
		}
		if err != nil || !reflect.DeepEqual(again, b) {
			t.Fatalf("taken as\n%+v\nand then as\n%+v: %v", b, again, err)
		}
	})
}

func TestBatchBounds(t *testing.T) {
	valid := func() *hansev1.Batch {
		return &hansev1.Batch{
			Origin: "alpha", From: &hansev1.Version{Incarnation: 1, Epoch: 2, Seq: 3}, To: &hansev1.Version{Incarnation: 1, Epoch: 2, Seq: 4},
			Upserts: []*hansev1.SignedRecord{{Key: "a", Record: make([]byte, MaxRecord), Signature: make([]byte, MaxSignature)}},
			// The longest key and the longest instance are allowed.
			Removals: []string{strings.Repeat("k", MaxRecordKey)}, Instance: strings.Repeat("i", MaxInstance),
		}
	}
	if _, err := BatchFromProto(valid()); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*hansev1.Batch){
		"origin":                 func(b *hansev1.Batch) { b.Origin = "Alpha/../beta" },
		"no origin":              func(b *hansev1.Batch) { b.Origin = "" },
		"no version":             func(b *hansev1.Batch) { b.From, b.To, b.Upserts, b.Removals = nil, nil, nil, nil },
		"no version in full":     func(b *hansev1.Batch) { b.Full, b.To, b.Removals = true, &hansev1.Version{}, nil },
		"instance":               func(b *hansev1.Batch) { b.Instance += "i" },
		"removals in full":       func(b *hansev1.Batch) { b.Full = true },
		"from another epoch":     func(b *hansev1.Batch) { b.From.Epoch = 1 },
		"from nothing":           func(b *hansev1.Batch) { b.From = nil },
		"backwards":              func(b *hansev1.Batch) { b.From.Seq = 5 },
		"a negative sequence":    func(b *hansev1.Batch) { b.To.Seq = math.MaxUint64 },
		"a negative epoch":       func(b *hansev1.Batch) { b.From.Epoch, b.To.Epoch = 1<<63, 1<<63 },
		"a change of no version": func(b *hansev1.Batch) { b.From.Seq = 4 },
		"key of no bytes":        func(b *hansev1.Batch) { b.Upserts[0].Key = "" },
		"key":                    func(b *hansev1.Batch) { b.Upserts[0].Key = strings.Repeat("k", MaxRecordKey+1) },
		"removed key":            func(b *hansev1.Batch) { b.Removals[0] += "k" },
		"key twice":              func(b *hansev1.Batch) { b.Upserts = append(b.Upserts, b.Upserts[0]) },
		"key set and removed":    func(b *hansev1.Batch) { b.Removals = []string{"a"} },
		"record":                 func(b *hansev1.Batch) { b.Upserts[0].Record = make([]byte, MaxRecord+1) },
		"signature":              func(b *hansev1.Batch) { b.Upserts[0].Signature = make([]byte, MaxSignature+1) },
		"records": func(b *hansev1.Batch) {
			for i := range MaxBatchRecords {
				b.Removals = append(b.Removals, fmt.Sprint(i))
			}
		},
	} {
		b := valid()
		if spoil(b); true {
			if got, err := BatchFromProto(b); err == nil {
				t.Errorf("%s: taken as %.200v", name, got)
			}
		}
	}
	if _, err := BatchFromProto(nil); err == nil {
		t.Error("no batch is taken for one")
	}
}

func TestAnImpossibleTimeIsNoTime(t *testing.T) {
	for _, at := range []*timestamppb.Timestamp{nil, {Seconds: 1 << 60}, {Nanos: -1}} {
		b, err := BatchFromProto(&hansev1.Batch{Origin: "alpha", Full: true, To: &hansev1.Version{Seq: 1}, ProducedAt: at})
		if err != nil || !b.ProducedAt.IsZero() {
			t.Errorf("%v: %v, %v", at, b.ProducedAt, err)
		}
	}
}
