package route

import "math"

const (
	// overprovisioning is how much more than its part a ready endpoint is expected to carry: up to 2 in 7 may be unready before a
	// tier spills over. Envoy uses the same factor for its own priorities.
	overprovisioning = 1.4
	// negligible is a share that is rounding, not traffic.
	negligible = 1e-6
	maxWeight  = 10_000
)

// tierEnd returns the end of the tier that begins at index at of sources sorted by rank.
func tierEnd(sources []source, at int) int {
	end := at + 1
	for end < len(sources) && sources[end].rank == sources[at].rank {
		end++
	}
	return end
}

// divide sets each source's part of all calls as if its tier were the first, and returns their sum: the tier's share.
//
// A source that fails back gets its percentage of what it would get without a ramp. The others see it as the few endpoints that this
// percentage stands for, and so take up what overprovisioning lets them; the rest spills over.
func divide(tier []source) float64 {
	var ready, effective, total float64
	for _, s := range tier {
		ready, effective, total = ready+s.ready, effective+s.effective, total+s.total
	}
	if effective == 0 {
		return 0
	}
	share := 0.0
	for i := range tier {
		s := &tier[i]
		if s.effective < s.ready {
			s.part = min(1, overprovisioning*ready/total) * s.effective / ready
		} else {
			s.part = min(1, overprovisioning*effective/total) * s.effective / effective
		}
		share += s.part
	}
	return share
}

// weight is a part's weight among parts that add up to sum: 1 to maxWeight.
func weight(part, sum float64) uint32 {
	return uint32(min(maxWeight, max(1, math.Round(maxWeight*part/sum))))
}
