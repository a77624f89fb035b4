package feed

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/catalog"
)

func serviceKey(name string) string {
	return model.RecordKey(model.ServiceKey{Namespace: "shop", Name: name})
}

func exportRule(services ...string) policy.ExportRule {
	return policy.ExportRule{Name: "r", Spec: policy.ExportRuleSpec{From: []string{"*"}, Namespaces: []string{"*"}, Services: services, To: []string{"beta"}}}
}

// mirror is what an agent holds.
type mirror struct{ *catalog.Imports }

func newMirror() mirror {
	return mirror{catalog.NewImports(catalog.Limits{}, func(origin model.ClusterName, r model.SignedRecord) (model.Record, error) {
		// The content travels in a text, so that what is held can be compared.
		return model.Record{Cluster: origin, Status: &model.SiteStatus{AgentVersion: r.Key + "=" + string(r.Record)}}, nil
	}, func(model.ClusterName, model.ServiceKey) bool { return true })}
}

func (m mirror) apply(t *rapid.T, u Update) {
	if u.Batch != nil {
		if _, gap, err := m.Apply(*u.Batch, time.Time{}); gap || err != nil {
			t.Fatalf("the agent cannot follow %+v: gap %v, %v", u.Batch, gap, err)
		}
	}
	if u.Dropped {
		m.Drop("alpha", time.Time{})
	}
}

func (m mirror) records() map[string]string {
	out := map[string]string{}
	for _, o := range m.All() {
		for _, r := range o.Records {
			key, content, _ := strings.Cut(r.Status.AgentVersion, "=")
			out[key] = content
		}
	}
	return out
}

// Law: whatever the origin publishes and however rules and refusals change, the agent holds exactly what it may see, and nothing of
// an origin of which it sees no service.
func TestAgentHoldsExactlyWhatItMaySee(t *testing.T) {
	names := []string{"a", "b", "c"}
	keys := []string{serviceKey("a"), serviceKey("b"), serviceKey("c"), model.GatewaysKey, model.StatusKey}
	rapid.Check(t, func(t *rapid.T) {
		s := catalog.New(catalog.Limits{Records: 20})
		i := New(s)
		f := Filter{Origin: model.Cluster{Name: "alpha", Incarnation: 1, ExportNamespaces: []string{"*"}}, Importer: "beta"}
		m := newMirror()
		version, content := model.Version{Incarnation: 1}, 0
		publish := func(full bool) {
			b := model.Batch{Origin: "alpha", Full: full, From: version, ProducedAt: time.Unix(int64(content), 0)}
			if full {
				version.Epoch++
				version.Seq, b.From = 0, model.Version{}
			}
			version.Seq++
			b.To = version
			for _, key := range keys {
				switch rapid.IntRange(0, 2).Draw(t, key) {
				case 0:
					content++
					b.Upserts = append(b.Upserts, model.SignedRecord{Key: key, Record: fmt.Append(nil, content)})
				case 1:
					if !full {
						b.Removals = append(b.Removals, key)
					}
				}
			}
			if !s.Merge(b).Changed {
				t.Fatal("the store did not take a batch")
			}
		}
		publish(true)
		t.Repeat(map[string]func(*rapid.T){
			"publish":   func(t *rapid.T) { publish(false) },
			"new epoch": func(t *rapid.T) { publish(true) },
			"resync":    func(t *rapid.T) { m.apply(t, i.Restate(f, true)) },
			"token scope": func(t *rapid.T) {
				f.Origin.ExportNamespaces = []string{rapid.SampledFrom([]string{"*", "hr"}).Draw(t, "scope")}
			},
			"rules": func(t *rapid.T) {
				f.Revision++
				f.Rules = nil
				if open := rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID[string]).Draw(t, "open"); len(open) > 0 {
					f.Rules = []policy.ExportRule{exportRule(open...)}
				}
			},
			"refusals": func(t *rapid.T) {
				f.Refused = map[string]string{}
				for _, key := range rapid.SliceOfDistinct(rapid.SampledFrom(keys), rapid.ID[string]).Draw(t, "refused") {
					f.Refused[key] = "because"
				}
			},
			"": func(t *rapid.T) {
				m.apply(t, i.Follow(f))
				want := map[string]string{}
				services := 0
				records, _ := s.Records("alpha")
				for key, r := range records {
					if f.keep(key) {
						want[key] = string(r.Record)
					}
					if f.service(key) {
						services++
					}
				}
				if services == 0 {
					clear(want)
				}
				if held := m.records(); !maps.Equal(want, held) {
					t.Fatalf("the agent holds %v, but may see %v", held, want)
				}
				if u := i.Follow(f); u != (Update{}) {
					t.Fatalf("told twice: %+v", u)
				}
			},
		})
	})
}

func TestFilterKeys(t *testing.T) {
	f := Filter{Origin: model.Cluster{Name: "alpha", ExportNamespaces: []string{"shop"}}, Importer: "beta", Rules: []policy.ExportRule{exportRule()}}
	for key, want := range map[string]bool{
		serviceKey("a"): true, model.GatewaysKey: true, model.StatusKey: false,
		"service/hr/a": false, "service/shop": false, "": false, "service//": false, "servicex/shop/a": false, "/shop/a": false, "other": false,
	} {
		if got := f.keep(key); got != want {
			t.Errorf("keep(%q) = %v", key, got)
		}
	}
}

func TestMembershipsOfOneNameAreKeptApart(t *testing.T) {
	s := catalog.New(catalog.Limits{Records: 20})
	i := New(s)
	f := Filter{Origin: model.Cluster{Name: "alpha", Incarnation: 9, ExportNamespaces: []string{"*"}}, Importer: "beta", Rules: []policy.ExportRule{exportRule()}}
	offer := func(incarnation uint64) {
		s.Merge(model.Batch{Origin: "alpha", Full: true, To: model.Version{Incarnation: incarnation, Epoch: 1, Seq: 1}, Upserts: []model.SignedRecord{{Key: serviceKey("a")}}})
	}
	offer(3)
	if u := i.Follow(f); u != (Update{}) {
		t.Fatalf("told of a membership that has ended: %+v", u)
	}
	offer(9)
	if u := i.Follow(f); u.Batch == nil || !u.Batch.Full {
		t.Fatalf("not told of the membership: %+v", u)
	}
	f.Origin.Incarnation = 12
	if u := i.Follow(f); !u.Dropped {
		t.Fatalf("the old membership's records were kept: %+v", u)
	}
}

func TestRefreshIsRare(t *testing.T) {
	s := catalog.New(catalog.Limits{Records: 20})
	i := New(s)
	f := Filter{Origin: model.Cluster{Name: "alpha", Incarnation: 1, ExportNamespaces: []string{"*"}}, Importer: "beta", Rules: []policy.ExportRule{exportRule()}}
	at, start := model.Version{Incarnation: 1, Epoch: 1, Seq: 1}, time.Unix(1000, 0)
	s.Merge(model.Batch{Origin: "alpha", Full: true, To: at, Upserts: []model.SignedRecord{{Key: serviceKey("a")}}, ProducedAt: start})
	i.Follow(f)
	var told []time.Duration
	for after := time.Duration(0); after <= 5*time.Second; after += 500 * time.Millisecond {
		if u := i.Refresh("alpha", at, start.Add(after), "x"); u.Batch != nil {
			if u.Batch.From != at || u.Batch.To != at || len(u.Batch.Upserts) != 0 {
				t.Fatalf("a refresh changes something: %+v", u.Batch)
			}
			told = append(told, after)
		}
	}
	if want := []time.Duration{FreshEvery, 2 * FreshEvery}; !slices.Equal(told, want) {
		t.Fatalf("refreshed after %v, want %v", told, want)
	}
}

func TestWhatCouldNotBeSentIsToldInFullAtTheNextChange(t *testing.T) {
	s := catalog.New(catalog.Limits{Records: 20})
	i := New(s)
	f := Filter{Origin: model.Cluster{Name: "alpha", Incarnation: 1, ExportNamespaces: []string{"*"}}, Importer: "beta", Rules: []policy.ExportRule{exportRule()}}
	at := model.Version{Incarnation: 1, Epoch: 1, Seq: 1}
	s.Merge(model.Batch{Origin: "alpha", Full: true, To: at, Upserts: []model.SignedRecord{{Key: serviceKey("a")}}})
	i.Follow(f)
	i.Lost("alpha")
	if u := i.Follow(f); u != (Update{}) {
		t.Fatalf("the same was tried again: %+v", u)
	}
	next := at
	next.Seq++
	s.Merge(model.Batch{Origin: "alpha", From: at, To: next, Upserts: []model.SignedRecord{{Key: serviceKey("b")}}})
	if u := i.Follow(f); u.Batch == nil || !u.Batch.Full || len(u.Batch.Upserts) != 2 {
		t.Fatalf("told %+v", u)
	}
}

func TestAnOriginThatShowsNothingIsDroppedOnce(t *testing.T) {
	s := catalog.New(catalog.Limits{Records: 20})
	i := New(s)
	f := Filter{Origin: model.Cluster{Name: "alpha", Incarnation: 1, ExportNamespaces: []string{"*"}}, Importer: "beta"}
	if u := i.Follow(f); u != (Update{}) {
		t.Fatalf("told of what the store does not hold: %+v", u)
	}
	s.Merge(model.Batch{Origin: "alpha", Full: true, To: model.Version{Incarnation: 1, Epoch: 1, Seq: 1}, Upserts: []model.SignedRecord{{Key: serviceKey("a")}}})
	if u := i.Follow(f); u != (Update{Dropped: true}) {
		t.Fatalf("an agent that may know more than it may see was told %+v", u)
	}
	if u := i.Follow(f); u != (Update{}) {
		t.Fatalf("told twice: %+v", u)
	}
}

func TestTheLastServicesRemovalIsToldBeforeTheDrop(t *testing.T) {
	at := func(epoch, seq uint64) model.Version { return model.Version{Incarnation: 1, Epoch: epoch, Seq: seq} }
	for name, c := range map[string]struct {
		withdrawn model.Batch
		rules     bool
		want      func(u Update) bool
	}{
		"by a change": {model.Batch{From: at(1, 1), To: at(1, 2), Removals: []string{serviceKey("a")}, Confirmed: true}, false, func(u Update) bool {
			return u.Dropped && u.Batch != nil && !u.Batch.Full && slices.Equal(u.Batch.Removals, []string{serviceKey("a")}) && u.Batch.Confirmed
		}},
		"by a new epoch": {model.Batch{Full: true, To: at(2, 1), Upserts: []model.SignedRecord{{Key: model.GatewaysKey}}}, false, func(u Update) bool {
			return u.Dropped && u.Batch != nil && u.Batch.Full && len(u.Batch.Upserts) == 1 && !u.Batch.Confirmed
		}},
		"by a new epoch, confirmed": {model.Batch{Full: true, To: at(2, 1), Confirmed: true}, false, func(u Update) bool {
			return u.Dropped && u.Batch != nil && u.Batch.Full && u.Batch.Confirmed
		}},
		"by the rules": {model.Batch{From: at(1, 1), To: at(1, 2), Removals: []string{serviceKey("a")}}, true, func(u Update) bool {
			return u == (Update{Dropped: true})
		}},
	} {
		s := catalog.New(catalog.Limits{Records: 20})
		i := New(s)
		f := Filter{Origin: model.Cluster{Name: "alpha", Incarnation: 1, ExportNamespaces: []string{"*"}}, Importer: "beta", Rules: []policy.ExportRule{exportRule()}}
		s.Merge(model.Batch{Origin: "alpha", Full: true, To: at(1, 1), Upserts: []model.SignedRecord{{Key: serviceKey("a")}, {Key: model.GatewaysKey}}})
		i.Follow(f)
		c.withdrawn.Origin = "alpha"
		s.Merge(c.withdrawn)
		if c.rules {
			f.Rules, f.Revision = nil, 1
		}
		if u := i.Follow(f); !c.want(u) {
			t.Errorf("%s: told %+v, %+v", name, u, u.Batch)
		}
	}
}
