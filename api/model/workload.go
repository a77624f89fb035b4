package model

import "net/netip"

// Workload is one registered workload of a VM site with the Envoy beside it, or one of its gateways.
type Workload struct {
	// ID is unique within the site and bound to the proxy's certificate.
	ID string `json:"id"`
	// Service is zero for a workload that only calls.
	Service        ServiceKey     `json:"service"`
	Namespace      string         `json:"namespace"`
	ServiceAccount string         `json:"serviceAccount"`
	Locality       Locality       `json:"locality"`
	Ports          []WorkloadPort `json:"ports,omitempty"`
	// Address and InboundPort are where its Envoy accepts mutual TLS, as others in the cluster reach it.
	Address     string `json:"address"`
	InboundPort uint16 `json:"inboundPort"`
	// InboundBind is the address that the Envoy listens on; it defaults to Address.
	InboundBind string         `json:"inboundBind,omitempty"`
	Export      bool           `json:"export"`
	Upstreams   []Upstream     `json:"upstreams,omitempty"`
	Open        *OpenUpstreams `json:"open,omitempty"`
	// Gateway is set for an east-west gateway.
	Gateway *WorkloadGateway `json:"gateway,omitempty"`
	// Egress is set for an egress gateway.
	Egress *WorkloadEgress `json:"egress,omitempty"`
	// Plain says that no Envoy stands beside it: it has no certificate, its ports' targets are reached in the clear by the cluster's own
	// gateways, and InboundPort is zero.
	Plain  bool           `json:"plain,omitempty"`
	Health WorkloadHealth `json:"health"`
}

// WorkloadPort is a service port and where the application serves it.
type WorkloadPort struct {
	Port
	// Target is the application's host:port, usually on loopback.
	Target string `json:"target"`
}

// Upstream is a service that a workload calls, offered on a loopback address.
type Upstream struct {
	Service ServiceKey `json:"service"`
	// Port is a port's name or number; it may be empty when the service has one port.
	Port string `json:"port"`
	// Bind is host:port on loopback.
	Bind string `json:"bind"`
}

// OpenUpstreams asks for everything that is imported.
type OpenUpstreams struct {
	// VIPs offers each service port from 1024 up on the service's VIP.
	VIPs bool `json:"vips"`
	// HTTPBind, when set, offers every HTTP service by Host on one host:port.
	HTTPBind string `json:"httpBind,omitempty"`
}

// WorkloadGateway is how an east-west gateway listens and is reached.
type WorkloadGateway struct {
	Bind             string `json:"bind"`
	AdvertiseAddress string `json:"advertiseAddress"`
	AdvertisePort    uint16 `json:"advertisePort"`
}

// WorkloadEgress is how an egress gateway listens: for each service port that can be called, on one port of the range that the agent allots.
type WorkloadEgress struct {
	// Bind is an IP address without port; "::" accepts both families.
	Bind string `json:"bind"`
	// Namespace, when set, is the only one whose workloads call through it; empty for the whole cluster.
	Namespace string `json:"namespace,omitempty"`
}

// WorkloadHealth is the verdict of the workload's own checks.
type WorkloadHealth struct {
	Ready    bool   `json:"ready"`
	Draining bool   `json:"draining"`
	Reason   string `json:"reason,omitempty"`
}

// Serves reports whether the workload takes part in a service.
func (w Workload) Serves() bool { return !w.Service.IsZero() }

// Available reports whether new calls may be sent to the workload.
func (w Workload) Available() bool { return w.Health.Ready && !w.Health.Draining }

// SPIFFEID returns the workload's identity in a trust domain: spiffe://TD/ns/NAMESPACE/sa/SERVICE-ACCOUNT.
func (w Workload) SPIFFEID(trustDomain string) string {
	return WorkloadID(trustDomain, w.Namespace, w.ServiceAccount)
}

// WorkloadID builds the SPIFFE ID of a service account, in the form that Istio, Kuma and SPIRE users know.
func WorkloadID(trustDomain, namespace, serviceAccount string) string {
	return "spiffe://" + trustDomain + "/ns/" + namespace + "/sa/" + serviceAccount
}

// SystemNamespace holds the identities of a site's own parts: its gateways and its agent.
const SystemNamespace = "hanse-system"

// DefaultServiceAccount is that of workloads for which none is named.
const DefaultServiceAccount = "default"

// The service accounts of a site's own parts.
const (
	GatewayServiceAccount = "gateway"
	AgentServiceAccount   = "agent"
	// EgressServiceAccount is who calls for workloads without an Envoy: in SystemNamespace for a whole cluster, in another namespace for it alone.
	EgressServiceAccount = "egress"
)

// VIPRange is where VM sites allot the virtual addresses of imported services: bindable without privilege.
var VIPRange = netip.MustParsePrefix("127.64.0.0/10")
