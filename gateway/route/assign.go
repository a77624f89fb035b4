package route

import (
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

// LocalEndpoint is one workload of this cluster that serves the port: where its own Envoy, or without one it itself, accepts calls.
type LocalEndpoint struct {
	// Address is an IP address.
	Address  string
	Port     uint16
	Locality model.Locality
	// Weight is relative to the other endpoints of its locality; 0 counts as 1.
	Weight    uint32
	Available bool
	// Plain says that no Envoy stands beside it.
	Plain bool
}

// RemoteCapacity is how much of the service another cluster has in one locality.
type RemoteCapacity struct {
	Cluster model.ClusterName
	model.Capacity
	// Stale says that the cluster has not confirmed it for too long (StaleAfter).
	Stale bool
	// Terminated says that it is behind the gateways that terminate; else it is behind those that pass on.
	Terminated bool
}

// Request is everything that one assignment is derived from. The order of its slices does not matter; Assign changes none of them
// and is fastest when they are sorted already (SortLocal, SortRemote, SortPoints).
type Request struct {
	Service model.ServiceKey
	// Cluster is the callers' own cluster and From their locality.
	Cluster model.ClusterName
	From    model.Locality
	Local   []LocalEndpoint
	Remote  []RemoteCapacity
	// Gateways are the ways into the other clusters. A cluster without any is left out, with its capacity.
	Gateways map[model.ClusterName][]GatewayPoint
	// Order is the policy for callers of From's region, see OrderFor.
	Order policy.RegionOrder
	// Ramps holds percentages from 1 to 100, or HeldDown; an absent key is 100.
	Ramps map[RampKey]uint32
}

// Assign decides where the callers of one locality send their calls.
//
// Sources of capacity stand in tiers: the callers' zone, their region, each region of the policy's order, all others; then the same
// once more for what only degraded paths lead to, and for capacity that is stale. A tier serves the share min(1, 1.4 × ready/total) of the calls, and what it does not serve
// spills over to the next tier. The tiers that together serve everything share priority 0 by weight; every further tier is a priority
// of its own and waits for a death. Capacity that is held down waits behind them, and so does a degraded path to a cluster that another
// path leads to.
//
// Endpoints that are known to be bad stand in one last priority of their own. Beside healthy ones they would make Envoy scale its
// priorities and localities down a second time for what the shares already say; there they are reached only when nothing else is
// left (panic threshold 1).
func Assign(r Request) Assignment {
	// A federation's usual number of sources fits the stack.
	var few [12]source
	sources, endpoints := place(&r, collect(&r, few[:0]))
	if len(sources) == 0 {
		return Assignment{}
	}
	out := make([]Priority, 0, 6)
	add := func(groups []Group) {
		if len(groups) > 0 {
			out = append(out, Priority{Groups: groups})
		}
	}
	serving, waiting := split(sources)
	add(healthyGroups(serving, endpoints))
	for len(waiting) > 0 {
		end := tierEnd(waiting, 0)
		if len(out) == maxPriorities-3 {
			end = len(waiting)
		}
		add(healthyGroups(waiting[:end], endpoints))
		waiting = waiting[end:]
	}
	add(heldGroups(sources, endpoints))
	add(badGroups(sources, endpoints))
	return Assignment{Priorities: out}
}

// split divides all calls among the sources and returns those that serve them together, and the tiers that wait.
func split(sources []source) (serving, waiting []source) {
	remaining, first := 1.0, 0
	for at := 0; at < len(sources); {
		end := tierEnd(sources, at)
		if remaining <= negligible {
			divide(sources[at:end], 1)
		} else if share := divide(sources[at:end], remaining); share > 0 {
			remaining -= share
			first = end
		}
		at = end
	}
	return sources[:first], sources[first:]
}
