package catalog

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
)

// shop says the services from first up to last, excluding it.
func shop(first, last int) []model.SignedRecord {
	var out []model.SignedRecord
	for n := first; n < last; n++ {
		out = append(out, said(fmt.Sprintf("s%03d", n), 1))
	}
	return out
}

func keys(records []model.SignedRecord) []string {
	var out []string
	for _, r := range records {
		out = append(out, r.Key)
	}
	return out
}

// importer is imports with a clock and rules.
type importer struct {
	*Imports
	now    time.Time
	closed map[string]bool
}

func newImporter() *importer {
	n := &importer{now: start, closed: map[string]bool{}}
	n.Imports = NewImports(Limits{Records: 200}, (&notary{}).verify, func(_ model.ClusterName, s model.ServiceKey) bool { return !n.closed[s.Name] })
	return n
}

func (n *importer) after(d time.Duration) { n.now = n.now.Add(d) }

func (n *importer) take(t interface{ Fatalf(string, ...any) }, b model.Batch) {
	if _, gap, err := n.Apply(b, n.now); gap || err != nil {
		t.Fatalf("%v: gap %v, %v", b, gap, err)
	}
}

func (n *importer) expire() { n.Expire(n.now) }

// inForce counts the services in force.
func (n *importer) inForce() int { return len(n.names()) }

func (n *importer) names() []string {
	var out []string
	for _, o := range n.All() {
		for _, r := range o.Records {
			if r.Service != nil {
				out = append(out, r.Service.Service.Name)
			}
		}
	}
	return out
}

func TestAMassIsOverTenAndOverHalf(t *testing.T) {
	for _, c := range []struct {
		before, gone int
		held         bool
	}{
		{20, 11, true}, {20, 20, true}, {21, 11, true}, {11, 11, true}, {10, 10, false}, {20, 10, false}, {22, 11, false}, {100, 50, false}, {100, 51, true},
	} {
		for how, end := range map[string]func(n *importer){
			"removals":                   func(n *importer) { n.take(t, without(delta(1, 1, 2), keys(shop(0, c.gone))...)) },
			"a newer epoch without them": func(n *importer) { n.take(t, full(2, 1, shop(c.gone, c.before)...)) },
			"a newer state without them": func(n *importer) { n.take(t, full(1, 9, shop(c.gone, c.before)...)) },
		} {
			n := newImporter()
			n.take(t, full(1, 1, shop(0, c.before)...))
			n.after(time.Hour)
			end(n)
			want := c.before - c.gone
			if c.held {
				want = c.before
			}
			if n.inForce() != want {
				t.Errorf("%d of %d by %s: %d in force, want %d", c.gone, c.before, how, n.inForce(), want)
			}
			n.after(holdFor - 1)
			if n.expire(); n.inForce() != want {
				t.Errorf("%d of %d by %s: %d in force before the end of the hold, want %d", c.gone, c.before, how, n.inForce(), want)
			}
			n.after(1)
			if n.expire(); n.inForce() != c.before-c.gone || len(n.All()[0].Held) != 0 {
				t.Errorf("%d of %d by %s: %d in force after the hold", c.gone, c.before, how, n.inForce())
			}
		}
	}
}

func TestAMassMayComeInParts(t *testing.T) {
	for pause, want := range map[time.Duration]int{massWindow: 20, massWindow + 1: 8} {
		n := newImporter()
		n.take(t, full(1, 1, shop(0, 20)...))
		n.take(t, without(delta(1, 1, 2), keys(shop(0, 6))...))
		if n.inForce() != 14 {
			t.Fatalf("six of twenty: %d in force", n.inForce())
		}
		n.after(pause)
		n.take(t, without(delta(1, 2, 3), keys(shop(6, 12))...))
		if n.inForce() != want {
			t.Errorf("six more after %v: %d in force, want %d", pause, n.inForce(), want)
		}
	}
}

func TestWhatIsHeldIsSaid(t *testing.T) {
	n := newImporter()
	n.take(t, full(1, 1, shop(0, 20)...))
	n.take(t, full(2, 1, shop(12, 20)...))
	o := n.All()[0]
	want := "12 of 20 services of cluster alpha vanished at once; held until 2026-01-01T00:00:30Z; if that was meant, confirm it there: hanse agent confirm-removals"
	if !slices.Equal(o.Held, []string{want}) || o.HeldRecords != 12 {
		t.Errorf("held: %q, %d", o.Held, o.HeldRecords)
	}
	if changed, next := n.Expire(n.now); changed || !next.Equal(start.Add(holdFor)) {
		t.Errorf("Expire: %v, %v", changed, next)
	}
	// The last of the mass to go joins its hold.
	n.after(massWindow)
	n.take(t, without(delta(2, 1, 2), keys(shop(12, 15))...))
	if o := n.All()[0]; len(o.Held) != 1 || !strings.HasPrefix(o.Held[0], "15 of 20") || n.inForce() != 20 {
		t.Errorf("held: %q", o.Held)
	}
}

func TestAHoldEndsEarly(t *testing.T) {
	confirmed := func(b model.Batch) model.Batch { b.Confirmed = true; return b }
	rejoined := full(1, 1, said("s019", 1))
	rejoined.To.Incarnation++
	for name, c := range map[string]struct {
		by   func(n *importer)
		want int
	}{
		"confirmed by a new epoch":    {func(n *importer) { n.take(t, confirmed(full(3, 1, shop(15, 20)...))) }, 5},
		"confirmed by a change":       {func(n *importer) { n.take(t, confirmed(delta(2, 1, 2))) }, 5},
		"the records come back":       {func(n *importer) { n.take(t, delta(2, 1, 2, shop(0, 15)...)); n.after(holdFor); n.expire() }, 20},
		"another incarnation":         {func(n *importer) { n.take(t, rejoined) }, 1},
		"no rule opens them any more": {func(n *importer) { n.closed["s000"], n.closed["s019"] = true, true; n.Recheck() }, 18},
		"a confirmation of life":      {func(n *importer) { n.take(t, at(delta(2, 1, 1), time.Second)) }, 20},
		"a node that lags behind":     {func(n *importer) { n.take(t, full(1, 1, shop(0, 20)...)) }, 20},
		"the node says it once more":  {func(n *importer) { n.take(t, full(2, 1, shop(15, 20)...)) }, 20},
		"another new epoch":           {func(n *importer) { n.take(t, full(3, 1, shop(15, 20)...)) }, 20},
		"records that do not count": {func(n *importer) {
			n.take(t, delta(2, 1, 2, model.SignedRecord{Key: said("s000", 1).Key}))
			n.after(holdFor)
			n.expire()
		}, 6},
	} {
		n := newImporter()
		n.take(t, full(1, 1, shop(0, 20)...))
		n.take(t, full(2, 1, shop(15, 20)...))
		if n.inForce() != 20 {
			t.Fatalf("not held: %d", n.inForce())
		}
		if c.by(n); n.inForce() != c.want {
			t.Errorf("%s: %d in force, want %d", name, n.inForce(), c.want)
		}
	}
}

func TestWhatTheFilterLeavesOutIsNotHeld(t *testing.T) {
	n := newImporter()
	n.take(t, full(1, 1, shop(0, 20)...))
	n.take(t, full(1, 1, shop(15, 20)...))
	if n.inForce() != 5 {
		t.Errorf("a full state of the version that is held: %d in force, want 5", n.inForce())
	}
	// The rules are known to be changed before the node says the rest, together with a new version.
	n.take(t, full(1, 2, shop(0, 20)...))
	for _, r := range shop(0, 15) {
		n.closed[strings.TrimPrefix(r.Key, "service/shop/")] = true
	}
	if n.Recheck(); n.inForce() != 5 {
		t.Errorf("what no rule opens is used: %d in force", n.inForce())
	}
	n.take(t, full(1, 3, shop(16, 20)...))
	if n.inForce() != 4 {
		t.Errorf("%d in force, want 4", n.inForce())
	}
}

func TestOnlyServicesAndTheWayToThemAreHeld(t *testing.T) {
	n := newImporter()
	others := []model.SignedRecord{said("x", 1), said("y", 1)}
	others[0].Key, others[1].Key = model.GatewaysKey, model.StatusKey
	n.verify = func(origin model.ClusterName, r model.SignedRecord) (model.Record, error) {
		rec, err := (&notary{}).verify(origin, r)
		if r.Key == model.GatewaysKey || r.Key == model.StatusKey {
			rec.Service = nil
		}
		return rec, err
	}
	n.take(t, full(1, 1, append(shop(0, 20), others...)...))
	n.take(t, full(2, 1))
	if n.inForce() != 20 || len(n.All()[0].Records) != 21 {
		t.Errorf("%d services in force of %d records, want those and the way to them", n.inForce(), len(n.All()[0].Records))
	}
}

func TestADroppedOriginIsHeldWithItsGateways(t *testing.T) {
	n := newImporter()
	gateways := said("x", 1)
	gateways.Key = model.GatewaysKey
	n.verify = func(origin model.ClusterName, r model.SignedRecord) (model.Record, error) {
		rec, err := (&notary{}).verify(origin, r)
		if r.Key == model.GatewaysKey {
			rec.Service = nil
		}
		return rec, err
	}
	n.take(t, full(1, 1, append(shop(0, 20), gateways)...))
	if !n.Drop(alpha, n.now) || n.inForce() != 20 || len(n.All()[0].Records) != 21 {
		t.Fatalf("dropped at once: %d in force", n.inForce())
	}
	if _, gap, _ := n.Apply(delta(1, 1, 2, said("a", 1)), n.now); !gap {
		t.Error("a change builds on what was dropped")
	}
	data, err := n.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back := newImporter()
	if back.verify = n.verify; back.Load(data) != nil || back.inForce() != 20 {
		t.Fatalf("after a restart: %d in force", back.inForce())
	}
	for name, n := range map[string]*importer{"as it was": n, "after a restart": back} {
		n.after(holdFor)
		if n.expire(); len(n.All()) != 0 {
			t.Errorf("%s: after the hold there is %+v", name, n.All())
		}
	}
	few := newImporter()
	few.take(t, full(1, 1, shop(0, 5)...))
	if few.Drop(alpha, few.now); len(few.All()) != 0 {
		t.Errorf("a few services: %+v", few.All())
	}
	shut := newImporter()
	shut.take(t, full(1, 1, shop(0, 20)...))
	shut.Drop(alpha, shut.now)
	for _, name := range shut.names() {
		shut.closed[name] = true
	}
	if shut.Recheck(); len(shut.All()) != 0 {
		t.Errorf("closed by the rules: %+v", shut.All())
	}
}

// TestServicesAreHeldWithTheirWay has an origin lose everything, as a damaged registry does: its gateways go with its services.
func TestServicesAreHeldWithTheirWay(t *testing.T) {
	way := said("x", 1)
	way.Key = model.GatewaysKey
	all := append(shop(0, 20), way)
	ways := func(n *importer) (gateways int) {
		for _, r := range n.All()[0].Records {
			gateways += len(r.Gateways)
		}
		return gateways
	}
	for name, c := range map[string]struct {
		lose     func(n *importer)
		services int
	}{
		"all in one change": {func(n *importer) { n.take(t, without(delta(1, 1, 2), keys(all)...)) }, 20},
		"a new epoch":       {func(n *importer) { n.take(t, full(2, 1)) }, 20},
		"gateways first": {func(n *importer) {
			n.take(t, without(delta(1, 1, 2), way.Key))
			n.after(massWindow / 2)
			n.take(t, without(delta(1, 2, 3), keys(shop(0, 15))...))
		}, 20},
		"gateways last": {func(n *importer) {
			n.take(t, without(delta(1, 1, 2), keys(shop(0, 15))...))
			n.after(holdFor / 2)
			n.take(t, without(delta(1, 2, 3), way.Key))
			n.after(-holdFor / 2)
		}, 20},
		"the services come back before the gateways": {func(n *importer) {
			n.take(t, full(2, 1))
			n.take(t, delta(2, 1, 2, shop(0, 20)...))
		}, 20},
	} {
		verify := func(origin model.ClusterName, r model.SignedRecord) (model.Record, error) {
			rec, err := (&notary{}).verify(origin, r)
			if r.Key == model.GatewaysKey {
				rec.Service, rec.Gateways = nil, []model.Gateway{{Name: "gw"}}
			}
			return rec, err
		}
		n := newImporter()
		n.verify = verify
		n.take(t, full(1, 1, all...))
		c.lose(n)
		if n.inForce() != c.services || ways(n) != 1 {
			t.Errorf("%s: %d services in force, %d gateways", name, n.inForce(), ways(n))
		}
		data, err := n.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		back := newImporter()
		if back.verify = verify; back.Load(data) != nil || !reflect.DeepEqual(n.All(), back.All()) {
			t.Errorf("%s: %+v became\n%+v", name, n.All(), back.All())
		}
		n.after(holdFor)
		if n.expire(); ways(n) != 0 {
			t.Errorf("%s: %d gateways after the hold", name, ways(n))
		}
	}
}

// TestVerdictsAreNotHeld follows an origin that keeps telling of gateways elsewhere while its own services vanish.
func TestVerdictsAreNotHeld(t *testing.T) {
	n := newImporter()
	n.verify = func(origin model.ClusterName, r model.SignedRecord) (model.Record, error) {
		rec, err := (&notary{}).verify(origin, r)
		if judged, ok := model.CutVerdictKey(r.Key); ok {
			rec.Service, rec.Verdicts = nil, &model.VerdictSet{Cluster: judged}
		} else if r.Key == model.GatewaysKey {
			rec.Service, rec.Gateways = nil, []model.Gateway{{Name: "gw"}}
		}
		return rec, err
	}
	count := func(n *importer) (services, verdicts, gateways int) {
		for _, o := range n.All() {
			for _, r := range o.Records {
				switch {
				case r.Service != nil:
					services++
				case r.Verdicts != nil:
					verdicts++
				default:
					gateways += len(r.Gateways)
				}
			}
		}
		return services, verdicts, gateways
	}
	gateways, bern := said("x", 1), said("x", 1)
	gateways.Key, bern.Key = model.GatewaysKey, model.VerdictKey("bern")
	records := append(shop(0, 20), gateways, bern)
	var probed []model.SignedRecord
	for i := range 30 {
		r := said("x", 1)
		r.Key = model.VerdictKey(model.ClusterName(fmt.Sprint("c", i)))
		probed = append(probed, r)
	}
	n.take(t, full(1, 1, append(records, probed...)...))
	n.take(t, without(delta(1, 1, 2), keys(probed)...))
	if s, v, g := count(n); s != 20 || v != 1 || g != 1 || len(n.All()[0].Held) != 0 {
		t.Fatalf("after many verdicts went there are %d services, %d verdicts, %d gateways, held %q", s, v, g, n.All()[0].Held)
	}
	n.take(t, without(delta(1, 2, 3), keys(shop(0, 20))...))
	if s, v, g := count(n); s != 20 || v != 1 || g != 1 {
		t.Fatalf("after the services went there are %d services, %d verdicts, %d gateways", s, v, g)
	}
	n.after(holdFor)
	n.expire()
	if s, v, g := count(n); s != 0 || v != 1 || g != 0 {
		t.Fatalf("after the hold there are %d services, %d verdicts, %d gateways", s, v, g)
	}
	data, err := n.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back := newImporter()
	back.verify = n.verify
	if err := back.Load(data); err != nil {
		t.Fatal(err)
	}
	if s, v, _ := count(back); s != 0 || v != 1 {
		t.Errorf("after a restart there are %d services, %d verdicts", s, v)
	}
	if n.Drop(alpha, n.now); len(n.All()) != 0 {
		t.Errorf("after the drop there is %+v", n.All())
	}
}

func TestAHoldSurvivesARestart(t *testing.T) {
	n := newImporter()
	n.take(t, full(1, 1, shop(0, 20)...))
	n.after(time.Minute)
	n.take(t, without(delta(1, 1, 2), keys(shop(0, 15))...))
	n.after(10 * time.Second)
	data, err := n.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	back := newImporter()
	if err := back.Load(data); err != nil || !reflect.DeepEqual(n.All(), back.All()) {
		t.Fatalf("%+v became\n%+v, %v", n.All(), back.All(), err)
	}
	back.now = n.now
	back.take(t, full(1, 2, shop(15, 20)...))
	if back.inForce() != 20 {
		t.Errorf("the first session after the restart ends the hold: %d in force", back.inForce())
	}
	back.after(20 * time.Second)
	if back.expire(); back.inForce() != 5 {
		t.Errorf("%d in force after the hold", back.inForce())
	}
	// A clock that was far ahead at the time of saving makes no hold of hours.
	early := newImporter()
	if err := early.Load(data); err != nil {
		t.Fatal(err)
	}
	early.now = start.Add(-time.Hour)
	if _, next := early.Expire(early.now); !next.Equal(early.now.Add(holdFor)) {
		t.Errorf("held until %v", next)
	}
}

func TestConfirmedAtIsThisProcessesClock(t *testing.T) {
	n := newImporter()
	want := func(what string, at time.Time) {
		t.Helper()
		if got := n.All()[0].ConfirmedAt; !got.Equal(at) {
			t.Errorf("%s: confirmed at %v, want %v", what, got, at)
		}
	}
	n.take(t, at(full(1, 1, said("a", 1)), -time.Hour))
	want("first sight", start)
	n.after(time.Minute)
	n.take(t, at(full(1, 1, said("a", 1)), -time.Hour))
	want("the same, told again", start)
	n.take(t, at(delta(1, 1, 1), -time.Hour+1))
	want("a sign of life", start.Add(time.Minute))
	n.after(time.Minute)
	n.take(t, at(delta(1, 1, 1), -2*time.Hour))
	want("an older sign of life", start.Add(time.Minute))
	n.take(t, at(delta(1, 1, 2), -2*time.Hour))
	want("a newer version by a clock that was set back", start.Add(2*time.Minute))
	n.after(time.Minute)
	data, _ := n.Marshal()
	back := newImporter()
	back.now = n.now.Add(time.Hour)
	if err := back.Load(data); err != nil {
		t.Fatal(err)
	}
	n = back
	want("after a restart", start.Add(2*time.Minute))
}

func TestAClockThatWasSetBackMakesNothingFresh(t *testing.T) {
	n := newImporter()
	n.take(t, full(1, 1, shop(0, 1)...))
	for _, c := range []struct{ now, confirmed time.Duration }{{time.Minute, 0}, {-time.Hour, -time.Hour}, {-time.Minute, -time.Hour}} {
		n.Expire(start.Add(c.now))
		if got := n.All()[0].ConfirmedAt; !got.Equal(start.Add(c.confirmed)) {
			t.Errorf("at %v it is said to be confirmed at %v", c.now, got.Sub(start))
		}
	}
}

// TestWhatIsInForceWasSaidLately has an origin publish anything while rules change and time passes: what is in force is what it says and
// the rules open, and of what it has ceased to say at most what went within the time of a hold; without a mass nothing is held at all.
// What is held is bounded.
func TestWhatIsInForceWasSaidLately(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := newImporter()
		at := version(1, 1)
		says, ended := map[string]bool{}, map[string]time.Time{}
		name := rapid.Map(rapid.IntRange(0, 29), func(n int) string { return fmt.Sprintf("s%03d", n) })
		mass := false
		end := func(name string) { ended[name] = n.now; delete(says, name) }
		publish := func(t *rapid.T, wholly bool) {
			next := map[string]bool{}
			for _, name := range rapid.SliceOfDistinct(name, rapid.ID[string]).Draw(t, "says") {
				next[name] = true
			}
			b := model.Batch{Origin: alpha, From: at, Instance: "x", ProducedAt: n.now, Full: wholly}
			if at.Seq++; wholly {
				at.Epoch++
			}
			b.To = at
			for _, name := range slices.Sorted(maps.Keys(says)) {
				if !next[name] {
					end(name)
					b.Removals = append(b.Removals, "service/shop/"+name)
				}
			}
			mass = mass || len(b.Removals) > 3
			for name := range next {
				delete(ended, name)
				says[name] = true
				b.Upserts = append(b.Upserts, said(name, 1))
			}
			if wholly {
				b.Removals = nil
			}
			n.take(t, b)
		}
		n.take(t, full(1, 1, said("s000", 1)))
		says["s000"] = true
		t.Repeat(map[string]func(*rapid.T){
			"change":    func(t *rapid.T) { publish(t, false) },
			"new epoch": func(t *rapid.T) { publish(t, true) },
			"rules": func(t *rapid.T) {
				name := name.Draw(t, "name")
				n.closed[name] = !n.closed[name]
				n.Recheck()
			},
			"time": func(t *rapid.T) {
				n.after(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "ms")) * time.Millisecond)
				n.expire()
			},
			"": func(t *rapid.T) {
				in := map[string]bool{}
				for _, name := range n.names() {
					in[name] = true
					if n.closed[name] {
						t.Fatalf("%s is in force, but closed", name)
					}
					if went, ok := ended[name]; ok && n.now.Sub(went) >= holdFor+massWindow {
						t.Fatalf("%s is held %v after its end", name, n.now.Sub(went))
					} else if !ok && !says[name] {
						t.Fatalf("%s was never said", name)
					}
				}
				for name := range says {
					if !n.closed[name] && !in[name] {
						t.Fatalf("%s is said and open, but not in force", name)
					}
				}
			},
		})
		n.after(holdFor)
		n.expire()
		open := 0
		for name := range says {
			if !n.closed[name] {
				open++
			}
		}
		if n.inForce() != open {
			t.Fatalf("%d in force after a quiet time, %d are said", n.inForce(), open)
		}
	})
}

func TestHoldsAreBounded(t *testing.T) {
	n := newImporter()
	for epoch := range uint64(100) {
		first := int(epoch) * 150
		n.take(t, full(epoch+1, 1, shop(first, first+150)...))
		if got := n.inForce(); got > 150+200 {
			t.Fatalf("%d in force of an origin that may have 200", got)
		}
		n.after(100 * time.Millisecond)
	}
}
