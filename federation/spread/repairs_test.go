package spread

import (
	"fmt"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
)

func TestSummariesGoRound(t *testing.T) {
	c := catalog.New(catalog.Limits{})
	for i := range 5 {
		c.Merge(fullState(model.ClusterName(fmt.Sprint("x", i)), version(1, 1), "1"))
	}
	told, last := map[model.ClusterName]int{}, model.ClusterName("")
	for round := range 5 {
		var haves []Have
		haves, last = Summary(c, last, 3)
		if want := model.ClusterName(fmt.Sprint("x", round*3%5)); len(haves) != 3 || haves[0].Origin != want {
			t.Fatalf("round %d has %v, not three from %s on", round, haves, want)
		}
		for _, h := range haves {
			told[h.Origin]++
			if len(h.Digest) != sumBytes || differ(c, h) {
				t.Errorf("%s is told with %x", h.Origin, h.Digest)
			}
		}
	}
	for i := range 5 {
		if n := told[model.ClusterName(fmt.Sprint("x", i))]; n != 3 {
			t.Errorf("x%d was told %d times of 15 among 5", i, n)
		}
	}
	if haves, _ := Summary(c, "", 100); len(haves) != 5 {
		t.Errorf("%d haves of 5", len(haves))
	}
	if haves, _ := Summary(holding(), "x", 3); len(haves) != 0 {
		t.Errorf("of nothing: %v", haves)
	}
}

func TestWhatIsLackingForLongIsTaken(t *testing.T) {
	c := holding(fullState("x", version(1, 1), "1"), fullState("z", version(1, 1), "1"))
	timing := DefaultTiming()
	r := NewRepairs(c, timing)
	r.Heard("b", []Have{{Origin: "x", Version: version(1, 2)}, {Origin: "y", Version: version(1, 1)}, {Origin: "z", Version: version(1, 1)}, {Origin: "w"}}, start)
	r.Heard("c", []Have{{Origin: "x", Version: version(1, 3)}, {Origin: "v", Version: version(1, 1)}}, start.Add(time.Second))
	due, ok := r.Due()
	if want := start.Add(timing.Stale); !ok || !due.Equal(want) {
		t.Fatalf("due %v, want %v", due, want)
	}
	if node, haves := r.Take(due.Add(-1)); node != "" {
		t.Errorf("too early: %s %v", node, haves)
	}
	// What comes meanwhile is not taken.
	c.Merge(delta("x", version(1, 1), version(1, 2), "2"))
	if node, haves := r.Take(due); node != "b" || len(haves) != 1 || haves[0].Origin != "y" {
		t.Errorf("of b: %s %v", node, haves)
	}
	if node, haves := r.Take(due.Add(time.Second)); node != "c" || len(haves) != 1 || haves[0].Origin != "v" {
		t.Errorf("of c: %s %v", node, haves)
	}
	if node, _ := r.Take(due.Add(time.Hour)); node != "" {
		t.Errorf("what was taken is taken again, of %s", node)
	}
	if _, ok := r.Due(); ok {
		t.Error("something is due")
	}
}

func TestRepairsAreBounded(t *testing.T) {
	r := NewRepairs(holding(), DefaultTiming())
	for i := range maxOrigins + 10 {
		r.Heard("b", []Have{{Origin: model.ClusterName(fmt.Sprint("x", i)), Version: version(1, 1)}}, start)
	}
	if _, haves := r.Take(start.Add(time.Hour)); len(haves) != maxOrigins {
		t.Errorf("%d are lacking", len(haves))
	}
}

// TestOneOfTwoContentsIsRepaired has two nodes hold other contents of one version, as two writers leave them: exactly the one whose
// content gives way pulls. The other would follow its peer for nothing until the repair's time is over, while other repairs wait.
func TestOneOfTwoContentsIsRepaired(t *testing.T) {
	nodes := map[string]*catalog.Catalog{}
	for _, name := range []string{"a", "b"} {
		nodes[name] = catalog.New(catalog.Limits{})
		nodes[name].Merge(model.Batch{
			Origin: "north", Full: true, To: model.Version{Incarnation: 1, Epoch: 1, Seq: 1}, Instance: name,
			Upserts: []model.SignedRecord{{Key: "k", Record: []byte(name)}},
		})
	}
	var pulls []string
	for name, other := range map[string]string{"a": "b", "b": "a"} {
		said, _ := Summary(nodes[other], "", 10)
		r := NewRepairs(nodes[name], DefaultTiming())
		r.Heard(other, said, start)
		if from, _ := r.Take(start.Add(DefaultTiming().Stale)); from != "" {
			pulls = append(pulls, name)
			full, _ := nodes[from].Full("north")
			if out := nodes[name].Merge(full); !out.Changed {
				t.Errorf("%s pulled in vain", name)
			}
		}
	}
	if len(pulls) != 1 {
		t.Errorf("%v pull, want one of the two", pulls)
	}
}
