package mcs

import (
	"maps"
	"testing"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
)

func portKeys(t *rapid.T, label string) []PortKey {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) PortKey {
		return PortKey{
			Service: model.ServiceKey{Namespace: "shop", Name: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name")},
			Number:  rapid.Uint16Range(80, 84).Draw(t, "number"), UDP: rapid.Bool().Draw(t, "udp"),
		}
	}), 0, 20).Draw(t, label)
}

func TestAllotPortsLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Uint16Range(1, 65530).Draw(t, "first")
		last := rapid.Uint16Range(first, uint16(min(65535, int(first)+25))).Draw(t, "last")
		earlier, wanted := portKeys(t, "earlier"), portKeys(t, "wanted")
		held, _ := AllotPorts(nil, earlier, first, last)
		before := maps.Clone(held)
		next, err := AllotPorts(held, wanted, first, last)
		if !maps.Equal(held, before) {
			t.Fatal("what is held was changed")
		}
		distinct, owner := map[PortKey]bool{}, map[uint16]PortKey{}
		for _, k := range wanted {
			distinct[k] = true
		}
		for k, p := range next {
			if o, taken := owner[p]; taken || p < first || p > last || !distinct[k] {
				t.Fatalf("%v got %d of %d-%d; taken by %v: %t", k, p, first, last, o, taken)
			}
			owner[p] = k
			if h, ok := held[k]; ok && h != p {
				t.Fatalf("%v moved from %d to %d", k, h, p)
			}
		}
		size := int(last-first) + 1
		if len(next) != min(len(distinct), size) || (err != nil) != (len(distinct) > size) {
			t.Fatalf("%d of %d keys have one of %d ports: %v", len(next), len(distinct), size, err)
		}
		again, _ := AllotPorts(held, rapid.Permutation(wanted).Draw(t, "shuffled"), first, last)
		if !maps.Equal(again, next) {
			t.Fatal("the order of the wanted keys decided")
		}
		for k := range held {
			if _, ok := next[k]; distinct[k] && !ok {
				t.Fatalf("%v lost its port to a newcomer", k)
			}
		}
	})
}

func TestAllotPortsRefusesNoRange(t *testing.T) {
	for _, r := range [][2]uint16{{0, 9}, {9, 8}} {
		if _, err := AllotPorts(nil, nil, r[0], r[1]); err == nil {
			t.Errorf("%d-%d was taken for a range", r[0], r[1])
		}
	}
}
