package vip

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
)

// small is a range that is easily used up: /28 has 14 usable addresses.
var small = netip.MustParsePrefix("127.64.0.0/28")

func services(t *rapid.T, label string) []model.ServiceKey {
	names := rapid.SliceOfN(rapid.IntRange(0, 30), 0, 25).Draw(t, label)
	out := make([]model.ServiceKey, len(names))
	for i, n := range names {
		out[i] = model.ServiceKey{Namespace: "shop", Name: fmt.Sprintf("s%d", n)}
	}
	return out
}

func TestAllotLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := services(t, "first")
		second := services(t, "second")
		held := Allot(nil, first, small)
		next := Allot(held, second, small)
		owner := map[netip.Addr]model.ServiceKey{}
		for s, a := range next {
			if !small.Contains(a) {
				t.Fatalf("%s got %s outside %s", s, a, small)
			}
			if o, taken := owner[a]; taken {
				t.Fatalf("%s and %s share %s", s, o, a)
			}
			owner[a] = s
			if before, ok := held[s]; ok && before != a {
				t.Fatalf("%s moved from %s to %s", s, before, a)
			}
		}
		slices.SortFunc(second, model.ServiceKey.Compare)
		wanted := slices.Compact(second)
		if len(next) != min(len(wanted), 14) {
			t.Fatalf("%d of %d services have an address, the range has 14", len(next), len(wanted))
		}
	})
}

func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := services(t, "services")
		shuffled := rapid.Permutation(list).Draw(t, "shuffled")
		if !Same(Allot(nil, list, model.VIPRange), Allot(nil, shuffled, model.VIPRange)) {
			t.Fatal("the order of the services decided")
		}
	})
}
