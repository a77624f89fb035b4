package route

import (
	"cmp"
	"math"
	"slices"

	"github.com/hanse-mesh/hanse/api/model"
)

// source is one group in the making: this cluster's endpoints of one locality, or another cluster.
type source struct {
	cluster  model.ClusterName
	locality model.Locality
	rank     int
	// ready is the capacity that can be reached: steady is used in full, climbing fails back and gives only the part ramp of itself,
	// and the rest is held down.
	ready, steady, climbing, total float64
	ramp                           float64
	local                          []LocalEndpoint
	points                         []GatewayPoint
	// via is how its points are spoken to.
	via Via
	// absent is capacity of a cluster that does not serve in this tier: it needs no endpoints to count in the tier's total.
	absent bool
	// degraded says that all ways to it are.
	degraded bool
	// left says that a gateway that drains was left out.
	left bool
	// healthy, spare and bad are the source's endpoints as place lays them out.
	healthy, spare, bad span
	// part is the source's part of the calls.
	part float64
}

const (
	rankZone = iota
	rankRegion
	rankOrder
	// maxOrder bounds the regions that the policy puts in order: those listed later share a tier.
	maxOrder = 100
	rankRest = rankOrder + maxOrder
	// rankDegraded is added to the rank of what only degraded paths lead to, rankStale to that of what is stale.
	rankDegraded = rankRest + 1
	rankStale    = 2 * rankDegraded
	// rankNever is for regions that the policy leaves out.
	rankNever = math.MaxInt
)

// maxPriorities is how many Envoy can hold; the tiers that would need more share one.
const maxPriorities = 128

// rank is the tier of a locality; smaller is nearer.
func (r *Request) rank(l model.Locality) int {
	if l.Region == r.From.Region {
		if l.Zone == r.From.Zone {
			return rankZone
		}
		return rankRegion
	}
	if i := slices.Index(r.Order.To, l.Region); i >= 0 {
		return rankOrder + min(i, maxOrder-1)
	}
	if r.Order.Only {
		return rankNever
	}
	return rankRest
}

// addReady counts ready capacity of one locality. Where several localities of a source climb, the slowest ramp counts: calls can not
// be told to prefer the others.
func (r *Request) addReady(s *source, l model.Locality, ready float64) {
	percent := r.ramp(s.cluster, l, s.via == ViaTerminated)
	switch {
	case ready == 0 || percent == HeldDown:
	case percent >= whole:
		s.steady += ready
	default:
		if ramp := float64(percent) / whole; s.climbing == 0 || ramp < s.ramp {
			s.ramp = ramp
		}
		s.climbing += ready
	}
}

// ramp is the percentage of its share that the capacity of a locality may take.
func (r *Request) ramp(c model.ClusterName, l model.Locality, terminated bool) uint32 {
	if percent, limited := r.Ramps[RampKey{Service: r.Service, Cluster: c, Locality: l, Terminated: terminated}]; limited {
		return percent
	}
	return whole
}

// collect appends the sources that the policy admits, nearest first.
func collect(r *Request, to []source) []source {
	local := sorted(r.Local, compareLocal)
	for len(local) > 0 {
		n := 1
		for n < len(local) && local[n].Locality == local[0].Locality {
			n++
		}
		if rank := r.rank(local[0].Locality); rank != rankNever {
			to = append(to, source{cluster: r.Cluster, locality: local[0].Locality, rank: rank, local: local[:n]})
		}
		local = local[n:]
	}
	remote := sorted(r.Remote, compareRemote)
	for len(remote) > 0 {
		n := 1
		for n < len(remote) && remote[n].Cluster == remote[0].Cluster {
			n++
		}
		to = r.remote(remote[:n], to)
		remote = remote[n:]
	}
	slices.SortFunc(to, func(a, b source) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.cluster, b.cluster), a.locality.Compare(b.locality))
	})
	return to
}

// SortLocal orders endpoints as Assign likes them.
func SortLocal(e []LocalEndpoint) { slices.SortFunc(e, compareLocal) }

// SortRemote orders capacities as Assign likes them.
func SortRemote(c []RemoteCapacity) { slices.SortFunc(c, compareRemote) }

// SortPoints orders gateway points as Assign likes them.
func SortPoints(p []GatewayPoint) { slices.SortFunc(p, comparePoint) }

func compareLocal(a, b LocalEndpoint) int {
	return cmp.Or(a.Locality.Compare(b.Locality), cmp.Compare(a.Address, b.Address), cmp.Compare(a.Port, b.Port),
		compareFlag(a.Plain, b.Plain), cmp.Compare(a.Weight, b.Weight))
}

func compareRemote(a, b RemoteCapacity) int {
	return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), a.Locality.Compare(b.Locality), compareFlag(a.Terminated, b.Terminated),
		cmp.Compare(a.Ready, b.Ready), cmp.Compare(a.Total, b.Total), compareFlag(a.Stale, b.Stale))
}

func compareFlag(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

func comparePoint(a, b GatewayPoint) int {
	return cmp.Or(cmp.Compare(a.Address, b.Address), cmp.Compare(a.Port, b.Port))
}

// sorted returns s when it is sorted, else a sorted copy.
func sorted[T any](s []T, compare func(a, b T) int) []T {
	if slices.IsSortedFunc(s, compare) {
		return s
	}
	s = slices.Clone(s)
	slices.SortFunc(s, compare)
	return s
}
