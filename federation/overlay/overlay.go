// Package overlay owns whom a federation node follows: a sparse graph over all nodes in which every change reaches everybody in a few
// hops, few of them between regions.
//
// It is pure, and a function of the membership only: nodes that know the same members agree on the graph without a word. The known
// members stand in a ring, by region and then by a hash of their names. Each follows the one after it and some at growing distances,
// ahead and behind in turn, so that near links stay in a region and far ones cross. The dead keep their places; who would follow one
// follows another instead. Laws (tested): everybody follows exactly degree live others, or all of them if they are fewer; while all live,
// everybody is followed by as many; any set of live members is strongly connected; a death moves few links.
package overlay

import (
	"cmp"
	"hash/fnv"
	"math"
	"slices"
	"strings"
)

// DefaultDegree is how many others a node follows. With 5 the last of 50 nodes is 4 hops away, of 100 nodes 6, of 200 nodes 7; with 4 it
// would be 6, 7 and 9, with 6 it would be 4, 5 and 6. A link more costs each change one short message per node.
const DefaultDegree = 5

// The j-th distance in a ring of n is about stretch × n^(spacing×j/degree). The two were chosen by trying: no other pair keeps all rings of
// up to 200 within 7 hops and is shorter on average.
const stretch, spacing = 1.05, 0.93

// Member is a federation node that is known.
type Member struct {
	Name, Region string
	Alive        bool
}

// Follow returns the names of the live members that self follows, sorted: all others while no more than degree others are known, else
// exactly degree of them as long as so many live. members may be in any order, with self among them; self counts as live.
func Follow(self string, members []Member, degree int) []string {
	ring := newRing(self, members)
	n := len(ring.members)
	if n <= degree+1 {
		return ring.names(func(i int) bool { return ring.members[i].Alive })
	}
	picked := map[int]bool{ring.self: true}
	pick := func(i int) { picked[i] = true }
	pick(ring.nextLive())
	var lost []Member
	for _, d := range distances(n, degree)[1:] {
		target := (ring.self + d) % n
		if m := ring.members[target]; !m.Alive || picked[target] {
			lost = append(lost, m)
			continue
		}
		pick(target)
	}
	for _, instead := range lost {
		if i, ok := ring.substitute(instead, picked); ok {
			pick(i)
		}
	}
	return ring.names(func(i int) bool { return picked[i] })
}

// distances are the places, counted along a ring of n, between a member and those that it follows while all live: distinct, and the
// same for everybody, so that everybody is followed as often.
func distances(n, degree int) []int {
	out := []int{1}
	for j := 1; j < degree; j++ {
		d := int(math.Round(stretch * math.Pow(float64(n), spacing*float64(j)/float64(degree))))
		for taken := true; taken; {
			place := d % n
			if j%2 == 1 {
				place = (n - d%n) % n
			}
			if taken = place == 0 || slices.Contains(out, place); !taken {
				out = append(out, place)
			}
			d++
		}
	}
	return out
}

// ring is the members in their places.
type ring struct {
	members []Member
	self    int
}

func newRing(self string, members []Member) ring {
	byName := map[string]Member{self: {Name: self}}
	for _, m := range members {
		m.Alive = m.Alive || m.Name == self
		byName[m.Name] = m
	}
	r := ring{members: make([]Member, 0, len(byName))}
	places := make(map[string]uint64, len(byName))
	for _, m := range byName {
		places[m.Name] = hash(m.Name)
		r.members = append(r.members, m)
	}
	slices.SortFunc(r.members, func(a, b Member) int {
		return cmp.Or(strings.Compare(a.Region, b.Region), cmp.Compare(places[a.Name], places[b.Name]), strings.Compare(a.Name, b.Name))
	})
	r.self = slices.IndexFunc(r.members, func(m Member) bool { return m.Name == self })
	return r
}

// nextLive is the first live member after self, or self: these links alone lead through all live members.
func (r ring) nextLive() int {
	for i := (r.self + 1) % len(r.members); ; i = (i + 1) % len(r.members) {
		if r.members[i].Alive {
			return i
		}
	}
}

// substitute chooses a live member that is not picked in place of another, in the same region if there is one. Each follower draws by
// its own lot: if all took the next in the ring, the one after a lost region would be followed by everybody.
func (r ring) substitute(lost Member, picked map[int]bool) (int, bool) {
	best, found := 0, false
	var bestLot uint64
	near := false
	for i, m := range r.members {
		if !m.Alive || picked[i] {
			continue
		}
		lot, same := hash(r.members[r.self].Name, lost.Name, m.Name), m.Region == lost.Region
		if !found || same && !near || same == near && lot > bestLot {
			best, bestLot, near, found = i, lot, same, true
		}
	}
	return best, found
}

// names lists the other members that are chosen.
func (r ring) names(chosen func(i int) bool) []string {
	var out []string
	for i, m := range r.members {
		if i != r.self && chosen(i) {
			out = append(out, m.Name)
		}
	}
	slices.Sort(out)
	return out
}

func hash(parts ...string) uint64 {
	h := fnv.New64a()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	// FNV alone leaves names that differ in their last letter close to each other.
	x := h.Sum64()
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
