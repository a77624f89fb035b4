// Package vip owns which virtual address a site gives to which service.
//
// It is pure. An address belongs to its service for as long as the service is known, and a new service gets the address that its
// name hashes to, or the next free one: sites need not agree, and mostly do.
package vip

import (
	"encoding/binary"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"

	"github.com/hanse-mesh/hanse/api/model"
)

// Allot returns the addresses of exactly the given services: those held keep theirs, new ones get a free address of the range. When
// the range is used up, further services get none. held is not changed.
func Allot(held map[model.ServiceKey]netip.Addr, services []model.ServiceKey, within netip.Prefix) map[model.ServiceKey]netip.Addr {
	out := make(map[model.ServiceKey]netip.Addr, len(services))
	used := make(map[netip.Addr]bool, len(services))
	var fresh []model.ServiceKey
	for _, s := range services {
		if a, ok := held[s]; ok && within.Contains(a) && !used[a] {
			out[s], used[a] = a, true
		} else if _, twice := out[s]; !twice {
			fresh = append(fresh, s)
		}
	}
	// Sorted, so that the order in which services become known does not decide who gets a contested address.
	slices.SortFunc(fresh, model.ServiceKey.Compare)
	for _, s := range slices.Compact(fresh) {
		if a, ok := free(s, used, within); ok {
			out[s], used[a] = a, true
		}
	}
	return out
}

// Same reports whether two allotments are equal.
func Same(a, b map[model.ServiceKey]netip.Addr) bool { return maps.Equal(a, b) }

// free looks for an unused address, from the one that the name hashes to on.
func free(s model.ServiceKey, used map[netip.Addr]bool, within netip.Prefix) (netip.Addr, bool) {
	base := binary.BigEndian.Uint32(within.Masked().Addr().AsSlice())
	// The first and the last address are left out: they look like a network's own.
	size := uint32(1)<<(32-within.Bits()) - 2
	h := fnv.New32a()
	_, _ = h.Write([]byte(s.Host()))
	start := h.Sum32() % size
	for i := range min(size, uint32(len(used))+1) {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], base+1+(start+i)%size)
		if a := netip.AddrFrom4(b); !used[a] {
			return a, true
		}
	}
	return netip.Addr{}, false
}
