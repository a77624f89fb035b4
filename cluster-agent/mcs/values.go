package mcs

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/api/model"
)

// clientIP is the only session affinity there is.
const clientIP = string(corev1.ServiceAffinityClientIP)

func importType(e model.ServiceExport) mcsv1beta1.ServiceImportType {
	if e.Headless {
		return mcsv1beta1.Headless
	}
	return mcsv1beta1.ClusterSetIP
}

// affinity returns a session affinity with its default.
func affinity(e model.ServiceExport) string {
	if e.SessionAffinity == "" {
		return string(corev1.ServiceAffinityNone)
	}
	return e.SessionAffinity
}

// timeout returns a session affinity's timeout with its default, in seconds.
func timeout(e model.ServiceExport) int32 {
	if e.AffinityTimeout == 0 {
		return corev1.DefaultClientIPServiceAffinitySeconds
	}
	return e.AffinityTimeout
}

func seconds(e model.ServiceExport) string { return fmt.Sprintf("%d s", timeout(e)) }

// trafficPolicy returns an internal traffic policy with its default.
func trafficPolicy(e model.ServiceExport) string {
	if e.InternalTrafficPolicy == "" {
		return string(corev1.ServiceInternalTrafficPolicyCluster)
	}
	return e.InternalTrafficPolicy
}

// distribution returns a traffic distribution; PreferClose is an old name of PreferSameZone.
func distribution(e model.ServiceExport) string {
	switch e.TrafficDistribution {
	case "":
		return "none"
	case corev1.ServiceTrafficDistributionPreferClose:
		return corev1.ServiceTrafficDistributionPreferSameZone
	default:
		return e.TrafficDistribution
	}
}

// familyText names the families in one order: which one is preferred is no conflict.
func familyText(e model.ServiceExport) string {
	out := make([]string, len(e.IPFamilies))
	for i, f := range e.IPFamilies {
		out[i] = string(f)
	}
	slices.Sort(out)
	return strings.Join(out, "+")
}

// familyOf returns an address's family; an address that is none has none.
func familyOf(address string) corev1.IPFamily {
	ip, err := netip.ParseAddr(address)
	switch {
	case err != nil:
		return ""
	case ip.Is4():
		return corev1.IPv4Protocol
	default:
		return corev1.IPv6Protocol
	}
}

// transport is a port's protocol as Kubernetes has it.
func transport(p model.Port) corev1.Protocol {
	switch p.Protocol.Transport() {
	case model.ProtocolUDP:
		return corev1.ProtocolUDP
	case model.ProtocolSCTP:
		return corev1.ProtocolSCTP
	default:
		return corev1.ProtocolTCP
	}
}

// optional returns nil for the zero value.
func optional[T ~string](s T) *T {
	if s == "" {
		return nil
	}
	return &s
}
