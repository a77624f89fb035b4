// Package mcs owns what a cluster's API server should say of services across clusters: the Multi-Cluster Services API (KEP-1645).
//
// It is pure: from what the cluster exports, what other clusters export and what the API server says of the agent's own objects it makes
// the objects and conditions that should be there. Laws (tested): the order of the facts does not matter; a plan that was carried out leads
// to itself; all clusters that know the same exports merge them alike; every port of an import is one that a cluster serves; of what is
// exported no more nothing is left.
package mcs

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/api/model"
)

// PortKey names one port of a service. TCP and UDP ports may share a number.
type PortKey struct {
	Service model.ServiceKey
	Number  uint16
	UDP     bool
}

// LocalExport is a ServiceExport object of this cluster.
type LocalExport struct {
	Service model.ServiceKey
	// Generation is the object's, Conditions its conditions as they are now.
	Generation int64
	Conditions []metav1.Condition
	// Invalid is "NoService", "InvalidServiceType" or, when the Service can be exported, empty.
	Invalid string
	// Export is what the Service says; nil when Invalid is set.
	Export *model.ServiceExport
	// Refused says why the federation does not let the export out; empty when it does.
	Refused string
}

// Remote is one export of another cluster.
type Remote struct {
	Cluster model.ClusterName
	Export  model.ServiceExport
	// StandIn says that the cluster is no Kubernetes cluster and has no ServiceExport: only the export's ports are its own words, and only
	// they can conflict.
	StandIn bool
}

// Derived is what the API server says of a derived Service.
type Derived struct {
	// ClusterIPs and IPFamilies are in the Service's order and belong to each other.
	ClusterIPs []string
	IPFamilies []string
}

// Egress is one address of one of this cluster's egress pods: a pod of two families has two.
type Egress struct {
	Address string
	Ready   bool
}

// Facts are what a plan follows from. Order does not matter anywhere but in Families, Derived and an export's IPFamilies.
type Facts struct {
	Cluster model.ClusterName
	// Namespaces are those of this cluster that objects can be made in; one that is being deleted is false.
	Namespaces map[string]bool
	Exports    []LocalExport
	Remotes    []Remote
	// Derived holds the derived Services that the API server has given addresses.
	Derived map[model.ServiceKey]Derived
	Egress  []Egress
	// Ports are the egress ports that were allotted.
	Ports map[PortKey]uint16
	// EndpointSlices says that imported EndpointSlices carry the labels of the Multi-Cluster Services API, for others to read.
	EndpointSlices bool
	// Families are those that this cluster's Services can have, in its order; empty when that is not known.
	Families []string
}

// Plan is what the API server should say. Objects are sorted by namespace and name; the same facts give the same plan. Objects share parts
// with each other and with the facts: they are not changed.
type Plan struct {
	// Imports include their status.
	Imports []*mcsv1beta1.ServiceImport
	// Services are the derived Services, which have the imports' addresses.
	Services []*corev1.Service
	Slices   []*discoveryv1.EndpointSlice
	// Conditions are those that the agent owns, of each ServiceExport of this cluster.
	Conditions map[model.ServiceKey][]metav1.Condition
}
