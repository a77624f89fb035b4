package route

import "slices"

// Available is a complete observation: for each known capacity whether something is ready there and can be reached. A capacity that
// is missing is unavailable.
type Available map[RampKey]bool

// Observe adds one service's capacities to an observation: a locality of this cluster is available while an endpoint of it is, and
// one of another cluster while something is ready there and a gateway of the cluster leads to it. A cluster whose gateways are all
// out of reach is as dead as one with nothing ready.
func (a Available) Observe(r Request) {
	for _, e := range r.Local {
		k := RampKey{Service: r.Service, Cluster: r.Cluster, Locality: e.Locality}
		a[k] = a[k] || e.Available
	}
	for _, c := range r.Remote {
		if c.Cluster == r.Cluster {
			continue
		}
		k := RampKey{Service: r.Service, Cluster: c.Cluster, Locality: c.Locality, Terminated: c.Terminated}
		a[k] = a[k] || c.Ready > 0 && reachable(r.Gateways[c.Cluster])
	}
}

// reachable reports whether some point takes new calls.
func reachable(points []GatewayPoint) bool { return slices.ContainsFunc(points, GatewayPoint.usable) }

// degraded reports whether all paths to a cluster are. Whether somebody answers at their ends does not matter: what flaps must not change
// its tier.
func degraded(points []GatewayPoint) bool {
	some := false
	for _, p := range points {
		if p.Draining {
			continue
		}
		if some = true; !p.Degraded {
			return false
		}
	}
	return some
}
