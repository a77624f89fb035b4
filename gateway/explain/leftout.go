package explain

import (
	"fmt"
	"slices"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
)

// LeftOut is capacity that no call is sent to.
type LeftOut struct {
	Cluster  model.ClusterName `json:"cluster"`
	Locality model.Locality    `json:"locality"`
	Reason   string            `json:"reason"`
}

// leftOut finds the capacity that is offered and has no group in the assignment. Capacity of another cluster goes with the cluster.
func (x *explainer) leftOut(a route.Assignment) []LeftOut {
	there, ways := map[model.ClusterName]bool{}, map[model.ClusterName]route.Via{}
	localities := map[model.Locality]bool{}
	for _, p := range a.Priorities {
		for _, g := range p.Groups {
			there[g.Cluster], ways[g.Cluster] = true, g.Endpoints[0].Via
			if g.Cluster == x.in.Facts.Cluster {
				localities[g.Locality] = true
			}
		}
	}
	out := []LeftOut{}
	for _, w := range x.port.Own {
		if !localities[w.Locality] {
			localities[w.Locality] = true
			out = append(out, LeftOut{x.in.Facts.Cluster, w.Locality, x.tierText(w.Locality)})
		}
	}
	for _, c := range x.port.Request.Remote {
		switch otherWay := c.Terminated != (ways[c.Cluster] == route.ViaTerminated); {
		case !there[c.Cluster]:
			out = append(out, LeftOut{c.Cluster, c.Locality, x.whyLeftOut(c)})
		case otherWay && c.Terminated:
			out = append(out, LeftOut{c.Cluster, c.Locality, "workloads without an Envoy wait while the cluster has some with one"})
		case otherWay:
			out = append(out, LeftOut{c.Cluster, c.Locality, "workloads with an Envoy wait: none is ready that has not died lately"})
		}
	}
	return out
}

func (x *explainer) whyLeftOut(c route.RemoteCapacity) string {
	points := x.port.Request.Gateways[c.Cluster]
	switch {
	case len(points) == 0:
		return fmt.Sprintf("cluster %s has no gateway that is known here: start one there with 'hanse proxy --gateway'", c.Cluster)
	case x.port.Request.Tier(c.Locality).Kind == route.TierNever:
		return x.tierText(c.Locality)
	case !slices.ContainsFunc(points, func(p route.GatewayPoint) bool { return !p.Draining }):
		return fmt.Sprintf("all gateways of cluster %s drain, and there is something else to call", c.Cluster)
	default:
		return fmt.Sprintf("the addresses of cluster %s's gateways are another cluster's, too, which is nearer", c.Cluster)
	}
}
