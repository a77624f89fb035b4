package matrix

import (
	"strings"
	"testing"

	"github.com/hanse-mesh/hanse/e2e/load"
)

func TestJudge(t *testing.T) {
	for name, x := range map[string]struct {
		row  RowResult
		want []string
	}{
		"nothing failed":                  {RowResult{Bound: Unharmed, EndsSessions: true, Calls: []CallResult{{Protocol: HTTP, Calls: 1000, Slow: 3}}}, nil},
		"early failures":                  {RowResult{Bound: Recovers, Calls: []CallResult{{Protocol: GRPC, Calls: 1000, Failed: 7}}}, nil},
		"late failures":                   {RowResult{Bound: Recovers, Calls: []CallResult{{Protocol: GRPC, Calls: 1000, Failed: 7, FailedLate: 1}}}, []string{"gRPC: 1 calls failed that were due later"}},
		"one failure":                     {RowResult{Bound: Unharmed, Calls: []CallResult{{Protocol: TCP, Calls: 1000, Failed: 1}}}, []string{"TCP: 1 of 1000 calls failed"}},
		"one POST":                        {RowResult{Bound: UnharmedSafe, Calls: []CallResult{{Protocol: HTTP, Calls: 1000, Failed: 1, FailedPosts: 1}}}, nil},
		"one GET":                         {RowResult{Bound: UnharmedSafe, Calls: []CallResult{{Protocol: HTTP, Calls: 1000, Failed: 2, FailedPosts: 1}}}, []string{"HTTP: 2 of 1000"}},
		"a line that may have been taken": {RowResult{Bound: UnharmedSafe, Calls: []CallResult{{Protocol: TCP, Calls: 1000, Failed: 2}}}, nil},
		"kept connections break":          {RowResult{Bound: Unharmed, Calls: []CallResult{{Protocol: TCP, Calls: 1000, Kept: &CallResult{Failed: 9, FailedLate: 9}}}}, nil},
		"a stuck session":                 {RowResult{Bound: Recovers, EndsSessions: true, Sessions: SessionResult{Open: 8, Stuck: 1}}, []string{"1 of 8 old TCP sessions"}},
		"a stuck session elsewhere":       {RowResult{Bound: Recovers, Sessions: SessionResult{Open: 8, Stuck: 1}}, nil},
	} {
		got := judge(x.row)
		if len(got) != len(x.want) {
			t.Errorf("%s: %q, want %q", name, got, x.want)
			continue
		}
		for i := range got {
			if !strings.HasPrefix(got[i], x.want[i]) {
				t.Errorf("%s: %q, want %q", name, got[i], x.want[i])
			}
		}
	}
}

func TestTurns(t *testing.T) {
	series := func(answers ...int) (out []load.Window) {
		for _, n := range answers {
			out = append(out, load.Window{Calls: 100, Instances: map[string]int{"x": n, "y": 100 - n}})
		}
		return out
	}
	for want, answers := range [][]int{{33, 25, 40}, {33, 9, 0, 0}, {33, 0, 33}, {0, 33, 9, 10}} {
		if got := turns(series(answers...), "x"); got != want {
			t.Errorf("%v: %d turns, want %d", answers, got, want)
		}
	}
	if broken := judge(RowResult{Bound: Unharmed, Turns: maxTurns + 1}); len(broken) != 1 {
		t.Errorf("too many turns are judged %q", broken)
	}
}

// TestPasses puts what two passes found of a fault into one row, and tells a whole run from a part.
func TestPasses(t *testing.T) {
	var r Result
	r.add(RowResult{Name: "a", Steady: 2, Calls: []CallResult{{Protocol: HTTP}, {Protocol: GRPC}}, Broken: []string{"x"}})
	if r.whole(1) {
		t.Error("one pass counts for a whole run")
	}
	r.add(RowResult{Name: "a", Steady: 1, Calls: []CallResult{{Protocol: TCP}}, Sessions: SessionResult{Open: 3}, Broken: []string{"y"}})
	if !r.whole(1) || r.whole(2) {
		t.Errorf("whole with one row %v, with two %v", r.whole(1), r.whole(2))
	}
	if row := r.Rows[0]; row.Steady != 2 || row.Sessions.Open != 3 || len(row.Broken) != 2 || row.Calls[2].Protocol != TCP {
		t.Errorf("the row is %+v", row)
	}
}

func TestReplace(t *testing.T) {
	const text = "# Page\n" + beginMarker + "\nold\n" + endMarker + "\nrest\n"
	once, err := Replace([]byte(text), "new\n")
	if err != nil || string(once) != "# Page\n"+beginMarker+"\nnew\n"+endMarker+"\nrest\n" {
		t.Fatalf("%q, %v", once, err)
	}
	if twice, err := Replace(once, "new\n"); err != nil || string(twice) != string(once) {
		t.Errorf("a second time: %q, %v", twice, err)
	}
	for _, bad := range []string{"", beginMarker, endMarker, endMarker + beginMarker} {
		if _, err := Replace([]byte(bad), "new"); err == nil {
			t.Errorf("%q is taken for a page with markers", bad)
		}
	}
}
