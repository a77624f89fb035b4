package mcs

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/hanse-mesh/hanse/api/model"
)

// The range of egress ports: below the ephemeral ports that Linux uses last, above what workloads like to listen on.
const (
	FirstEgressPort = 20000
	LastEgressPort  = 59999
)

// AllotPorts returns a port of [first, last] for each wanted key: those held keep theirs, new ones get the port that their name hashes to,
// or the next free one. The order of wanted does not matter. When the range is used up, the rest gets none, and the error says how many.
// held is not changed.
func AllotPorts(held map[PortKey]uint16, wanted []PortKey, first, last uint16) (map[PortKey]uint16, error) {
	if first == 0 || first > last {
		return nil, fmt.Errorf("egress ports %d-%d are no range: give a first port from 1 up and a last one that is not before it", first, last)
	}
	// Sorted, so that the order in which ports become known does not decide who gets a contested one.
	keys := slices.Clone(wanted)
	slices.SortFunc(keys, PortKey.Compare)
	keys = slices.Compact(keys)
	out, used := make(map[PortKey]uint16, len(keys)), make(map[uint16]bool, len(keys))
	var fresh []PortKey
	for _, k := range keys {
		if p, ok := held[k]; ok && first <= p && p <= last && !used[p] {
			out[k], used[p] = p, true
		} else {
			fresh = append(fresh, k)
		}
	}
	size := uint32(last-first) + 1
	for i, k := range fresh {
		if uint32(len(used)) >= size {
			return out, fmt.Errorf("the %d egress ports %d-%d are used up: %d service ports have none; export less or widen the range", size, first, last, len(fresh)-i)
		}
		p := freePort(k, used, first, size)
		out[k], used[p] = p, true
	}
	return out, nil
}

// freePort looks for an unused port, of which there is one, from the one that the name hashes to on.
func freePort(k PortKey, used map[uint16]bool, first uint16, size uint32) uint16 {
	h := fnv.New32a()
	_, _ = fmt.Fprintf(h, "%s:%d:%t", k.Service.Host(), k.Number, k.UDP)
	for i := h.Sum32() % size; ; i = (i + 1) % size {
		if p := first + uint16(i); !used[p] {
			return p
		}
	}
}

// Compare orders keys by service, number and protocol, TCP before UDP.
func (k PortKey) Compare(o PortKey) int {
	return cmp.Or(k.Service.Compare(o.Service), cmp.Compare(k.Number, o.Number), compareBool(k.UDP, o.UDP))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

// portKey names a port of a service.
func portKey(s model.ServiceKey, p model.Port) PortKey {
	return PortKey{Service: s, Number: p.Number, UDP: p.Protocol == model.ProtocolUDP}
}
