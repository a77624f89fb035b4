package explain

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
)

// ExplainedPriority is one priority of an assignment.
type ExplainedPriority struct {
	// Role says when calls go there.
	Role   string           `json:"role"`
	Groups []ExplainedGroup `json:"groups"`
}

// ExplainedGroup is the endpoints of one cluster in one locality.
type ExplainedGroup struct {
	Cluster  model.ClusterName `json:"cluster"`
	Locality model.Locality    `json:"locality"`
	Tier     route.Tier        `json:"tier"`
	// Weight is the group's part of its priority.
	Weight uint32 `json:"weight"`
	// SharePercent is the part of all calls that it gets now.
	SharePercent float64 `json:"sharePercent"`
	// Facts are what led there.
	Facts     []string            `json:"facts"`
	Endpoints []ExplainedEndpoint `json:"endpoints"`
}

// ExplainedEndpoint is one address that calls are sent to.
type ExplainedEndpoint struct {
	// Address is IP:PORT, of a workload's own Envoy, of one that has none, or of another cluster's gateway.
	Address string `json:"address"`
	Gateway bool   `json:"gateway,omitempty"`
	// Via is how it is spoken to: empty is mutual TLS with a workload's own Envoy, also behind a gateway.
	Via          route.Via `json:"via,omitempty"`
	Healthy      bool      `json:"healthy"`
	Weight       uint32    `json:"weight"`
	SharePercent float64   `json:"sharePercent"`
	Facts        []string  `json:"facts"`
}

// The roles of priorities.
const (
	roleFirst = "takes the calls"
	roleWaits = "waits until those before it are dead"
	roleBad   = "known to be bad: tried only when nothing else is left"
)

func (x *explainer) priorities(a route.Assignment) []ExplainedPriority {
	out := make([]ExplainedPriority, len(a.Priorities))
	for i, p := range a.Priorities {
		out[i] = ExplainedPriority{Role: role(i, p), Groups: make([]ExplainedGroup, len(p.Groups))}
		part := partsOf(p)
		for j, g := range p.Groups {
			share := 0.0
			if i == 0 {
				share = part[j]
			}
			out[i].Groups[j] = x.group(g, share)
		}
	}
	return out
}

func role(i int, p route.Priority) string {
	healthy := slices.ContainsFunc(p.Groups, func(g route.Group) bool {
		return slices.ContainsFunc(g.Endpoints, func(e route.Endpoint) bool { return e.Healthy })
	})
	switch {
	case !healthy:
		return roleBad
	case i == 0:
		return roleFirst
	default:
		return roleWaits
	}
}

func (x *explainer) group(g route.Group, share float64) ExplainedGroup {
	out := ExplainedGroup{
		Cluster: g.Cluster, Locality: g.Locality, Tier: x.port.Request.Tier(g.Locality), Weight: g.Weight, SharePercent: share,
		Facts: []string{x.tierText(g.Locality)},
	}
	if g.Cluster == x.in.Facts.Cluster {
		out.Facts = append(out.Facts, x.ownFacts(g.Locality)...)
	} else {
		out.Facts = append(out.Facts, x.remoteFacts(g.Cluster)...)
	}
	sum := uint64(0)
	for _, e := range g.Endpoints {
		sum += uint64(e.Weight)
	}
	for _, e := range g.Endpoints {
		one := ExplainedEndpoint{
			Address: address(e.Address, e.Port), Gateway: e.Gateway, Via: e.Via, Healthy: e.Healthy, Weight: e.Weight,
			SharePercent: share * float64(e.Weight) / float64(sum),
		}
		if e.Gateway {
			one.Facts = x.gatewayFacts(g.Cluster, one.Address)
		} else {
			one.Facts = x.workloadFacts(e)
		}
		one.Facts = append(one.Facts, wayFacts(e.Via)...)
		out.Endpoints = append(out.Endpoints, one)
	}
	return out
}

// address writes IP:PORT as findings do.
func address(host string, port uint16) string {
	if ip, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(ip, port).String()
	}
	return fmt.Sprintf("%s:%d", host, port)
}
