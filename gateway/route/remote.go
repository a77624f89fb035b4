package route

import (
	"slices"

	"github.com/hanse-mesh/hanse/api/model"
)

// remote appends one source for a whole cluster. A gateway picks among all ready workloads of its cluster and can not be
// told to keep to a zone; so all of the cluster's capacity counts, in the tier of the nearest locality that serves.
//
// What does not serve there still counts in the total of its own tier: its calls must not fall upon its neighbours alone. It counts
// the same whether it is dead, out of reach or held down, so that flapping moves nobody else's calls.
func (r *Request) remote(capacity []RemoteCapacity, to []source) []source {
	s := source{cluster: capacity[0].Cluster, points: sorted(r.Gateways[capacity[0].Cluster], comparePoint)}
	if s.cluster == r.Cluster || len(s.points) == 0 {
		return to
	}
	capacity, s.via = r.oneWay(capacity)
	rank, locality, serves := r.nearest(capacity)
	if rank == rankNever {
		return to
	}
	serves = serves && reachable(s.points)
	behind := 0
	if allStale(capacity) {
		behind = rankStale
	}
	if s.degraded = degraded(s.points); s.degraded {
		behind += rankDegraded
	}
	s.rank, s.locality = rank+behind, locality
	for _, c := range capacity {
		s.ready += float64(c.Ready)
		own, total := r.rank(c.Locality), float64(max(c.Ready, c.Total))
		switch {
		case serves && own >= rank:
			s.total += total
			r.addReady(&s, c.Locality, float64(c.Ready))
		case own == rank:
			s.total += total
		case own != rankNever:
			to = append(to, source{cluster: s.cluster, locality: c.Locality, rank: own + behind, total: total, absent: true})
		}
	}
	return append(to, s)
}

// oneWay settles how a cluster is called: to its workloads' own Envoys, or to the gateways that answer for the others while none of those is
// ready, or what is has died lately. A gateway's address stands once in an assignment, so it is one way or the other. What the other way
// leads to does not serve, and counts in the totals as what is dead does.
func (r *Request) oneWay(capacity []RemoteCapacity) ([]RemoteCapacity, Via) {
	var envoys, steady, others, ready bool
	for _, c := range capacity {
		if c.Terminated {
			others, ready = true, ready || c.Ready > 0
		} else {
			envoys, steady = true, steady || c.Ready > 0 && r.ramp(c.Cluster, c.Locality, false) >= whole
		}
	}
	terminated := !envoys || ready && !steady
	if envoys && others {
		capacity = slices.Clone(capacity)
		for i := range capacity {
			if c := &capacity[i]; c.Terminated != terminated {
				c.Total, c.Ready = max(c.Ready, c.Total), 0
			}
		}
	}
	if terminated {
		return capacity, ViaTerminated
	}
	return capacity, ViaEnvoy
}

// nearest is the place of a cluster among the tiers: that of its nearest locality that serves; without one, of what is ready and held
// down; without that, of whatever it has.
func (r *Request) nearest(capacity []RemoteCapacity) (rank int, l model.Locality, serves bool) {
	const serving, held, dead = 0, 1, 2
	ranks, places := [3]int{rankNever, rankNever, rankNever}, [3]model.Locality{}
	best := dead
	for _, c := range capacity {
		state := dead
		switch {
		case c.Ready == 0:
		case r.ramp(c.Cluster, c.Locality, c.Terminated) == HeldDown:
			state = held
		default:
			state = serving
		}
		best = min(best, state)
		if n := r.rank(c.Locality); n < ranks[state] {
			ranks[state], places[state] = n, c.Locality
		}
	}
	if best == serving && ranks[serving] == rankNever && ranks[held] != rankNever {
		best = held
	}
	return ranks[best], places[best], best == serving
}

// allStale reports whether nothing of a cluster was confirmed lately.
func allStale(capacity []RemoteCapacity) bool {
	return !slices.ContainsFunc(capacity, func(c RemoteCapacity) bool { return !c.Stale })
}
