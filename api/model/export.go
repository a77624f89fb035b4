package model

import "time"

// IPFamily is "IPv4" or "IPv6", as Kubernetes writes it.
type IPFamily string

// The address families.
const (
	IPv4 IPFamily = "IPv4"
	IPv6 IPFamily = "IPv6"
)

// MaxExportEndpoints bounds the endpoints of a headless export.
const MaxExportEndpoints = 1000

// ServiceExport is a service that a Kubernetes cluster exports, as the Multi-Cluster Services API (KEP-1645) sees it. Values that merging
// compares are as the Service says them, verbatim.
type ServiceExport struct {
	// Service is the key. On the wire it is that of the record, and so are the ports.
	Service ServiceKey `json:"service"`
	// CreatedAt is the ServiceExport's creation time by its own API server, in whole seconds: of several exports the oldest decides.
	CreatedAt time.Time `json:"createdAt"`
	// Headless is the type: Headless, or ClusterSetIP.
	Headless bool `json:"headless,omitempty"`
	// Ports are sorted by number, UDP last.
	Ports []Port `json:"ports"`
	// IPFamilies are in the Service's order; none stands twice.
	IPFamilies []IPFamily `json:"ipFamilies"`
	// SessionAffinity is "None" or "ClientIP", AffinityTimeout the latter's, in seconds; zero when the Service says nothing.
	SessionAffinity string `json:"sessionAffinity,omitempty"`
	AffinityTimeout int32  `json:"affinityTimeout,omitempty"`
	// InternalTrafficPolicy and TrafficDistribution are empty when the Service says nothing.
	InternalTrafficPolicy string `json:"internalTrafficPolicy,omitempty"`
	TrafficDistribution   string `json:"trafficDistribution,omitempty"`
	// Labels and Annotations are the exported ones, never those of the objects themselves.
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// Endpoints are a headless service's, sorted by hostname and address, at most MaxExportEndpoints; nil for others.
	Endpoints []ExportEndpoint `json:"endpoints,omitempty"`
}

// ExportEndpoint is one address of a headless service.
type ExportEndpoint struct {
	// Hostname is an RFC 1123 label; it is the endpoint's own, or made of the address.
	Hostname string `json:"hostname"`
	// Address is an IP address of the exporting cluster.
	Address string `json:"address"`
	Ready   bool   `json:"ready"`
}
