package feed

import (
	"fmt"
	"maps"
	"slices"
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

func importRule(services ...string) policy.ImportRule {
	return policy.ImportRule{Name: "i", Spec: policy.ImportRuleSpec{To: []string{"beta"}, From: []string{"alpha"}, Namespaces: []string{"*"}, Services: services}}
}

// mirror is what an agent holds.
type mirror struct{ *catalog.Imports }

func newMirror() mirror {
	open := func(model.ClusterName, model.ServiceKey) bool { return true }
	return mirror{catalog.NewImports(catalog.Limits{}, func(origin model.ClusterName, r model.SignedRecord) (model.Record, error) {
		return readable(origin, r), nil
	}, open)}
}

// readable is a record of the kind that its key says, with its content where it can be compared.
func readable(origin model.ClusterName, r model.SignedRecord) model.Record {
	out, content := model.Record{Cluster: origin}, string(r.Record)
	if judged, ok := model.CutVerdictKey(r.Key); ok {
		out.Verdicts = &model.VerdictSet{Cluster: judged, Verdicts: []model.Verdict{{Gateway: content}}}
	} else if namespace, name, ok := cutServiceKey(r.Key); ok {
		out.Service = &model.ServiceRecord{Service: model.ServiceKey{Namespace: namespace, Name: name}, Identities: []string{content}}
	} else if r.Key == model.StatusKey {
		out.Status = &model.SiteStatus{AgentVersion: content}
	} else {
		out.Gateways = []model.Gateway{{Name: content}}
	}
	return out
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
			switch {
			case r.Service != nil:
				out[r.Key()] = r.Service.Identities[0]
			case r.Verdicts != nil:
				out[r.Key()] = r.Verdicts.Verdicts[0].Gateway
			case r.Status != nil:
				out[r.Key()] = r.Status.AgentVersion
			default:
				out[r.Key()] = r.Gateways[0].Name
			}
		}
	}
	return out
}

// Law: whatever the origin publishes and however rules and refusals change, the agent holds exactly what it may see: the services that
// are open to it, with the gateways if there is one, and verdicts on clusters of which something is open to it. It is told nothing else;
// only the last service may leave with the gateways as they are then.
func TestAgentHoldsExactlyWhatItMaySee(t *testing.T) {
	names := []string{"a", "b", "c"}
	keys := []string{
		serviceKey("a"), serviceKey("b"), serviceKey("c"), model.GatewaysKey, model.StatusKey,
		model.VerdictKey("gamma"), model.VerdictKey("delta"), model.VerdictKey("alpha"),
	}
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
				f.Rules, f.Sees = nil, map[model.ClusterName]bool{"alpha": true, "gamma": rapid.Bool().Draw(t, "gamma")}
				f.Takes = nil
				if taken := rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID[string]).Draw(t, "taken"); len(taken) > 0 {
					f.Takes = []policy.ImportRule{importRule(taken...)}
				}
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
				want := map[string]string{}
				records, _ := s.Records("alpha")
				services := false
				for key, r := range records {
					_, refused := f.Refused[key]
					open := f.service(key)
					if open || key == model.VerdictKey("gamma") && f.Sees["gamma"] && !refused {
						want[key] = string(r.Record)
					}
					services = services || open
				}
				gateways, listed := records[model.GatewaysKey]
				if _, refused := f.Refused[model.GatewaysKey]; listed && services && !refused {
					want[model.GatewaysKey] = string(gateways.Record)
				}
				served := slices.ContainsFunc(slices.Collect(maps.Keys(m.records())), isService)
				u := i.Follow(f)
				m.apply(t, u)
				for _, r := range u.told() {
					if _, may := want[r.Key]; !may && (r.Key != model.GatewaysKey || !served) {
						t.Fatalf("the agent is told %q, which is not its to see", r.Key)
					}
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

// told are the records that an update carries.
func (u Update) told() []model.SignedRecord {
	if u.Batch == nil {
		return nil
	}
	return u.Batch.Upserts
}

// isService reports whether a key is a service's.
func isService(key string) bool {
	_, _, ok := cutServiceKey(key)
	return ok
}

func TestFilterKeys(t *testing.T) {
	f := Filter{
		Origin: model.Cluster{Name: "alpha", ExportNamespaces: []string{"shop"}}, Importer: "beta", Rules: []policy.ExportRule{exportRule()},
		Sees:    map[model.ClusterName]bool{"alpha": true, "gamma": true, "delta": true},
		Refused: map[string]string{model.VerdictKey("delta"): "because"},
	}
	for key, want := range map[string]bool{
		model.VerdictKey("gamma"): true, model.VerdictKey("delta"): false, model.VerdictKey("alpha"): false, model.VerdictKey("zug"): false,
		"verdicts/": false, "verdicts/gamma/x": false,
		serviceKey("a"): true, model.GatewaysKey: true, model.StatusKey: false,
		"service/hr/a": false, "service/shop": false, "": false, "service//": false, "servicex/shop/a": false, "/shop/a": false, "other": false,
	} {
		if got := f.keep(key, true); got != want {
			t.Errorf("keep(%q) = %v", key, got)
		}
	}
}

// What an importer does not take it is not told of, nor of the gateways before it.
func TestWhatIsNotTakenIsNotTold(t *testing.T) {
	f := Filter{
		Origin: model.Cluster{Name: "alpha", ExportNamespaces: []string{"*"}}, Importer: "beta", Rules: []policy.ExportRule{exportRule()},
		Takes: []policy.ImportRule{importRule("a")},
	}
	if !f.service(serviceKey("a")) || f.service(serviceKey("b")) {
		t.Error("the import rule does not decide")
	}
	f.Takes[0].Spec.To = []string{"gamma"}
	if !f.service(serviceKey("b")) {
		t.Error("another cluster's import rule decides")
	}
}

func TestSeesFollowsTheRules(t *testing.T) {
	shop := model.Cluster{Name: "alpha", ExportNamespaces: []string{"shop"}}
	members := map[model.ClusterName]model.Cluster{
		"alpha": shop, "beta": {Name: "beta", ExportNamespaces: []string{"*"}}, "gamma": {Name: "gamma"},
	}
	rules := []policy.ExportRule{exportRule()}
	if got := Sees(rules, []policy.ImportRule{importRule()}, members, "beta"); !maps.Equal(got, map[model.ClusterName]bool{"alpha": true}) {
		t.Errorf("beta sees %v", got)
	}
	if got := Sees(rules, nil, members, "gamma"); len(got) != 0 {
		t.Errorf("gamma sees %v", got)
	}
	other := importRule()
	other.Spec.From = []string{"gamma"}
	if got := Sees(rules, []policy.ImportRule{other}, members, "beta"); len(got) != 0 {
		t.Errorf("beta takes nothing of alpha and sees %v", got)
	}
}

func TestAProberOfWhichNoServiceIsSeenIsHeard(t *testing.T) {
	s := catalog.New(catalog.Limits{Records: 20})
	i := New(s)
	f := Filter{
		Origin: model.Cluster{Name: "alpha", Incarnation: 1, ExportNamespaces: []string{"*"}}, Importer: "beta",
		Sees: map[model.ClusterName]bool{"gamma": true},
	}
	at, produced := model.Version{Incarnation: 1, Epoch: 1, Seq: 1}, time.Unix(1000, 0)
	s.Merge(model.Batch{Origin: "alpha", Full: true, To: at, ProducedAt: produced, Upserts: []model.SignedRecord{
		{Key: serviceKey("a")}, {Key: model.GatewaysKey}, {Key: model.VerdictKey("gamma")}, {Key: model.VerdictKey("delta")},
	}})
	u := i.Follow(f)
	if u.Batch == nil || len(u.Batch.Upserts) != 1 || u.Batch.Upserts[0].Key != model.VerdictKey("gamma") {
		t.Fatalf("told %+v", u.Batch)
	}
	if u := i.Refresh("alpha", at, produced.Add(FreshEvery), "x"); u.Batch == nil {
		t.Error("its words would expire although it lives")
	}
	next := at
	next.Seq++
	s.Merge(model.Batch{Origin: "alpha", From: at, To: next, ProducedAt: produced, Upserts: []model.SignedRecord{{Key: model.GatewaysKey, Record: []byte{1}}}})
	if u := i.Follow(f); u != (Update{}) {
		t.Fatalf("told of gateways to services that it does not see: %+v", u.Batch)
	}
	f.Rules, f.Revision = []policy.ExportRule{exportRule()}, 1
	if u := i.Follow(f); u.Batch == nil || len(u.Batch.Upserts) != 3 {
		t.Fatalf("once a service is open it is told %+v", u.Batch)
	}
	f.Rules, f.Sees, f.Revision = nil, nil, 2
	if u := i.Follow(f); u != (Update{Dropped: true}) {
		t.Fatalf("once nothing is open it is told %+v", u)
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

// Two writers may say different things under one version; the one that the store settles for is what the importer must hold, and changes of
// that one must not be told on top of the other.
func TestWhoWasToldTheLoserOfATieIsToldTheWinner(t *testing.T) {
	f := Filter{Origin: model.Cluster{Name: "alpha", Incarnation: 1, ExportNamespaces: []string{"*"}}, Importer: "beta", Rules: []policy.ExportRule{exportRule()}}
	at := model.Version{Incarnation: 1, Epoch: 1, Seq: 1}
	said := func(instance string) model.Batch {
		return model.Batch{Origin: "alpha", Full: true, To: at, Instance: instance, Upserts: []model.SignedRecord{{Key: serviceKey("a"), Record: []byte(instance)}}}
	}
	first, second := said("one"), said("two")
	if trial := catalog.New(catalog.Limits{Records: 20}); trial.Merge(first).Changed && !trial.Merge(second).Changed {
		first, second = second, first
	}
	for name, after := range map[string]func(*catalog.Catalog){
		"at once": func(*catalog.Catalog) {},
		"after its next change": func(s *catalog.Catalog) {
			next := model.Batch{Origin: "alpha", From: at, To: at, Instance: second.Instance, Upserts: []model.SignedRecord{{Key: serviceKey("b")}}}
			next.To.Seq++
			s.Merge(next)
		},
	} {
		s := catalog.New(catalog.Limits{Records: 20})
		i := New(s)
		s.Merge(first)
		i.Follow(f)
		s.Merge(second)
		after(s)
		u := i.Follow(f)
		if u.Batch == nil || !u.Batch.Full || string(u.Batch.Upserts[0].Record) != second.Instance {
			t.Errorf("%s: told %+v", name, u.Batch)
		}
		if u := i.Follow(f); u != (Update{}) {
			t.Errorf("%s: told again: %+v", name, u)
		}
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

func TestWhoAsksIsToldWhatIsKnown(t *testing.T) {
	s := catalog.New(catalog.Limits{Records: 20})
	i := New(s)
	f := Filter{Origin: model.Cluster{Name: "alpha", Incarnation: 1, ExportNamespaces: []string{"*"}}, Importer: "beta"}
	if u := i.Restate(f, true); u != (Update{}) {
		t.Fatalf("a node that holds nothing of a member says %+v", u)
	}
	s.Merge(model.Batch{Origin: "alpha", Full: true, To: model.Version{Incarnation: 1, Epoch: 1, Seq: 1}, Upserts: []model.SignedRecord{{Key: serviceKey("a")}}})
	if u := i.Restate(f, true); u != (Update{Dropped: true}) {
		t.Fatalf("of a member that shows nothing: %+v", u)
	}
	if u := i.Forget("alpha", true); u != (Update{Dropped: true}) {
		t.Fatalf("of who is no member: %+v", u)
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
