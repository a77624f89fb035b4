package route

import (
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

// LocalEndpoint is one workload of this cluster that serves the port: where its own Envoy accepts calls.
type LocalEndpoint struct {
	// Address is an IP address.
	Address  string
	Port     uint16
	Locality model.Locality
	// Weight is relative to the other endpoints of its locality; 0 counts as 1.
	Weight    uint32
	Available bool
}

// RemoteCapacity is how much of the service another cluster has in one locality.
type RemoteCapacity struct {
	Cluster model.ClusterName
	model.Capacity
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
	// Ramps holds percentages from 1 to 100; an absent key is 100.
	Ramps map[RampKey]uint32
}

// Assign decides where the callers of one locality send their calls.
//
// Sources of capacity stand in tiers: the callers' zone, their region, each region of the policy's order, all others. A tier serves
// the share min(1, 1.4 × ready/total) of the calls, and what it does not serve spills over to the next tier. The tiers that together
// serve everything share priority 0 by weight; every further tier is a priority of its own and waits for a death.
//
// Endpoints that are known to be bad stand in one last priority of their own. Beside healthy ones they would make Envoy scale its
// priorities and localities down a second time for what the shares already say; there they are reached only when nothing else is
// left (panic threshold 1).
func Assign(r Request) Assignment {
	var few [16]source
	all := place(r, collect(&r, few[:0]))
	sources := all.sources
	if len(sources) == 0 {
		return Assignment{}
	}
	priorities := make([]Priority, 0, 3)
	remaining, first := 1.0, 0
	for at := 0; at < len(sources); {
		end := tierEnd(sources, at)
		share := divide(sources[at:end])
		switch {
		case share == 0:
		case remaining > negligible:
			take := min(remaining, share)
			for i := range sources[at:end] {
				sources[at+i].part *= take / share
			}
			remaining -= take
			first = end
		default:
			priorities = appendPriority(priorities, all.healthy(sources[at:end]))
		}
		at = end
	}
	return Assignment{Priorities: assemble(all, priorities, first)}
}

// assemble puts priority 0, made of the sources before first, in front of the waiting priorities, and the bad endpoints behind them.
func assemble(all placed, waiting []Priority, first int) []Priority {
	out := make([]Priority, 0, len(waiting)+2)
	out = appendPriority(out, all.healthy(all.sources[:first]))
	out = append(out, waiting...)
	return appendPriority(out, all.bad())
}

func appendPriority(to []Priority, groups []Group) []Priority {
	if len(groups) == 0 {
		return to
	}
	return append(to, Priority{Groups: groups})
}
