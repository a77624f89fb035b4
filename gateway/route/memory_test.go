package route

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
)

// genHistory draws a life of several capacities.
func genHistory(t *rapid.T) (f Failback, now time.Time) {
	now = noon
	for range rapid.IntRange(0, 12).Draw(t, "events") {
		observed := Available{}
		for _, c := range clusters {
			if rapid.Bool().Draw(t, "present") {
				observed[RampKey{Service: pay, Cluster: c, Locality: euA}] = rapid.Bool().Draw(t, "available")
			}
		}
		now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second)
		f, _ = f.Step(observed, now)
	}
	return f, now
}

// An agent that restarts goes on as if it had not: what was dead or climbing before climbs as it would have. Only what was merely there
// may be forgotten, and it is seen again at the start.
func TestARestartForgetsNoDeath(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, now := genHistory(t)
		data, err := json.Marshal(before)
		if err != nil {
			t.Fatal(err)
		}
		var after Failback
		if err := json.Unmarshal(data, &after); err != nil {
			t.Fatal(err)
		}
		next, _ := before.Step(Available{}, now)
		if later, _ := json.Marshal(next); (string(later) != string(data)) != (next.Revision() != before.Revision()) {
			t.Fatalf("revision %d and %d of %s and %s", before.Revision(), next.Revision(), data, later)
		}
		if again, err := json.Marshal(after); err != nil || string(again) != string(data) {
			t.Fatalf("%s became %s, %v", data, again, err)
		}
		steady := Available{}
		for k, s := range before.known {
			if s.available {
				steady[k] = true
			}
		}
		now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "away")) * time.Second)
		before, _ = before.Step(steady, now)
		after, _ = after.Step(steady, now)
		for range 3 {
			if !reflect.DeepEqual(before.Ramps(), after.Ramps()) {
				t.Fatalf("ramps %v, without the restart %v", after.Ramps(), before.Ramps())
			}
			up := Available{}
			for _, c := range clusters {
				if k := (RampKey{Service: pay, Cluster: c, Locality: euA}); before.known[k] != (capacityState{}) {
					up[k] = rapid.Bool().Draw(t, "up")
				}
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "later")) * time.Second)
			before, _ = before.Step(up, now)
			after, _ = after.Step(up, now)
		}
	})
}

func TestWhatIsMerelyThereIsNotRemembered(t *testing.T) {
	f, _ := Failback{}.Step(Available{keyB: true}, at(0))
	if data, err := json.Marshal(f); err != nil || string(data) != "[]" {
		t.Errorf("%s, %v", data, err)
	}
	f, _ = f.Step(Available{keyB: false}, at(1))
	const want = `[{"service":{"namespace":"shop","name":"pay"},"cluster":"b","locality":{"region":"eu","zone":"a"},` +
		`"available":false,"since":"2026-01-01T12:00:01Z","deaths":1}]`
	if data, err := json.Marshal(f); err != nil || string(data) != want {
		t.Errorf("%s, %v", data, err)
	}
}

func TestDamagedMemoryIsRefused(t *testing.T) {
	for _, text := range []string{`{}`, `[{"available":1}]`, `[{"deaths":-1}]`, `[{"climbs":true}]`} {
		f, _ := Failback{}.Step(Available{keyB: true}, at(0))
		held := f
		if err := json.Unmarshal([]byte(text), &f); err == nil || !strings.Contains(err.Error(), "failback") {
			t.Errorf("%s: %v", text, err)
		}
		if !reflect.DeepEqual(f, held) {
			t.Errorf("%s: changed what it could not read", text)
		}
	}
}

// One service's capacities say nothing about another's, nor one locality's about another.
func TestCapacitiesClimbAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all Failback
		alone := map[RampKey]Failback{}
		now := noon
		for range rapid.IntRange(1, 12).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second)
			observed := Available{}
			for _, service := range []string{"pay", "cart"} {
				for _, l := range []model.Locality{euA, usA} {
					k := RampKey{Service: model.ServiceKey{Namespace: "shop", Name: service}, Cluster: "b", Locality: l}
					observed[k] = rapid.Bool().Draw(t, "available")
					alone[k], _ = alone[k].Step(Available{k: observed[k]}, now)
				}
			}
			all, _ = all.Step(observed, now)
			for k, f := range alone {
				together, climbs := all.Ramps()[k]
				if want, should := f.Ramps()[k]; together != want || climbs != should {
					t.Fatalf("%v: %d, alone %d", k, together, want)
				}
			}
		}
	})
}
