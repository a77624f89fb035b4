// Package model owns the nouns of Hanse: clusters, services, records, versions, localities, workloads.
//
// It is pure: values with validation, order and equality, and nothing that reads a clock, a file or the network. Other packages
// share these types by value; slices inside them are treated as immutable once a value has been handed on.
package model

import (
	"cmp"
	"fmt"
	"strings"
)

// ClusterName names a member cluster or VM site: an RFC 1123 label of at most 63 characters, which is also what the
// Multi-Cluster Services API allows in its source-cluster label.
type ClusterName string

// ServiceKey names a service in the federation. The same namespace and name mean the same service in every cluster
// (namespace sameness, KEP-1645).
type ServiceKey struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// ClusterSetDomain is the DNS zone of federated service names (KEP-1645).
const ClusterSetDomain = "clusterset.local"

// String returns "name.namespace".
func (k ServiceKey) String() string { return k.Name + "." + k.Namespace }

// Host returns the federated DNS name, "name.namespace.svc.clusterset.local".
func (k ServiceKey) Host() string { return k.Name + "." + k.Namespace + ".svc." + ClusterSetDomain }

// IsZero reports whether k names no service.
func (k ServiceKey) IsZero() bool { return k == ServiceKey{} }

// Compare orders keys by namespace, then by name.
func (k ServiceKey) Compare(o ServiceKey) int {
	return cmp.Or(strings.Compare(k.Namespace, o.Namespace), strings.Compare(k.Name, o.Name))
}

// PassthroughSNI is the TLS server name under which gateways pass a service port through to a workload's own Envoy:
// "p.PORT.NAME.NAMESPACE.svc.clusterset.local". The name never changes its meaning.
func PassthroughSNI(k ServiceKey, port uint16) string { return fmt.Sprintf("p.%d.%s", port, k.Host()) }

// TerminatedSNI is the TLS server name under which gateways terminate a service port's connections for workloads without an Envoy of their
// own: "t.PORT.NAME.NAMESPACE.svc.clusterset.local", for UDP "t.PORT-udp.…", as both may have one number.
func TerminatedSNI(k ServiceKey, p Port) string {
	if p.Protocol == ProtocolUDP {
		return fmt.Sprintf("t.%d-udp.%s", p.Number, k.Host())
	}
	return fmt.Sprintf("t.%d.%s", p.Number, k.Host())
}

// GatewaySNI is the TLS server name that a cluster's gateways answer with their own identity: what probes dial.
func GatewaySNI(cluster ClusterName, federation string) string {
	return "gateway." + string(cluster) + "." + federation
}

// EnvoySNI is the TLS server name that every workload's own Envoy of a cluster answers itself: what checks dial.
func EnvoySNI(cluster ClusterName, federation string) string {
	return "envoy." + string(cluster) + "." + federation
}

// Locality says where something runs. Zone may be empty; Region should not be.
type Locality struct {
	Region string `json:"region"`
	Zone   string `json:"zone,omitempty"`
}

// String returns "region/zone", or "region" without a zone.
func (l Locality) String() string {
	if l.Zone == "" {
		return l.Region
	}
	return l.Region + "/" + l.Zone
}

// Compare orders localities by region, then by zone.
func (l Locality) Compare(o Locality) int {
	return cmp.Or(strings.Compare(l.Region, o.Region), strings.Compare(l.Zone, o.Zone))
}

// ParseLocality reads "region" or "region/zone".
func ParseLocality(s string) (Locality, error) {
	region, zone, _ := strings.Cut(s, "/")
	l := Locality{Region: region, Zone: zone}
	if err := ValidateLabel("region", l.Region); err != nil {
		return Locality{}, err
	}
	if l.Zone != "" {
		if err := ValidateLabel("zone", l.Zone); err != nil {
			return Locality{}, err
		}
	}
	return l, nil
}

// Protocol is what a port speaks; it is declared, never sniffed.
type Protocol string

// The protocols that a port can declare. Everything unknown is TCP.
const (
	ProtocolHTTP  Protocol = "http"
	ProtocolHTTP2 Protocol = "http2"
	ProtocolGRPC  Protocol = "grpc"
	ProtocolTCP   Protocol = "tcp"
	// ProtocolUDP is carried as CONNECT-UDP (RFC 9298) between gateways; local proxies do not offer it.
	ProtocolUDP Protocol = "udp"
	// ProtocolSCTP is told to importers, as the Multi-Cluster Services API demands of every exported port; nothing carries it.
	ProtocolSCTP Protocol = "sctp"
)

// Carried reports whether Envoys take calls of the protocol anywhere. Ports of others are in records and imports, and have no listener.
func (p Protocol) Carried() bool { return p != ProtocolSCTP }

// Transport returns what the protocol runs on, as the numbers of ports are of a transport: ProtocolTCP, ProtocolUDP or ProtocolSCTP.
func (p Protocol) Transport() Protocol {
	if p == ProtocolUDP || p == ProtocolSCTP {
		return p
	}
	return ProtocolTCP
}

// IsHTTP reports whether requests of the protocol can be routed one by one.
func (p Protocol) IsHTTP() bool {
	return p == ProtocolHTTP || p == ProtocolHTTP2 || p == ProtocolGRPC
}

// ParseProtocol reads a protocol name; the empty name is TCP.
func ParseProtocol(s string) (Protocol, error) {
	switch p := Protocol(strings.ToLower(s)); p {
	case ProtocolHTTP, ProtocolHTTP2, ProtocolGRPC, ProtocolTCP, ProtocolUDP, ProtocolSCTP:
		return p, nil
	case "":
		return ProtocolTCP, nil
	default:
		return "", fmt.Errorf("protocol %q is not one of http, http2, grpc, tcp, udp, sctp", s)
	}
}

// Port is one port of a service as its callers see it.
type Port struct {
	Name     string   `json:"name"`
	Number   uint16   `json:"number"`
	Protocol Protocol `json:"protocol"`
	// AppProtocol is what a Kubernetes Service says literally (KEP-1422); it follows the port to its importers and decides nothing else.
	AppProtocol string `json:"appProtocol,omitempty"`
}

// ValidateLabel checks that value is an RFC 1123 label; field names it in the error.
func ValidateLabel(field, value string) error {
	switch {
	case value == "":
		return fmt.Errorf("%s is empty: give a name of lower-case letters, digits and '-'", field)
	case len(value) > 63:
		return fmt.Errorf("%s %q is longer than 63 characters", field, value[:63]+"…")
	case !isLabel(value):
		return fmt.Errorf("%s %q is not a valid name: use lower-case letters, digits and '-', starting and ending with a letter or digit", field, value)
	}
	return nil
}

// isLabel reports whether s, which is not empty, has only lower-case letters, digits and inner hyphens. Every build of a snapshot checks
// thousands of names: a regular expression would be its greatest single cost.
func isLabel(s string) bool {
	for i := range len(s) {
		c := s[i]
		inner := i > 0 && i < len(s)-1
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' && inner) {
			return false
		}
	}
	return true
}

// ParseClusterName validates a cluster's name.
func ParseClusterName(s string) (ClusterName, error) {
	if err := ValidateLabel("cluster", s); err != nil {
		return "", err
	}
	return ClusterName(s), nil
}

// Validate checks both parts of the key.
func (k ServiceKey) Validate() error {
	if err := ValidateLabel("namespace", k.Namespace); err != nil {
		return err
	}
	return ValidateLabel("service", k.Name)
}

// Validate checks the port's number, name, protocol and application protocol.
func (p Port) Validate() error {
	if p.Number == 0 {
		return fmt.Errorf("port %q has no number: give one from 1 to 65535", p.Name)
	}
	if p.Name != "" {
		if err := ValidateLabel("port name", p.Name); err != nil {
			return err
		}
	}
	if p.AppProtocol != "" && !isQualifiedName(p.AppProtocol) {
		return fmt.Errorf("port %d: appProtocol %.128q is neither a name nor PREFIX/NAME, such as kubernetes.io/h2c", p.Number, p.AppProtocol)
	}
	_, err := ParseProtocol(string(p.Protocol))
	return err
}
