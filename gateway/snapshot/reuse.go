package snapshot

import "slices"

// Reuse returns next with the parts of prev that have equal digests, by pointer, or prev itself when nothing changed: readers can
// tell by a pointer that a part is the same, and memory holds it once. Neither argument is changed; prev may be nil.
func Reuse(prev, next *Snapshot) *Snapshot {
	if prev == nil {
		return next
	}
	if prev.Digest == next.Digest {
		return prev
	}
	out := *next
	out.Services = reuse(prev.Services, next.Services, func(p *ServicePort) (string, string) { return p.SNI, p.Digest })
	out.Workloads = reuse(prev.Workloads, next.Workloads, func(w *Workload) (string, string) { return w.ID, w.Digest })
	out.Passthrough = reuse(prev.Passthrough, next.Passthrough, func(p *Passthrough) (string, string) { return p.SNI, p.Digest })
	out.Terminated = reuse(prev.Terminated, next.Terminated, func(p *Terminated) (string, string) { return p.SNI, p.Digest })
	if prev.Trust != nil && prev.Trust.Digest == next.Trust.Digest {
		out.Trust = prev.Trust
	}
	return &out
}

// reuse walks two lists that are sorted by key.
func reuse[T any](prev, next []*T, keys func(*T) (key, digest string)) []*T {
	out := slices.Clone(next)
	for i, n := range next {
		key, digest := keys(n)
		for len(prev) > 0 {
			old := prev[0]
			oldKey, oldDigest := keys(old)
			if oldKey > key {
				break
			}
			prev = prev[1:]
			if oldKey == key && oldDigest == digest {
				out[i] = old
			}
		}
	}
	return out
}
