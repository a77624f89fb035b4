package catalog

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
)

// notary stands in for signatures: a record counts when its signature is "ok", and its body is "service@seq".
type notary struct {
	asked int
	err   error
}

func (n *notary) verify(origin model.ClusterName, r model.SignedRecord) (model.Record, error) {
	n.asked++
	if n.err != nil {
		return model.Record{}, n.err
	}
	name, seq, ok := strings.Cut(string(r.Record), "@")
	if string(r.Signature) != "ok" || !ok {
		return model.Record{}, errors.New("not signed")
	}
	rec := model.Record{Cluster: origin, Service: &model.ServiceRecord{Service: model.ServiceKey{Namespace: "shop", Name: name}}}
	_, err := fmt.Sscan(seq, &rec.Version.Seq)
	return rec, err
}

func openAll(model.ClusterName, model.ServiceKey) bool { return true }

// said is a record as its origin signed it at a seq.
func said(name string, seq int) model.SignedRecord {
	return model.SignedRecord{Key: "service/shop/" + name, Record: fmt.Appendf(nil, "%s@%d", name, seq), Signature: []byte("ok")}
}

func contentOf(i *Imports) string {
	var out []string
	for _, o := range i.All() {
		for _, r := range o.Records {
			name := r.Key()
			if r.Service != nil {
				name = r.Service.Service.Name
			}
			out = append(out, fmt.Sprintf("%s@%d", name, r.Version.Seq))
		}
	}
	return fmt.Sprint(out)
}

func TestImportsApply(t *testing.T) {
	a1, a2, b1 := said("a", 1), said("a", 2), said("b", 1)
	type want struct {
		changed, gap bool
		content      string
	}
	for _, c := range []struct {
		name  string
		held  []model.Batch
		batch model.Batch
		want  want
	}{
		{"first full state", nil, full(1, 1, a1), want{true, false, "[a@1]"}},
		{"delta on nothing", nil, delta(1, 1, 2, a1), want{false, true, "[]"}},
		{"delta that leads on", []model.Batch{full(1, 1, a1)}, without(delta(1, 1, 2, b1), a1.Key), want{true, false, "[b@1]"}},
		{"delta over a gap", []model.Batch{full(1, 1, a1)}, delta(1, 2, 3, b1), want{false, true, "[a@1]"}},
		{"delta from further back", []model.Batch{full(1, 2, a1)}, delta(1, 1, 3, b1), want{false, true, "[a@1]"}},
		{"newer full state", []model.Batch{full(1, 1, a1)}, full(2, 1, b1), want{true, false, "[b@1]"}},
		{"same version under another filter", []model.Batch{full(1, 1, a1, b1)}, full(1, 1, b1), want{true, false, "[b@1]"}},
		{"node that lags behind", []model.Batch{full(1, 2, a2)}, full(1, 1, a1, b1), want{false, false, "[a@2]"}},
		{"confirmation", []model.Batch{full(1, 1, a1)}, at(delta(1, 1, 1), time.Second), want{false, false, "[a@1]"}},
		{"record of the past in a newer state", []model.Batch{full(1, 2, a2)}, full(1, 3, a1), want{true, false, "[a@2]"}},
		{"removal of what is not held", []model.Batch{full(1, 1, a1)}, without(delta(1, 1, 2), b1.Key), want{true, false, "[a@1]"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := NewImports(Limits{}, (&notary{}).verify, openAll)
			for _, b := range c.held {
				if _, _, err := i.Apply(b, start); err != nil {
					t.Fatal(err)
				}
			}
			i.All()
			changed, gap, err := i.Apply(c.batch, start)
			if got := (want{changed, gap, contentOf(i)}); got != c.want || err != nil {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

// TestChangesLeadOnFromWhatTheSameNodeHasStated moves from a node to one that lags behind and hides b: when that one has caught up and
// says what follows, b, which was withdrawn on the way and of which it says nothing, must not stay.
func TestChangesLeadOnFromWhatTheSameNodeHasStated(t *testing.T) {
	i := NewImports(Limits{}, (&notary{}).verify, openAll)
	for _, step := range []struct {
		name string
		b    model.Batch
		gap  bool
		want string
	}{
		{"the first node", full(1, 3, said("a", 1), said("b", 1)), false, "[a b]"},
		{"the second node's older state", full(1, 2, said("a", 1)), false, "[a b]"},
		{"its change to what is held", delta(1, 2, 3, said("c", 3)), true, "[a b]"},
		{"its confirmation", delta(1, 3, 3), true, "[a b]"},
		{"its change from what is held", delta(1, 3, 4, said("c", 4)), true, "[a b]"},
		{"its full state", full(1, 4, said("a", 1), said("c", 4)), false, "[a c]"},
		{"what follows", delta(1, 4, 5, said("d", 5)), false, "[a c d]"},
	} {
		_, gap, err := i.Apply(step.b, start)
		var got []string
		for _, r := range i.All()[0].Records {
			got = append(got, r.Service.Service.Name)
		}
		if err != nil || gap != step.gap || fmt.Sprint(got) != step.want {
			t.Errorf("%s: gap %v, %v, holds %v, want %v and %s", step.name, gap, err, got, step.gap, step.want)
		}
	}
}

func TestNothingCountsUnverified(t *testing.T) {
	i := NewImports(Limits{}, (&notary{}).verify, openAll)
	empty := model.SignedRecord{Key: model.StatusKey}
	forged := said("b", 1)
	forged.Signature = []byte("forged")
	for _, b := range []model.Batch{full(1, 1, empty, forged), delta(1, 1, 2, model.SignedRecord{Key: model.GatewaysKey, Record: []byte{}, Signature: []byte{}})} {
		if _, _, err := i.Apply(b, start); err != nil {
			t.Fatal(err)
		}
	}
	if got := i.All()[0]; len(got.Records) != 0 || len(got.Refused) != 3 {
		t.Errorf("records %v, refused %v", got.Records, got.Refused)
	}
}

func TestWhatIsHeldIsNotVerifiedAgain(t *testing.T) {
	n := &notary{}
	i := NewImports(Limits{}, n.verify, openAll)
	i.Apply(full(1, 1, said("a", 1), said("b", 1)), start)
	i.Apply(full(1, 2, said("a", 1), said("b", 2)), start)
	i.Apply(delta(1, 2, 3, said("a", 1)), start)
	if n.asked != 3 {
		t.Errorf("%d verifications, want 3", n.asked)
	}
}

func TestReverifyJudgesUnderTheKeyInForce(t *testing.T) {
	n := &notary{err: errors.New("the member's key is not known")}
	i := NewImports(Limits{}, n.verify, openAll)
	i.Apply(full(1, 1, said("a", 1)), start)
	if got := i.All()[0]; len(got.Records) != 0 || len(got.Refused) != 1 || !strings.Contains(got.Refused[0], "not known") {
		t.Fatalf("without a key: %+v", got)
	}
	n.err = nil
	i.Reverify(alpha)
	if got := i.All()[0]; len(got.Records) != 1 || len(got.Refused) != 0 {
		t.Fatalf("with the key: %+v", got)
	}
	n.err = errors.New("another key")
	i.Reverify(alpha)
	i.Reverify("unheard-of")
	if got := i.All()[0]; len(got.Records) != 0 {
		t.Errorf("with another key: %+v", got)
	}
}

func TestImportsLimitsChangeNothing(t *testing.T) {
	i := NewImports(Limits{Records: 2, Bytes: 100, Origins: 1}, (&notary{}).verify, openAll)
	i.Apply(full(1, 1, said("a", 1), said("b", 1)), start)
	long := said("b", 1)
	long.Record = fmt.Appendf(long.Record, "%100d", 0)
	other := full(1, 1)
	other.Origin = "beta"
	for name, b := range map[string]model.Batch{
		"records": delta(1, 1, 2, said("c", 1)), "records in full": full(2, 1, said("a", 1), said("b", 1), said("c", 1)),
		"bytes": delta(1, 1, 2, long), "bytes in full": full(2, 1, long), "origins": other,
	} {
		if changed, _, err := i.Apply(b, start); err == nil || changed || contentOf(i) != "[a@1 b@1]" || i.All()[0].Version != version(1, 1) {
			t.Errorf("%s: changed %v, %v, %s", name, changed, err, contentOf(i))
		}
	}
	for seq := uint64(1); seq < 50; seq++ {
		if _, _, err := i.Apply(without(delta(1, seq, seq+1, said(fmt.Sprint("c", seq%2), 1)), said("a", 1).Key, said(fmt.Sprint("c", (seq+1)%2), 1).Key), start); err != nil {
			t.Fatalf("what was removed still counts after %d batches: %v", seq, err)
		}
	}
	if !i.Drop(alpha, start) || i.Drop(alpha, start) {
		t.Error("Drop does not say whether the origin was held")
	}
	if _, _, err := i.Apply(other, start); err != nil {
		t.Errorf("after Drop: %v", err)
	}
}

func TestImportsSurviveADisk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		i := NewImports(Limits{}, (&notary{}).verify, openAll)
		for _, origin := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"alpha", "beta", "gamma"}), rapid.ID[string]).Draw(t, "origins") {
			b := full(rapid.Uint64Range(1, 9).Draw(t, "epoch"), rapid.Uint64Range(1, 9).Draw(t, "seq"))
			b.Origin = model.ClusterName(origin)
			for _, name := range rapid.SliceOfDistinct(rapid.StringMatching("[a-z]{1,3}"), rapid.ID[string]).Draw(t, "names") {
				b.Upserts = append(b.Upserts, said(name, rapid.IntRange(1, 9).Draw(t, "version")))
			}
			i.Apply(b, start)
		}
		data, err := i.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		back := NewImports(Limits{}, (&notary{}).verify, openAll)
		if err := back.Load(data); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(i.All(), back.All()) {
			t.Fatalf("%+v\nbecame\n%+v", i.All(), back.All())
		}
		// A delta leads on from what was loaded.
		for _, o := range back.All() {
			b := model.Batch{Origin: o.Origin, From: o.Version, To: o.Version, Upserts: []model.SignedRecord{said("next", 1)}}
			b.To.Seq++
			if changed, gap, err := back.Apply(b, start); !changed || gap || err != nil {
				t.Fatalf("after loading: %v, %v, %v", changed, gap, err)
			}
		}
		// Damage costs at most what stands behind it.
		cut := rapid.IntRange(0, len(data)).Draw(t, "cut")
		damaged := append(slices.Clone(data[:cut]), rapid.SliceOf(rapid.Byte()).Draw(t, "garbage")...)
		part := NewImports(Limits{}, (&notary{}).verify, openAll)
		err = part.Load(damaged)
		for k, o := range i.All() {
			if intact, _ := reloaded(i, k+1); cut >= len(intact) && !slices.ContainsFunc(part.All(), func(p Imported) bool { return p.Origin == o.Origin }) {
				t.Fatalf("%s stands before the damage and is lost (%v)", o.Origin, err)
			}
		}
	})
}

// reloaded is what Marshal returns for the first n origins.
func reloaded(i *Imports, n int) ([]byte, error) {
	some := NewImports(Limits{}, i.verify, i.open)
	for _, o := range i.All()[:n] {
		some.origins[o.Origin] = i.origins[o.Origin]
	}
	return some.Marshal()
}

func TestLoadOfGarbageIsAnError(t *testing.T) {
	for _, data := range [][]byte{{0}, {1, 2, 3}, []byte("no imports at all"), {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}} {
		i := NewImports(Limits{}, (&notary{}).verify, openAll)
		if err := i.Load(data); err == nil || len(i.All()) != 0 {
			t.Errorf("%x: %v, %v", data, err, i.All())
		}
	}
}
