package xds

import (
	"slices"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rawbufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

// kinds are the ways in which a service port's endpoints can be spoken to. The fields but plain name validation contexts, and are empty where
// there is no way.
type kinds struct {
	envoys, terminators string
	plain               bool
	// check is for checks of any of those that prove who they are.
	check string
	// missing says that of some way no bundle is known.
	missing bool
}

// kindsOf adds the validation contexts of a service port.
func (b *builder) kindsOf(sp *snapshot.ServicePort) kinds {
	k := kinds{plain: sp.Plain && sp.Port.Protocol != model.ProtocolUDP}
	k.envoys, k.terminators = b.trustIn(sp.Identities), b.trustIn(sp.Terminators)
	k.missing = len(sp.Identities) > 0 && k.envoys == "" || len(sp.Terminators) > 0 && k.terminators == ""
	switch {
	case k.envoys == "" || k.terminators == "":
		k.check = k.envoys + k.terminators
	case b.checkedAs(sp) != nil:
		k.check = b.trustIn(slices.Concat(sp.Identities, sp.Terminators))
	default:
		k.check = k.envoys
	}
	return k
}

// trustIn adds the validation context of the domains of identities; its name is empty when no root of them is known.
func (b *builder) trustIn(ids []string) string {
	if len(ids) != 1 {
		name, _ := b.trustOf(domainsOf(ids))
		return name
	}
	name, known := b.trusts[ids[0]]
	if !known {
		name, _ = b.trustOf(domainsOf(ids))
		b.trusts[ids[0]] = name
	}
	return name
}

func (k kinds) none() bool { return k.envoys == "" && k.terminators == "" && !k.plain }

// key tells kinds of one service port apart.
func (k kinds) key() string { return k.envoys + "|" + k.terminators }

// multiplexed reports whether calls share connections.
func (k kinds) multiplexed(sp *snapshot.ServicePort) bool {
	return UpstreamHTTP2(sp.Port.Protocol) || sp.Port.Protocol == model.ProtocolUDP
}

// of leaves the endpoints that can be spoken to: nobody is called in the clear, or by another name, because his roots are not known.
func (k kinds) of(a route.Assignment) route.Assignment {
	known := map[route.Via]bool{route.ViaEnvoy: k.envoys != "", route.ViaTerminated: k.terminators != "", route.ViaPlain: k.plain}
	return only(a, func(e route.Endpoint) bool { return known[e.Via] })
}

// only leaves the endpoints that match, and no gap where none does.
func only(a route.Assignment, match func(route.Endpoint) bool) route.Assignment {
	var out route.Assignment
	for _, p := range a.Priorities {
		var left route.Priority
		for _, g := range p.Groups {
			g.Endpoints = slices.DeleteFunc(slices.Clone(g.Endpoints), func(e route.Endpoint) bool { return !match(e) })
			if len(g.Endpoints) > 0 {
				left.Groups = append(left.Groups, g)
			}
		}
		if len(left.Groups) > 0 {
			out.Priorities = append(out.Priorities, left)
		}
	}
	return out
}

// sockets gives a cluster a TLS context for each way, which endpoints pick by their mark. Who has none is a workload's Envoy.
func (k kinds) sockets(c *clusterv3.Cluster, sp *snapshot.ServicePort, alpn ...string) {
	if k.envoys != "" {
		c.TransportSocket = clientTLS(sp.SNI, sp.Identities, k.envoys, alpn...)
	}
	if k.terminators != "" {
		socket := clientTLS(model.TerminatedSNI(sp.Service, sp.Port), sp.Terminators, k.terminators, alpn...)
		if c.TransportSocket == nil {
			c.TransportSocket = socket
		} else {
			c.TransportSocketMatches = append(c.TransportSocketMatches, picked(route.ViaTerminated, socket))
		}
	}
	if k.plain && c.GetTransportSocket() != nil {
		c.TransportSocketMatches = append(c.TransportSocketMatches, picked(route.ViaPlain, inTheClear()))
	}
}

func inTheClear() *corev3.TransportSocket {
	return &corev3.TransportSocket{
		Name:       "envoy.transport_sockets.raw_buffer",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: pack(&rawbufferv3.RawBuffer{})},
	}
}

func picked(via route.Via, socket *corev3.TransportSocket) *clusterv3.Cluster_TransportSocketMatch {
	return &clusterv3.Cluster_TransportSocketMatch{Name: string(via), Match: viaMark(via), TransportSocket: socket}
}

func viaMark(via route.Via) *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{"hanse.via": structpb.NewStringValue(string(via))}}
}

// spokenTo marks an endpoint that is no Envoy of a workload.
func spokenTo(via route.Via) *corev3.Metadata {
	if via == route.ViaEnvoy {
		return nil
	}
	return &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"envoy.transport_socket_match": viaMark(via)}}
}
