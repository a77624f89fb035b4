package verdict

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
)

const self = model.ClusterName("eu")

// heard is a member's word on gw, fresh at start.
func heard(prober string, says ...State) Heard {
	h := Heard{Prober: model.ClusterName(prober), Incarnation: 7, ConfirmedAt: start}
	for _, s := range says {
		h.Records = append(h.Records, word(gw, s))
	}
	return h
}

func word(a Address, s State) model.Record {
	return model.Record{Version: model.Version{Incarnation: 7}, Verdicts: &model.VerdictSet{Cluster: a.Cluster, Verdicts: []model.Verdict{
		{Gateway: a.Gateway, Address: a.IP.String(), Port: a.Port, Bad: s == Bad},
	}}}
}

func members(names ...string) map[model.ClusterName]model.Cluster {
	out := map[model.ClusterName]model.Cluster{}
	for _, n := range names {
		out[model.ClusterName(n)] = model.Cluster{Name: model.ClusterName(n), Incarnation: 7}
	}
	return out
}

var everybody = members("eu", "zug", "a", "b", "c", "d", "e")

func TestWhoseWordCounts(t *testing.T) {
	change := func(f func(*Heard)) Heard {
		h := heard("b", Bad)
		f(&h)
		return h
	}
	mapped := heard("b", Bad)
	mapped.Records[0].Verdicts.Verdicts[0].Address = "::ffff:192.0.2.1"
	cases := map[string]struct {
		second Heard
		counts bool
	}{
		"a member's":                {heard("b", Bad), true},
		"of the mapped address":     {mapped, true},
		"not a stranger's":          {heard("stranger", Bad), false},
		"not one's own":             {heard(string(self), Bad), false},
		"not the judged cluster's":  {heard("zug", Bad), false},
		"not the same voice again":  {heard("a", Bad), false},
		"not an earlier membership": {change(func(h *Heard) { h.Incarnation = 6 }), false},
		"not its replayed record":   {change(func(h *Heard) { h.Records[0].Version.Incarnation = 6 }), false},
		"not once it has expired":   {change(func(h *Heard) { h.ConfirmedAt = start.Add(-TTL) }), false},
		"but up to then":            {change(func(h *Heard) { h.ConfirmedAt = start.Add(1 - TTL) }), true},
		"not from the disk":         {change(func(h *Heard) { h.ConfirmedAt = time.Time{} }), false},
		"not both":                  {heard("b", Bad, Good), false},
		"the same twice is one":     {heard("b", Bad, Bad), true},
		"not of another port":       {change(func(h *Heard) { h.Records[0].Verdicts.Verdicts[0].Port++ }), false},
		"not nonsense":              {change(func(h *Heard) { h.Records[0].Verdicts.Verdicts[0].Address = "x" }), false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			list := []Heard{heard("a", Bad)}
			if c.second.Prober == "a" {
				list[0].Records = append(list[0].Records, c.second.Records...)
			} else {
				list = append(list, c.second)
			}
			got := Judge(Unknown, Collect(self, everybody, list, start).On(gw)).State
			if counts := got == Bad; counts != c.counts {
				t.Errorf("counts: %v, want %v", counts, c.counts)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	voices := func(good, bad int) Voices {
		names := []model.ClusterName{"a", "b", "c", "d", "e"}
		return Voices{Good: names[:good], Bad: names[len(names)-bad:]}
	}
	for _, c := range []struct {
		own        State
		good, bad  int
		state      State
		suspicious bool
	}{
		{Unknown, 0, 0, Unknown, false},
		{Unknown, 0, 1, Unknown, true},
		{Unknown, 0, 2, Bad, true},
		{Unknown, 1, 2, Bad, true},
		{Unknown, 2, 2, Unknown, true},
		{Unknown, 3, 2, Good, true},
		{Unknown, 2, 0, Good, false},
		{Unknown, 1, 0, Unknown, false},
		{Good, 0, 0, Good, false},
		{Good, 0, 5, Good, true},
		{Good, 4, 1, Good, true},
		{Good, 5, 0, Good, false},
		{Bad, 5, 0, Bad, true},
		{Bad, 1, 4, Bad, true},
		{Bad, 0, 5, Bad, false},
	} {
		if got := Judge(c.own, voices(c.good, c.bad)); got != (Judgement{c.state, c.suspicious}) {
			t.Errorf("own %v, %d say good, %d bad: %+v, want %v, suspicious %v", c.own, c.good, c.bad, got, c.state, c.suspicious)
		}
	}
}

func TestVoicesExpireWhenTheFirstFeedIsNotConfirmed(t *testing.T) {
	a, b := heard("a", Bad), heard("b", Bad)
	b.ConfirmedAt = start.Add(-3 * time.Second)
	silent := heard("c")
	silent.ConfirmedAt = start.Add(-9 * time.Second)
	o := Collect(self, everybody, []Heard{a, b, silent}, start)
	if want := start.Add(7 * time.Second); !o.Next().Equal(want) {
		t.Fatalf("looks again at %v, want %v", o.Next(), want)
	}
	if on := Collect(self, everybody, []Heard{a, b}, o.Next()).On(gw); !slices.Equal(on.Bad, []model.ClusterName{"a"}) {
		t.Errorf("then %v say bad", on.Bad)
	}
	if o := Collect(self, everybody, nil, start); !o.Next().IsZero() {
		t.Errorf("nothing is heard, but expires at %v", o.Next())
	}
}

func genHeard(t *rapid.T) []Heard {
	var list []Heard
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "zug", "eu", "stranger"}), 0, 8, rapid.ID[string]).Draw(t, "probers") {
		h := heard(name, rapid.SliceOfN(rapid.SampledFrom([]State{Good, Bad}), 0, 3).Draw(t, "says")...)
		h.ConfirmedAt = start.Add(-time.Duration(rapid.IntRange(0, 12).Draw(t, "age")) * time.Second)
		h.Incarnation = rapid.SampledFrom([]uint64{7, 7, 7, 6}).Draw(t, "incarnation")
		list = append(list, h)
	}
	return list
}

func TestLawOwnResultWins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		own := rapid.SampledFrom([]State{Good, Bad}).Draw(t, "own")
		if got := Judge(own, Collect(self, everybody, genHeard(t), start).On(gw)); got.State != own {
			t.Fatalf("own %v, judged %v", own, got.State)
		}
	})
}

func TestLawOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := genHeard(t)
		other := rapid.Permutation(list).Draw(t, "permuted")
		for i := range other {
			other[i].Records = rapid.Permutation(other[i].Records).Draw(t, "records")
		}
		a, b := Collect(self, everybody, list, start), Collect(self, everybody, other, start)
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("%+v and %+v", a, b)
		}
	})
}

// Law: with any number of others who tell the truth, one that lies makes nobody believe the opposite, however much it publishes and
// of whomever; and two who tell the truth suffice against it.
func TestLawASingleLiarDecidesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		truth := rapid.SampledFrom([]State{Good, Bad}).Draw(t, "truth")
		honest := rapid.IntRange(0, 4).Draw(t, "honest")
		var list []Heard
		for _, name := range []string{"a", "b", "c", "d"}[:honest] {
			list = append(list, heard(name, truth))
		}
		liar := heard(rapid.SampledFrom([]string{"e", "zug"}).Draw(t, "liar"))
		for i := range rapid.IntRange(0, 20).Draw(t, "words") {
			a := gw
			a.Gateway = rapid.SampledFrom([]string{"gw", "other"}).Draw(t, "gateway")
			r := word(a, rapid.SampledFrom([]State{Good, Bad}).Draw(t, fmt.Sprint("word", i)))
			if rapid.Bool().Draw(t, "mapped") {
				r.Verdicts.Verdicts[0].Address = "::ffff:192.0.2.1"
			}
			liar.Records = append(liar.Records, r)
		}
		got := Judge(Unknown, Collect(self, everybody, append(list, liar), start).On(gw)).State
		switch {
		case got != truth && got != Unknown:
			t.Fatalf("%v is believed", got)
		case honest >= 2 && got != truth:
			t.Fatalf("%d who say %v are not believed", honest, truth)
		}
	})
}

// Law: what does not count changes nothing, and the rest of what is said does not depend on it.
func TestLawWhatHasExpiredChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := genHeard(t)
		fresh := slices.DeleteFunc(slices.Clone(list), func(h Heard) bool { return !start.Before(h.ConfirmedAt.Add(TTL)) })
		if a, b := Collect(self, everybody, list, start), Collect(self, everybody, fresh, start); !reflect.DeepEqual(a, b) {
			t.Fatalf("%+v and, without what has expired, %+v", a, b)
		}
	})
}

func BenchmarkCollect(b *testing.B) {
	var list []Heard
	all := map[model.ClusterName]model.Cluster{}
	for i := range 50 {
		name := model.ClusterName(fmt.Sprint("c", i))
		all[name] = model.Cluster{Name: name, Incarnation: 7}
		h := Heard{Prober: name, Incarnation: 7, ConfirmedAt: start}
		for j := range 50 {
			h.Records = append(h.Records, word(at(fmt.Sprint("c", j), "gw", "192.0.2.1"), Good), word(at(fmt.Sprint("c", j), "gw", "192.0.2.2"), Good))
		}
		list = append(list, h)
	}
	b.ReportAllocs()
	for b.Loop() {
		Collect(self, all, list, start)
	}
}
