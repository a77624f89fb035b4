package overlay

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// members returns n live ones in so many regions.
func members(n, regions int) []Member {
	out := make([]Member, n)
	for i := range out {
		out[i] = Member{Name: fmt.Sprintf("node-%d", i), Region: fmt.Sprintf("region-%d", i%regions), Alive: true}
	}
	return out
}

// graph is whom each live member follows.
func graph(all []Member, degree int) map[string][]string {
	g := map[string][]string{}
	for _, m := range all {
		if m.Alive {
			g[m.Name] = Follow(m.Name, all, degree)
		}
	}
	return g
}

// farthest is the number of hops between the two members that are farthest apart, or -1 if some cannot be reached.
func farthest(g map[string][]string) int {
	most := 0
	for start := range g {
		hops := map[string]int{start: 0}
		for queue := []string{start}; len(queue) > 0; queue = queue[1:] {
			for _, next := range g[queue[0]] {
				if _, seen := hops[next]; !seen {
					hops[next] = hops[queue[0]] + 1
					queue = append(queue, next)
					most = max(most, hops[next])
				}
			}
		}
		if len(hops) != len(g) {
			return -1
		}
	}
	return most
}

func followers(g map[string][]string) map[string]int {
	in := map[string]int{}
	for _, follows := range g {
		for _, name := range follows {
			in[name]++
		}
	}
	return in
}

// check demands what holds of any live set.
func check(t interface{ Fatalf(string, ...any) }, all []Member, degree int) map[string][]string {
	g := graph(all, degree)
	for name, follows := range g {
		want := min(degree, len(g)-1)
		if len(follows) != want || slices.Contains(follows, name) || len(slices.Compact(slices.Clone(follows))) != want {
			t.Fatalf("%s of %d live follows %v, want %d others", name, len(g), follows, want)
		}
		for _, f := range follows {
			if g[f] == nil {
				t.Fatalf("%s follows %s, which does not live", name, f)
			}
		}
	}
	if farthest(g) < 0 {
		t.Fatalf("some live members cannot be reached: %v", g)
	}
	return g
}

func TestAnyLiveSetIsConnected(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := members(rapid.IntRange(1, 60).Draw(t, "members"), rapid.IntRange(1, 9).Draw(t, "regions"))
		degree := rapid.IntRange(2, 6).Draw(t, "degree")
		if g := check(t, all, degree); len(all) > degree {
			for name, n := range followers(g) {
				if n != degree {
					t.Fatalf("%s is followed by %d while all live", name, n)
				}
			}
		}
		for i := range all {
			all[i].Alive = rapid.Bool().Draw(t, "alive")
		}
		check(t, all, degree)
	})
}

func TestItDependsOnTheMembershipOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := members(rapid.IntRange(1, 40).Draw(t, "members"), 3)
		shuffled := rapid.Permutation(all).Draw(t, "order")
		for _, m := range all {
			if a, b := Follow(m.Name, all, 4), Follow(m.Name, shuffled, 4); !slices.Equal(a, b) {
				t.Fatalf("%v, in another order %v", a, b)
			}
		}
	})
}

// TestADeathMovesFewLinks compares the graphs before and after: the lost one's followers choose another, and hardly anybody else.
func TestADeathMovesFewLinks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := members(rapid.IntRange(8, 60).Draw(t, "members"), 4)
		for range rapid.IntRange(0, len(all)/3).Draw(t, "dead before") {
			all[rapid.IntRange(0, len(all)-1).Draw(t, "dead")].Alive = false
		}
		before := graph(all, DefaultDegree)
		victim := rapid.IntRange(0, len(all)-1).Draw(t, "victim")
		all[victim].Alive = false
		moved := 0
		for name, follows := range graph(all, DefaultDegree) {
			for _, f := range follows {
				if !slices.Contains(before[name], f) {
					moved++
				}
			}
		}
		if in := followers(before)[all[victim].Name]; moved > in+DefaultDegree {
			t.Fatalf("of %d members one died that %d followed, and %d links moved", len(all), in, moved)
		}
	})
}

// TestALostRegionLoadsNobody has a whole region, which is one stretch of the ring, die: its followers do not all turn to one node.
func TestALostRegionLoadsNobody(t *testing.T) {
	for _, n := range []int{12, 50, 100, 200} {
		all := members(n, 4)
		for i := range all {
			all[i].Alive = all[i].Region != "region-2"
		}
		g := check(t, all, DefaultDegree)
		for name, in := range followers(g) {
			if in > 3*DefaultDegree {
				t.Errorf("of %d, %s is followed by %d", n, name, in)
			}
		}
	}
}

func TestAThirdDeadLoadsNobody(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{12, 50, 100, 200} {
		for range 4 {
			all := members(n, 4)
			for _, i := range random.Perm(n)[:n/3] {
				all[i].Alive = false
			}
			for name, in := range followers(graph(all, DefaultDegree)) {
				if in > 3*DefaultDegree {
					t.Errorf("of %d, %s is followed by %d", n, name, in)
				}
			}
		}
	}
}

// TestHops is the table by which the default degree was chosen: how many hops a change travels at most.
func TestHops(t *testing.T) {
	for _, c := range []struct{ members, four, five, six int }{
		{6, 2, 1, 1}, {7, 2, 2, 1}, {12, 3, 2, 2}, {20, 4, 3, 3}, {50, 6, 4, 4}, {100, 7, 6, 5}, {150, 8, 7, 6}, {200, 9, 7, 6},
	} {
		for degree, want := range map[int]int{4: c.four, 5: c.five, 6: c.six} {
			if got := farthest(graph(members(c.members, 4), degree)); got != want {
				t.Errorf("%d members that follow %d: %d hops, the table says %d", c.members, degree, got, want)
			}
		}
	}
	for n := DefaultDegree + 2; n <= 200; n++ {
		// All places of a ring are alike: the way from one to the others is that from any.
		hops := map[int]int{0: 0}
		for queue := []int{0}; len(queue) > 0; queue = queue[1:] {
			for _, d := range distances(n, DefaultDegree) {
				if next := (queue[0] + d) % n; next != 0 && hops[next] == 0 {
					hops[next] = hops[queue[0]] + 1
					queue = append(queue, next)
				}
			}
		}
		most := 0
		for _, h := range hops {
			most = max(most, h)
		}
		if len(hops) != n || most > 7 || n <= 113 && most > 6 {
			t.Errorf("%d members: %d reached within %d hops", n, len(hops), most)
		}
	}
}
