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
	// A federation's usual number of sources fits the stack.
	var few [12]source
	sources, endpoints := place(&r, collect(&r, few[:0]))
	if len(sources) == 0 {
		return Assignment{}
	}
	waiting := make([]Priority, 0, 4)
	remaining, first := 1.0, 0
	for at := 0; at < len(sources); {
		end := tierEnd(sources, at)
		tier := sources[at:end]
		share := divide(tier)
		switch {
		case share == 0:
		case remaining > negligible:
			take := min(remaining, share)
			for i := range tier {
				tier[i].part *= take / share
			}
			remaining -= take
			first = end
		default:
			waiting = append(waiting, Priority{Groups: healthyGroups(tier, endpoints)})
		}
		at = end
	}
	out := make([]Priority, 0, len(waiting)+2)
	if groups := healthyGroups(sources[:first], endpoints); len(groups) > 0 {
		out = append(out, Priority{Groups: groups})
	}
	out = append(out, waiting...)
	if groups := badGroups(sources, endpoints); len(groups) > 0 {
		out = append(out, Priority{Groups: groups})
	}
	return Assignment{Priorities: out}
}
