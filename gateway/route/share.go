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

// divide sets each source's part of all calls when its tier is asked to serve the part demand of them, and returns their sum.
//
// Capacity that fails back gets exactly its percentage of what it would get without a ramp. The steady capacity beside it takes up
// what overprovisioning lets it, as it did before the return; the rest spills over. Capacity that is held down gets nothing, as if it
// were dead.
func divide(tier []source, demand float64) float64 {
	var ready, steady, climbing, total float64
	for _, s := range tier {
		ready, steady, climbing, total = ready+s.steady+s.climbing, steady+s.steady, climbing+s.climbing*s.ramp, total+s.total
	}
	if ready == 0 {
		return 0
	}
	each := min(demand/ready, overprovisioning/total)
	eachSteady := 0.0
	if steady > 0 {
		eachSteady = min((demand-climbing*each)/steady, overprovisioning/total)
	}
	share := 0.0
	for i := range tier {
		tier[i].part = tier[i].steady*eachSteady + tier[i].climbing*tier[i].ramp*each
		share += tier[i].part
	}
	return share
}

// weight is a part's weight among parts that add up to sum: 1 to maxWeight.
func weight(part, sum float64) uint32 {
	return uint32(min(maxWeight, max(1, math.Round(maxWeight*part/sum))))
}
