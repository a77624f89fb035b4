// Package route owns the choice of where calls go: for each service and each locality of callers, ordered sets of endpoints with
// weights.
//
// It is pure. Envoy's priorities react only to death; how much each tier gets while alive is decided here.
package route

import "github.com/hanse-mesh/hanse/api/model"

// Assignment is where the callers of one locality send the calls of one service port: what becomes one EDS resource.
// An address and port stand at most once in it, priorities have no gaps, and every group has a weight of 1 or more.
type Assignment struct {
	Priorities []Priority `json:"priorities"`
}

// Priority is used when those before it are dead.
type Priority struct {
	Groups []Group `json:"groups"`
}

// Group is the endpoints of one cluster in one locality; Envoy sees it as a locality with a weight.
type Group struct {
	Cluster  model.ClusterName `json:"cluster"`
	Locality model.Locality    `json:"locality"`
	// Weight is the group's part of its priority, 1 to 10,000.
	Weight    uint32     `json:"weight"`
	Endpoints []Endpoint `json:"endpoints"`
}

// Endpoint is a workload of this cluster, or another cluster's gateway.
type Endpoint struct {
	// Address is an IP address.
	Address string `json:"address"`
	Port    uint16 `json:"port"`
	// Weight is relative to its group, 1 or more.
	Weight uint32 `json:"weight"`
	// Healthy is false for an endpoint that is known to be unready, draining or unreachable and is kept for the case that
	// nothing else is left.
	Healthy bool `json:"healthy"`
	Gateway bool `json:"gateway,omitempty"`
	Via     Via  `json:"via,omitempty"`
}

// Via is how an endpoint is spoken to.
type Via string

// The ways, the best first.
const (
	// ViaEnvoy is mutual TLS with the workload's own Envoy, whether it is in this cluster or behind a gateway that passes connections on.
	ViaEnvoy Via = ""
	// ViaTerminated is mutual TLS with another cluster's gateway, which answers for workloads without an Envoy.
	ViaTerminated Via = "terminated"
	// ViaPlain is in the clear, to a workload of this cluster without an Envoy.
	ViaPlain Via = "plain"
)

// Reachability is a prober's verdict on a gateway address. Unknown counts as healthy.
type Reachability int

// The verdicts.
const (
	ReachUnknown Reachability = iota
	ReachGood
	ReachBad
)

// GatewayPoint is one resolved address of a gateway of another cluster.
type GatewayPoint struct {
	// Address is an IP address.
	Address  string
	Port     uint16
	Locality model.Locality
	Draining bool
	Reach    Reachability
	// Degraded says that the way there is much longer than usual, or loses packets.
	Degraded bool
}

// usable reports whether new calls may be sent there.
func (p GatewayPoint) usable() bool { return !p.Draining && p.Reach != ReachBad }
