package explain

import (
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/gateway/route"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

var (
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	pay  = model.ServiceKey{Namespace: "shop", Name: "payments"}
	http = model.Port{Name: "http", Number: 80, Protocol: model.ProtocolHTTP}
)

func at(region, zone string) model.Locality { return model.Locality{Region: region, Zone: zone} }

func workload(id, address string, l model.Locality) model.Workload {
	return model.Workload{
		ID: id, Service: pay, Namespace: "shop", ServiceAccount: "payments", Locality: l, Ports: []model.WorkloadPort{{Port: http}},
		Address: address, InboundPort: 15006, Export: true, Health: model.WorkloadHealth{Ready: true},
	}
}

func offer(cluster string, capacity ...model.Capacity) snapshot.Import {
	return snapshot.Import{Cluster: model.ClusterName(cluster), Record: model.ServiceRecord{
		Service: pay, Ports: []model.Port{http}, Identities: []string{model.WorkloadID(cluster+".acme", "shop", "payments")}, Capacity: capacity,
	}}
}

func finding(cluster, name, at string) model.GatewayFinding {
	since := noon.Add(-time.Hour)
	return model.GatewayFinding{Cluster: model.ClusterName(cluster), Gateway: name, Address: at, Reachable: "good", Own: "good", Since: &since, ConnectSeconds: 0.08}
}

func point(ip string, l model.Locality) route.GatewayPoint {
	return route.GatewayPoint{Address: ip, Port: 15443, Locality: l, Reach: route.ReachGood}
}

// world is a federation of three clusters that all offer one service, seen from eu; everything is well.
func world() (Input, Question) {
	members, bundles := map[model.ClusterName]model.Cluster{}, []model.Bundle{}
	for i, name := range []string{"asia", "eu", "us"} {
		members[model.ClusterName(name)] = model.Cluster{
			Name: model.ClusterName(name), Incarnation: uint64(i + 1), TrustDomain: name + ".acme", Region: name, ExportNamespaces: []string{"shop"},
		}
		bundles = append(bundles, model.Bundle{TrustDomain: name + ".acme", Sequence: 1, Roots: [][]byte{{byte(i)}}})
	}
	web := model.Workload{
		ID: "web-1", Namespace: "shop", ServiceAccount: "web", Locality: at("eu", "a"), Address: "10.0.0.9", InboundPort: 15006,
		Health: model.WorkloadHealth{Ready: true}, Upstreams: []model.Upstream{{Service: pay, Bind: "127.0.0.1:9000"}},
	}
	expiry := noon.Add(20 * time.Hour)
	return Input{
		Facts: snapshot.Inputs{
			Index: 42, Federation: "acme", Cluster: "eu", TrustDomain: "eu.acme", Members: members, Bundles: bundles,
			Workloads: []model.Workload{web, workload("pay-1", "10.0.0.1", at("eu", "a")), workload("pay-2", "10.0.0.2", at("eu", "b"))},
			Imports: []snapshot.Import{
				offer("us", model.Capacity{Locality: at("us", "a"), Ready: 3, Total: 4}),
				offer("asia", model.Capacity{Locality: at("asia", ""), Ready: 2, Total: 2}),
			},
			Gateways: map[model.ClusterName][]route.GatewayPoint{
				"us":   {point("192.0.2.1", at("us", "a")), point("192.0.2.2", at("us", "b"))},
				"asia": {point("198.51.100.1", at("asia", ""))},
			},
			Failover: []policy.FailoverPolicy{{Name: "near", Spec: policy.FailoverPolicySpec{Failover: []policy.RegionOrder{{From: "eu", To: []string{"us"}}}}}},
			Exports:  []policy.ExportRule{{Name: "shop", Spec: policy.ExportRuleSpec{From: []string{"*"}, Namespaces: []string{"shop"}, To: []string{"*"}}}},
		},
		Origins: []Origin{{Cluster: "asia", Epoch: 2, Seq: 9, AgeSeconds: 1}, {Cluster: "us", Epoch: 3, Seq: 14, AgeSeconds: 2}},
		Gateways: []model.GatewayFinding{
			finding("asia", "gw", "198.51.100.1:15443"), finding("us", "gw-1", "192.0.2.1:15443"), finding("us", "gw-2", "192.0.2.2:15443"),
		},
		InForce: &InForce{Connected: true, Derived: 42, Acknowledged: 42, Newest: true, CertificateExpiresAt: &expiry},
		Now:     noon,
	}, Question{Proxy: "web-1", Service: pay}
}

// find returns a cluster's finding to change it.
func (in *Input) find(gateway string) *model.GatewayFinding {
	for i := range in.Gateways {
		if in.Gateways[i].Gateway == gateway {
			return &in.Gateways[i]
		}
	}
	panic("no gateway " + gateway)
}
