// Package snapshot owns the neutral model between a site's knowledge and Envoy's configuration: what each local proxy serves,
// calls and trusts.
//
// It is pure. Build is a function of its inputs; everything in a Snapshot is sorted, carries a content digest and is immutable, so
// that parts with equal digests are interchangeable.
package snapshot

import (
	"net/netip"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/gateway/route"
)

// Inputs is everything that a snapshot is derived from.
type Inputs struct {
	// Index is the Raft index of the federation's state that the inputs are of.
	Index       uint64
	Federation  string
	Cluster     model.ClusterName
	TrustDomain string
	// Workloads are the site's registrations, gateways included, in any order.
	Workloads []model.Workload
	// OwnExports are what this cluster exports by the Multi-Cluster Services API, each service once.
	OwnExports []model.ServiceExport
	// EgressPorts are the ports that this cluster's egress gateways listen on.
	EgressPorts map[EgressPort]uint16
	// Imports are the services of other clusters that this cluster may call, verified.
	Imports []Import
	// Gateways are the other clusters' gateways with resolved addresses and verdicts.
	Gateways map[model.ClusterName][]route.GatewayPoint
	// Members are all member clusters by name, this one included.
	Members  map[model.ClusterName]model.Cluster
	Failover []policy.FailoverPolicy
	Exports  []policy.ExportRule
	// Takes are the import rules.
	Takes []policy.ImportRule
	// Bundles are the trust domains whose workloads may be believed, this cluster's own included.
	Bundles []model.Bundle
	// VIPs are the virtual addresses that this site has allotted.
	VIPs map[model.ServiceKey]netip.Addr
	// Ramps limits recovering capacity while it fails back, in percent of its share or route.HeldDown; an absent key is 100.
	Ramps map[route.RampKey]uint32
}

// EgressPort is a service port that egress gateways offer.
type EgressPort struct {
	Service model.ServiceKey
	Number  uint16
	UDP     bool
}

// Import is one cluster's record of a service.
type Import struct {
	Cluster model.ClusterName
	Record  model.ServiceRecord
	// Stale says that the cluster has not confirmed it for longer than route.StaleAfter: it serves behind what is fresh.
	Stale bool
}

// Snapshot is what a site's proxies are configured from.
type Snapshot struct {
	// Index is that of the inputs. The digest does not cover it: most changes of the federation's state change nothing here.
	Index uint64
	// Digest covers everything below.
	Digest      string
	Federation  string
	Cluster     model.ClusterName
	TrustDomain string
	// Services are the callable service ports, keyed and sorted by SNI.
	Services []*ServicePort
	// Workloads are the site's proxies, keyed and sorted by ID.
	Workloads []*Workload
	// Passthrough is what the site's gateways pass on, sorted by SNI: exported service ports only.
	Passthrough []*Passthrough
	// Terminated is what the site's gateways answer for, sorted by SNI: exported ports of workloads without an Envoy only.
	Terminated []*Terminated
	Trust      *Trust
	// Problems are facts that could not be turned into configuration, for operators.
	Problems []string
}

// ServicePort is one service port that local workloads can call.
type ServicePort struct {
	// Digest covers everything, ConfigDigest everything but the assignments.
	Digest       string
	ConfigDigest string

	Service model.ServiceKey
	Port    model.Port
	// SNI is the passthrough server name, for UDP the terminated one; it also names the Envoy cluster.
	SNI string
	// Identities are the SPIFFE IDs that servers of this service may present in any cluster, sorted; none for UDP.
	Identities []string
	// Terminators are the SPIFFE IDs of the gateways that answer for workloads of other clusters, sorted.
	Terminators []string
	// Plain says that workloads of this cluster may serve it without an Envoy.
	Plain bool
	// Affinity says that calls of one client address are to go to one endpoint.
	Affinity bool
	// EgressPort is where egress gateways offer it; zero when they do not.
	EgressPort uint16
	// VIP is invalid when none is allotted.
	VIP netip.Addr
	// Assignments hold one entry per locality of this site's proxies, sorted by locality.
	Assignments []LocalAssignment
}

// LocalAssignment is the assignment for callers in one locality.
type LocalAssignment struct {
	// Digest also covers the service port's SNI.
	Digest     string
	Locality   model.Locality
	Assignment route.Assignment
}

// For returns the assignment for callers in a locality.
func (s *ServicePort) For(l model.Locality) (LocalAssignment, bool) {
	for _, a := range s.Assignments {
		if a.Locality == l {
			return a, true
		}
	}
	return LocalAssignment{}, false
}

// Workload is one proxy's own part: what it serves, and which services it is offered.
type Workload struct {
	Digest string
	model.Workload
	// Callers are the trust domains whose workloads may call it, sorted; its own is always among them.
	Callers []string
	// Calls are its declared upstreams, resolved to a service port; unresolved ones are in Problems.
	Calls []Call
	// Problems are what of its registration cannot be offered, and why.
	Problems []string
}

// Call is a declared upstream and the service port that it reaches.
type Call struct {
	// Bind is host:port on loopback.
	Bind string
	// SNI is the service port's key in Snapshot.Services.
	SNI      string
	Protocol model.Protocol
}

// Passthrough is one SNI that the site's gateways accept and the local endpoints behind it.
type Passthrough struct {
	Digest string
	SNI    string
	// Protocol is the port's; the gateway does not look into connections, but how long they live depends on it.
	Protocol  model.Protocol
	Endpoints []route.Endpoint
}

// Terminated is one SNI that the site's gateways answer for, and the workloads behind it, which they reach in the clear.
type Terminated struct {
	Digest   string
	SNI      string
	Protocol model.Protocol
	// Callers are the trust domains whose workloads may call it, sorted; this cluster's own is always among them.
	Callers   []string
	Endpoints []route.Endpoint
}

// Trust is whom the site's proxies believe.
type Trust struct {
	Digest string
	// Bundles are sorted by trust domain.
	Bundles []model.Bundle
}
