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
	steps := []failbackStep{
		{"first sight takes all", 0, Available{keyB: true}, 0, nil, 0},
		{"dies", 60, Available{keyB: false}, 0, nil, 0},
		{"returns", 100, Available{keyB: true}, 10, []RampChange{{keyB, 10}}, 110},
		{"nothing new", 109, Available{keyB: true}, 10, nil, 110},
		{"second step", 110, Available{keyB: true}, 25, []RampChange{{keyB, 25}}, 120},
		{"third step, late", 127, Available{keyB: true}, 50, []RampChange{{keyB, 50}}, 130},
		{"done", 130, Available{keyB: true}, 0, []RampChange{{keyB, 100}}, 0},
		{"dies by disappearing", 170, nil, 0, nil, 0},
		{"returns again", 180, Available{keyB: true}, 10, []RampChange{{keyB, 10}}, 190},
		{"dies while it climbs", 185, Available{keyB: false}, 0, []RampChange{{keyB, 100}}, 0},
		{"starts from the bottom", 186, Available{keyB: true}, 10, []RampChange{{keyB, 10}}, 196},
		{"gone", 200, nil, 0, []RampChange{{keyB, 100}}, 0},
		{"and forgotten", 200 + 600, nil, 0, nil, 0},
		{"is first seen again", 900, Available{keyB: true}, 0, nil, 0},
	}
	walk(t, steps)
}

func TestCapacityThatDiesAgainAndAgainIsHeldDown(t *testing.T) {
	up, down, held := Available{keyB: true}, Available{keyB: false}, []RampChange{{keyB, HeldDown}}
	walk(t, []failbackStep{
		{"first sight", 0, up, 0, nil, 0},
		{"first death", 1, down, 0, nil, 0},
		{"a restart costs a ramp", 2, up, 10, []RampChange{{keyB, 10}}, 12},
		{"second death", 3, down, 0, []RampChange{{keyB, 100}}, 0},
		{"and so does a second one", 4, up, 10, []RampChange{{keyB, 10}}, 14},
		{"third death", 5, down, 0, []RampChange{{keyB, 100}}, 0},
		{"held down", 6, up, isHeld, held, 16},
		{"still", 15, up, isHeld, nil, 16},
		{"climbs", 16, up, 10, []RampChange{{keyB, 10}}, 26},
		{"and on", 30, up, 25, []RampChange{{keyB, 25}}, 36},
		{"fourth death", 31, down, 0, []RampChange{{keyB, 100}}, 0},
		{"held down for longer", 32, up, isHeld, held, 52},
		{"climbed", 90, up, 0, []RampChange{{keyB, 100}}, 0},
		{"lives", 120, up, 0, nil, 0},
		{"a death after a quiet time is the first", 130, down, 0, nil, 0},
		{"returns", 131, up, 10, []RampChange{{keyB, 10}}, 141},
		{"dies", 132, down, 0, []RampChange{{keyB, 100}}, 0},
		{"returns", 133, up, 10, []RampChange{{keyB, 10}}, 143},
		{"dies a third time, for long", 134, down, 0, []RampChange{{keyB, 100}}, 0},
		{"that is no flapping", 200, up, 10, []RampChange{{keyB, 10}}, 210},
	})
}

func TestAClockThatIsSetBackDoesNotStopARamp(t *testing.T) {
	f, _ := Failback{}.Step(Available{keyB: true}, at(0))
	f, _ = f.Step(Available{keyB: false}, at(7200))
	f, _ = f.Step(Available{keyB: true}, at(7201))
	f, _ = f.Step(Available{keyB: true}, at(1))
	if deadline, _ := f.NextDeadline(); f.Ramps()[keyB] != 10 || !deadline.Equal(at(11)) {
		t.Errorf("an hour back: %v until %v", f.Ramps(), deadline)
	}
}

// isHeld stands for HeldDown where 0 means none.
const isHeld = 1000

type failbackStep = struct {
	name     string
	second   int
	observed Available
	ramp     uint32 // 0: none
	changes  []RampChange
	deadline int // 0: none
}

func walk(t *testing.T, steps []failbackStep) {
	t.Helper()
	var f Failback
	for _, s := range steps {
		next, changes := f.Step(s.observed, at(s.second))
		f = next
		got, limited := f.Ramps()[keyB]
		if limited && got == HeldDown {
			got = isHeld
		}
		if got != s.ramp {
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

// Whatever happens, stepping at each deadline ends every ramp of what stays available within 30 s and the longest hold, and the old
// state is untouched.
func TestRampsEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f Failback
		now := noon
		for range rapid.IntRange(0, 10).Draw(t, "events") {
			observed := Available{}
			for _, c := range []model.ClusterName{"b", "c"} {
				if rapid.Bool().Draw(t, "present") {
					observed[RampKey{Service: pay, Cluster: c, Locality: euA}] = rapid.Bool().Draw(t, "available")
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
		end := now.Add(90 * time.Second)
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
		{Service: pay, Cluster: "a", Locality: euA}: true, {Service: pay, Cluster: "a", Locality: euB}: false,
		{Service: pay, Cluster: "b", Locality: euA}: true, {Service: pay, Cluster: "b", Locality: usA}: false,
		{Service: pay, Cluster: "c", Locality: euA}: false, // reachable by no gateway
		{Service: pay, Cluster: "d", Locality: euA}: false, // no gateway
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}
