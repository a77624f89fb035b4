package route

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
)

var (
	noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	keyB = RampKey{Service: pay, Cluster: "b", Locality: euA}
)

func at(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

func TestReturningCapacityClimbs(t *testing.T) {
	steps := []struct {
		name     string
		second   int
		observed Available
		ramp     uint32 // 0: none
		changes  []RampChange
		deadline int // 0: none
	}{
		{"first sight takes all", 0, Available{keyB: true}, 0, nil, 0},
		{"dies", 60, Available{keyB: false}, 0, nil, 0},
		{"returns", 100, Available{keyB: true}, 10, []RampChange{{keyB, 10}}, 110},
		{"nothing new", 109, Available{keyB: true}, 10, nil, 110},
		{"second step", 110, Available{keyB: true}, 25, []RampChange{{keyB, 25}}, 120},
		{"third step, late", 127, Available{keyB: true}, 50, []RampChange{{keyB, 50}}, 130},
		{"done", 130, Available{keyB: true}, 0, []RampChange{{keyB, 100}}, 0},
		{"dies by disappearing", 140, nil, 0, nil, 0},
		{"returns again", 150, Available{keyB: true}, 10, []RampChange{{keyB, 10}}, 160},
		{"dies while it climbs", 155, Available{keyB: false}, 0, []RampChange{{keyB, 100}}, 0},
		{"starts from the bottom", 156, Available{keyB: true}, 10, []RampChange{{keyB, 10}}, 166},
		{"gone", 170, nil, 0, []RampChange{{keyB, 100}}, 0},
		{"and forgotten", 170 + 600, nil, 0, nil, 0},
		{"is first seen again", 800, Available{keyB: true}, 0, nil, 0},
	}
	var f Failback
	for _, s := range steps {
		next, changes := f.Step(s.observed, at(s.second))
		f = next
		if got := f.Ramps()[keyB]; got != s.ramp {
			t.Fatalf("%s: ramp %d, want %d", s.name, got, s.ramp)
		}
		if len(changes) != len(s.changes) || len(changes) > 0 && !reflect.DeepEqual(changes, s.changes) {
			t.Fatalf("%s: changes %v, want %v", s.name, changes, s.changes)
		}
		deadline, ok := f.NextDeadline()
		if ok != (s.deadline > 0) || ok && !deadline.Equal(at(s.deadline)) {
			t.Fatalf("%s: deadline %v %v, want second %d", s.name, deadline, ok, s.deadline)
		}
	}
}

func TestCapacityThatStartsUnavailableDoesNotClimb(t *testing.T) {
	f, _ := Failback{}.Step(Available{keyB: false}, at(0))
	f, _ = f.Step(Available{keyB: true}, at(1))
	if len(f.Ramps()) != 0 {
		t.Errorf("a workload that has just started is limited: %v", f.Ramps())
	}
}

// Whatever happens, stepping at each deadline ends every ramp of what stays available within 30 s, and the old state is untouched.
func TestRampsEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f Failback
		now := noon
		for range rapid.IntRange(0, 10).Draw(t, "events") {
			observed := Available{}
			for _, c := range []model.ClusterName{"b", "c"} {
				if rapid.Bool().Draw(t, "present") {
					observed[RampKey{pay, c, euA}] = rapid.Bool().Draw(t, "available")
				}
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second)
			before := f.Ramps()
			next, _ := f.Step(observed, now)
			if !reflect.DeepEqual(before, f.Ramps()) {
				t.Fatal("Step changed the state that it was given")
			}
			f = next
		}
		end := now.Add(30 * time.Second)
		up := Available{}
		for k := range f.Ramps() {
			up[k] = true
		}
		for deadline, ok := f.NextDeadline(); ok; deadline, ok = f.NextDeadline() {
			if deadline.After(end) {
				t.Fatalf("a ramp lasts until %v, longer than %v", deadline, end)
			}
			before := f.Ramps()
			f, _ = f.Step(up, deadline)
			for k, p := range f.Ramps() {
				if p < before[k] {
					t.Fatalf("%v fell from %d to %d", k, before[k], p)
				}
			}
		}
		if len(f.Ramps()) > 0 {
			t.Fatalf("ramps without a deadline: %v", f.Ramps())
		}
	})
}

func TestObserve(t *testing.T) {
	r := Request{Service: pay, Cluster: "a", Local: append(own(euA, 1, 2), own(euB, 0, 2)...), Gateways: gateways("b", "c"),
		Remote: []RemoteCapacity{far("a", usA, 1, 1), far("b", euA, 1, 1), far("b", usA, 0, 1), far("c", euA, 1, 1), far("d", euA, 1, 1)}}
	r.Gateways["c"][0].Reach = ReachBad
	got := Available{}
	got.Observe(r)
	want := Available{
		{pay, "a", euA}: true, {pay, "a", euB}: false, {pay, "b", euA}: true, {pay, "b", usA}: false,
		{pay, "c", euA}: false, // reachable by no gateway
		{pay, "d", euA}: false, // no gateway
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}
