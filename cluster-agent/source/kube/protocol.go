// Package kube owns a Kubernetes cluster as a source of facts: it watches the cluster's own API server, and no other, and tells the agent
// which services are exported, where their pods are, and what this cluster looks like to those who must serve what others export.
//
// What objects mean is decided by pure functions; the rest of the package lists and watches, remembers the little that counts of each
// object, and works out again only the services that a change touches.
package kube

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/hanse-mesh/hanse/api/model"
)

// appProtocols are what a Service may declare (KEP-3726, and names of the IANA registry). Everything else is carried as TCP.
var appProtocols = map[string]model.Protocol{
	"http":               model.ProtocolHTTP,
	"kubernetes.io/ws":   model.ProtocolHTTP,
	"grpc-web":           model.ProtocolHTTP,
	"http2":              model.ProtocolHTTP2,
	"h2c":                model.ProtocolHTTP2,
	"kubernetes.io/h2c":  model.ProtocolHTTP2,
	"grpc":               model.ProtocolGRPC,
	"kubernetes.io/grpc": model.ProtocolGRPC,
}

// protocolOf decides what a service port speaks: its transport, then what it declares, then its name, or the name's part before the first
// '-', else TCP. TLS of the application's own (https, wss) is opaque and so TCP.
func protocolOf(p corev1.ServicePort) model.Protocol {
	switch transport := transportOf(p.Protocol); {
	case transport != model.ProtocolTCP:
		return transport
	case p.AppProtocol != nil && *p.AppProtocol != "":
		return protocolNamed(*p.AppProtocol)
	case strings.HasPrefix(p.Name, "grpc-web"):
		return model.ProtocolHTTP
	}
	prefix, _, _ := strings.Cut(p.Name, "-")
	return protocolNamed(prefix)
}

// transportOf reads Kubernetes' name of a transport; the empty name is TCP.
func transportOf(p corev1.Protocol) model.Protocol {
	switch p {
	case corev1.ProtocolUDP:
		return model.ProtocolUDP
	case corev1.ProtocolSCTP:
		return model.ProtocolSCTP
	default:
		return model.ProtocolTCP
	}
}

func protocolNamed(name string) model.Protocol {
	if p, ok := appProtocols[strings.ToLower(name)]; ok {
		return p
	}
	return model.ProtocolTCP
}
