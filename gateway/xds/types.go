// Package xds owns the translation of a snapshot into Envoy's resources, one file per resource type.
//
// It is pure: (part digest, class) determines every resource byte for byte.
package xds

import (
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/hanse-mesh/hanse/api/model"
)

// The resource types that Hanse serves, in the order in which additions are sent (make before break); removals go the other way.
const (
	SecretType   = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
	ClusterType  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	EndpointType = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	ListenerType = "type.googleapis.com/envoy.config.listener.v3.Listener"
	RouteType    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
)

// Types lists the resource types in sending order.
var Types = []string{SecretType, ClusterType, EndpointType, ListenerType, RouteType}

// Target is whom resources are for. It is derived from the client's certificate, never from what its Envoy says of itself.
type Target struct {
	// Workload is the ID of a workload or gateway of the snapshot.
	Workload string
}

// Resource is one marshalled resource. It is immutable and shared by all streams that receive it.
type Resource struct {
	Name string
	// Version is a content digest. An endpoint resource's version also covers its cluster, because Envoy warms a changed cluster
	// until its endpoints are delivered again.
	Version string
	Body    *anypb.Any
}

// Resources are complete sets by type URL, each sorted by name.
type Resources map[string][]*Resource

// Memo keeps marshalled parts between calls of Generate, so that a part that did not change is marshalled once for all targets and
// shared by pointer. Keys are a part's digest, "/" and a class. An entry is the same for every snapshot, so the owner may drop any
// entry at any time; Generate calls it from one goroutine.
type Memo interface {
	Get(key string) (*Resource, bool)
	Put(key string, r *Resource)
}

// Problem is a part of the snapshot that could not be offered to the target.
type Problem struct {
	Subject string
	Reason  string
}

// DefaultSecret names the proxy's own certificate and key; the proxy itself serves it. TrustSecret names the shared validation
// context of all bundles; the agent serves it, and with it contexts of fewer bundles whose names begin with TrustSecret+"|".
const (
	DefaultSecret = "default"
	TrustSecret   = "trust"
)

// UpstreamHTTP2 reports whether Envoys speak HTTP/2 to each other for calls of the protocol.
func UpstreamHTTP2(p model.Protocol) bool { return p.IsHTTP() }
