package model

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Bounds on what an export hands on: importers write it into their own API servers.
const (
	// MaxExportLabels is how many labels, and how many annotations, an export may have.
	MaxExportLabels = 64
	// MaxExportText is how many bytes the keys and values of labels and annotations may have together.
	MaxExportText = 16 << 10
	// MaxAffinityTimeout is the longest session affinity that a Service can have, in seconds.
	MaxAffinityTimeout = 86_400
)

// Validate reports the first thing for which an importer's API server would refuse what is derived from the export: one bad value must
// not keep the values of other clusters out.
func (e ServiceExport) Validate() error {
	if err := e.Service.Validate(); err != nil {
		return err
	}
	for _, check := range [...]func() error{e.validateTime, e.validateFamilies, e.validatePolicies, e.validateMetadata, e.validateEndpoints} {
		if err := check(); err != nil {
			return err
		}
	}
	return ValidatePorts(e.Ports)
}

// validateTime keeps to the years that a Kubernetes object can say.
func (e ServiceExport) validateTime() error {
	if s := e.CreatedAt.Unix(); s <= 0 || e.CreatedAt.Year() > 9999 {
		return errors.New("createdAt is not a time since 1970: give the ServiceExport's creation time")
	}
	return nil
}

func (e ServiceExport) validateFamilies() error {
	if len(e.IPFamilies) == 0 || len(e.IPFamilies) > 2 {
		return fmt.Errorf("ipFamilies has %d entries: give IPv4, IPv6 or both", len(e.IPFamilies))
	}
	for i, f := range e.IPFamilies {
		if f != IPv4 && f != IPv6 || slices.Contains(e.IPFamilies[:i], f) {
			return fmt.Errorf("ipFamilies has %.16q, which is unknown or stands twice: give IPv4, IPv6 or both", f)
		}
	}
	return nil
}

func (e ServiceExport) validatePolicies() error {
	switch {
	case e.SessionAffinity != "" && e.SessionAffinity != "None" && e.SessionAffinity != "ClientIP":
		return fmt.Errorf("sessionAffinity %.32q is neither None nor ClientIP", e.SessionAffinity)
	case e.AffinityTimeout < 0 || e.AffinityTimeout > MaxAffinityTimeout:
		return fmt.Errorf("affinityTimeout %d is not from 0 to %d seconds", e.AffinityTimeout, MaxAffinityTimeout)
	case e.InternalTrafficPolicy != "" && e.InternalTrafficPolicy != "Cluster" && e.InternalTrafficPolicy != "Local":
		return fmt.Errorf("internalTrafficPolicy %.32q is neither Cluster nor Local", e.InternalTrafficPolicy)
	case e.TrafficDistribution != "" && !isNamePart(e.TrafficDistribution):
		return fmt.Errorf("trafficDistribution %.63q is not a name such as PreferSameZone", e.TrafficDistribution)
	}
	return nil
}

func (e ServiceExport) validateMetadata() error {
	if len(e.Labels) > MaxExportLabels || len(e.Annotations) > MaxExportLabels {
		return fmt.Errorf("%d labels and %d annotations are exported: at most %d each are allowed", len(e.Labels), len(e.Annotations), MaxExportLabels)
	}
	size := 0
	for key, value := range e.Labels {
		size += len(key) + len(value)
		if !isQualifiedName(key) || value != "" && !isNamePart(value) {
			return fmt.Errorf("exported label %.320q=%.63q is not a label that an API server takes", key, value)
		}
	}
	for key, value := range e.Annotations {
		size += len(key) + len(value)
		if !isQualifiedName(strings.ToLower(key)) {
			return fmt.Errorf("exported annotation %.320q is not a name that an API server takes", key)
		}
	}
	if size > MaxExportText {
		return fmt.Errorf("exported labels and annotations have %d bytes: at most %d are allowed", size, MaxExportText)
	}
	return nil
}

func (e ServiceExport) validateEndpoints() error {
	switch {
	case len(e.Endpoints) > 0 && !e.Headless:
		return errors.New("endpoints are given, but the service is not headless: its addresses stay in its cluster")
	case len(e.Endpoints) > MaxExportEndpoints:
		return fmt.Errorf("%d endpoints are exported: at most %d are allowed", len(e.Endpoints), MaxExportEndpoints)
	}
	for i, ep := range e.Endpoints {
		if err := ep.Validate(); err != nil {
			return fmt.Errorf("endpoint %d: %w", i, err)
		}
		if i > 0 && e.Endpoints[i-1].Compare(ep) >= 0 {
			return fmt.Errorf("endpoint %d: %s at %s stands twice or out of order", i, ep.Hostname, ep.Address)
		}
	}
	return nil
}

// Validate checks that the endpoint can stand in an EndpointSlice: a unicast address that is no loopback or link-local one, in its normal
// form.
func (e ExportEndpoint) Validate() error {
	if err := ValidateLabel("hostname", e.Hostname); err != nil {
		return err
	}
	ip, err := netip.ParseAddr(e.Address)
	if err != nil || ip.Zone() != "" || ip.Is4In6() || !ip.IsGlobalUnicast() || ip.String() != e.Address {
		return fmt.Errorf("address %.64q is not an IP address that a pod can have", e.Address)
	}
	return nil
}

// Compare orders endpoints by hostname, then by address.
func (e ExportEndpoint) Compare(o ExportEndpoint) int {
	return cmp.Or(strings.Compare(e.Hostname, o.Hostname), strings.Compare(e.Address, o.Address))
}

// ValidatePorts checks each port, and that a name means one port, as does a number of one transport: two would make two
// listeners at one address of every importer.
func ValidatePorts(ports []Port) error {
	for i, p := range ports {
		if err := p.Validate(); err != nil {
			return err
		}
		for _, other := range ports[:i] {
			if p.SameSocket(other) || p.Name != "" && p.Name == other.Name {
				return fmt.Errorf("port %d %q stands twice", p.Number, p.Name)
			}
		}
	}
	return nil
}

// SameSocket reports whether both ports have one number of one transport.
func (p Port) SameSocket(o Port) bool {
	return p.Number == o.Number && p.Protocol.Transport() == o.Protocol.Transport()
}

// Compare orders ports by number, then by transport, UDP last.
func (p Port) Compare(o Port) int {
	return cmp.Or(cmp.Compare(p.Number, o.Number), cmp.Compare(p.Protocol.Transport(), o.Protocol.Transport()))
}

// isQualifiedName reports whether s is a key as Kubernetes has it: "name" or "prefix/name", the prefix a DNS name.
func isQualifiedName(s string) bool {
	prefix, name, prefixed := strings.Cut(s, "/")
	if !prefixed {
		return isNamePart(s)
	}
	if prefix == "" || len(prefix) > 253 {
		return false
	}
	for label := range strings.SplitSeq(prefix, ".") {
		if label == "" || !isLabel(label) {
			return false
		}
	}
	return isNamePart(name)
}

// isNamePart reports whether s has 1 to 63 letters, digits and inner '-', '_' and '.'.
func isNamePart(s string) bool {
	if s == "" || len(s) > 63 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		inner := i > 0 && i < len(s)-1
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || (c == '-' || c == '_' || c == '.') && inner) {
			return false
		}
	}
	return true
}
