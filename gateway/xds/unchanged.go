package xds

import (
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

// Unchanged reports whether Generate is known to give a target the same for both snapshots, problems included. It looks at digests only
// and costs far less than to generate: most changes concern few of a site's proxies.
func Unchanged(a, b *snapshot.Snapshot, t Target) bool {
	w, other := workloadOf(a, t), workloadOf(b, t)
	switch {
	case w == nil || other == nil:
		return w == other
	case w.Digest != other.Digest || a.Trust.Digest != b.Trust.Digest || a.Cluster != b.Cluster || a.Federation != b.Federation:
		return false
	case w.Gateway != nil:
		return slices.EqualFunc(a.Passthrough, b.Passthrough, func(x, y *snapshot.Passthrough) bool { return x == y || x.Digest == y.Digest }) &&
			slices.EqualFunc(a.Terminated, b.Terminated, func(x, y *snapshot.Terminated) bool { return x == y || x.Digest == y.Digest })
	case w.Open != nil || w.Egress != nil:
		return slices.EqualFunc(a.Services, b.Services, samePort)
	}
	for _, c := range w.Calls {
		if !samePort(portOf(a, c.SNI), portOf(b, c.SNI)) {
			return false
		}
	}
	return true
}

func samePort(x, y *snapshot.ServicePort) bool {
	return x == y || x != nil && y != nil && x.Digest == y.Digest
}

// workloadOf returns the target's workload, or nil.
func workloadOf(s *snapshot.Snapshot, t Target) *snapshot.Workload {
	i, ok := slices.BinarySearchFunc(s.Workloads, t.Workload, func(w *snapshot.Workload, id string) int { return strings.Compare(w.ID, id) })
	if !ok {
		return nil
	}
	return s.Workloads[i]
}

// portOf returns the service port of an SNI, or nil.
func portOf(s *snapshot.Snapshot, sni string) *snapshot.ServicePort {
	i, ok := slices.BinarySearchFunc(s.Services, sni, func(p *snapshot.ServicePort, sni string) int { return strings.Compare(p.SNI, sni) })
	if !ok {
		return nil
	}
	return s.Services[i]
}
