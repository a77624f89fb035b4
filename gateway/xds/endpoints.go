package xds

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

// assignmentResource is a service port's endpoints for the callers of one locality. An assignment without any is a resource too: a
// cluster whose endpoints never come would hold up all others. name, which may be nil, gives each endpoint its host
// name; who has none is not checked.
func assignmentResource(sni, clusterVersion string, a route.Assignment, name func(model.ClusterName, route.Endpoint) string) *Resource {
	out := &endpointv3.ClusterLoadAssignment{ClusterName: sni}
	for i, priority := range a.Priorities {
		for _, g := range priority.Groups {
			out.Endpoints = append(out.Endpoints, &endpointv3.LocalityLbEndpoints{
				// The cluster is part of the locality: Envoy would merge two clusters in one zone, and their weights with them.
				Locality: &corev3.Locality{
					Region: g.Locality.Region, Zone: g.Locality.Zone, SubZone: string(g.Cluster),
				},
				Priority:            uint32(i),
				LoadBalancingWeight: u32(max(1, g.Weight)),
				LbEndpoints:         named(lbEndpoints(g.Endpoints), g, name),
			})
		}
	}
	return resource(sni, out, clusterVersion)
}

// passthroughEndpoints are the local workloads behind one SNI of a gateway.
func passthroughEndpoints(p *snapshot.Passthrough, clusterVersion string) *Resource {
	out := &endpointv3.ClusterLoadAssignment{ClusterName: p.SNI}
	if len(p.Endpoints) > 0 {
		out.Endpoints = []*endpointv3.LocalityLbEndpoints{{Locality: &corev3.Locality{}, LbEndpoints: lbEndpoints(p.Endpoints)}}
	}
	return resource(p.SNI, out, clusterVersion)
}

func named(list []*endpointv3.LbEndpoint, g route.Group, name func(model.ClusterName, route.Endpoint) string) []*endpointv3.LbEndpoint {
	if name == nil {
		return list
	}
	for i, e := range g.Endpoints {
		at := list[i].GetEndpoint()
		if at.Hostname = name(g.Cluster, e); at.GetHostname() == "" {
			at.HealthCheckConfig = &endpointv3.Endpoint_HealthCheckConfig{DisableActiveHealthCheck: true}
		}
	}
	return list
}

func lbEndpoints(list []route.Endpoint) []*endpointv3.LbEndpoint {
	out := make([]*endpointv3.LbEndpoint, 0, len(list))
	for _, e := range list {
		health := corev3.HealthStatus_UNHEALTHY
		if e.Healthy {
			health = corev3.HealthStatus_HEALTHY
		}
		out = append(out, &endpointv3.LbEndpoint{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
				Address: address{host: e.Address, port: e.Port}.proto(),
			}},
			HealthStatus:        health,
			LoadBalancingWeight: u32(max(1, e.Weight)),
			Metadata:            spokenTo(e.Via),
		})
	}
	return out
}
