package xds

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

// clientHelloTimeout is how long a connection may take to say which SNI it wants.
const clientHelloTimeout = 5 * time.Second

// lowestOpenPort is the first port that an unprivileged process may bind.
const lowestOpenPort = 1024

// outbound adds what a workload calls: its declared upstreams and, when it asks for it, everything imported.
func (b *builder) outbound(w *snapshot.Workload) {
	for _, call := range w.Calls {
		sp := portOf(b.s, call.SNI)
		if sp == nil {
			b.problem("upstream "+call.Bind, "%s is not callable from this site", call.SNI)
			continue
		}
		at, err := parseBind(call.Bind)
		if err != nil {
			b.problem("upstream "+call.Bind, "%v", err)
			continue
		}
		if b.offer(sp, w.Locality) {
			name := "upstream|" + call.Bind
			b.listen(at, name, sp.ConfigDigest+"/"+name, func() *Resource { return callListener(name, at, sp) })
		}
	}
	if w.Open != nil {
		b.open(w)
	}
}

// open adds everything imported: each service port on its virtual address, and HTTP services by Host.
func (b *builder) open(w *snapshot.Workload) {
	var web []*snapshot.ServicePort
	var names []string
	for _, sp := range b.s.Services {
		http := w.Open.HTTPBind != "" && sp.Port.Protocol.IsHTTP()
		if sp.Port.Protocol == model.ProtocolUDP || !w.Open.VIPs && !http || !b.offer(sp, w.Locality) {
			continue
		}
		if http {
			web = append(web, sp)
			names = append(names, sp.SNI)
		}
		if w.Open.VIPs {
			b.virtual(sp)
		}
	}
	if w.Open.HTTPBind == "" {
		return
	}
	at, err := parseBind(w.Open.HTTPBind)
	if err != nil {
		b.problem("open.httpBind", "%v", err)
		return
	}
	if b.listen(at, openRoutes, w.Digest+"/"+openRoutes, func() *Resource { return openListener(at) }) {
		b.add(RouteType, b.part(digest(names...)+"/"+openRoutes, func() *Resource { return openConfig(web) }))
	}
}

// virtual adds a service port on its service's virtual address.
func (b *builder) virtual(sp *snapshot.ServicePort) {
	subject := "service " + sp.Service.String()
	switch {
	case !sp.VIP.IsValid():
		b.problem(subject, "has no virtual address")
	case sp.Port.Number < lowestOpenPort:
		b.problem(subject, "port %d needs privilege on virtual address %s: declare it as an upstream, or call it by Host", sp.Port.Number, sp.VIP)
	default:
		at := address{host: sp.VIP.String(), port: sp.Port.Number}
		name := "vip|" + at.String()
		b.listen(at, name, sp.ConfigDigest+"/"+name, func() *Resource { return callListener(name, at, sp) })
	}
}

// callListener offers one service port to local applications.
func callListener(name string, at address, sp *snapshot.ServicePort) *Resource {
	stat := egressPrefix + statName(sp.SNI)
	filter := tcpProxy(stat, sp.SNI)
	if sp.Port.Protocol.IsHTTP() {
		m := httpManager(stat)
		m.RouteSpecifier = inlineRoutes(callConfig(sp.SNI))
		filter = managerFilter(m)
	}
	return outboundListener(name, at, filter)
}

func openListener(at address) *Resource {
	m := httpManager("open_http")
	m.RouteSpecifier = rds(openRoutes)
	return outboundListener(openRoutes, at, managerFilter(m))
}

func outboundListener(name string, at address, filter *listenerv3.Filter) *Resource {
	return resource(name, &listenerv3.Listener{
		Name:             name,
		Address:          at.proto(),
		TrafficDirection: corev3.TrafficDirection_OUTBOUND,
		FilterChains:     []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{filter}}},
	})
}

// tlsListener accepts TLS and picks a chain by SNI; a connection that matches none is closed. Envoy replaces only the chains that
// changed as long as everything else here stays as it is, so nothing else may depend on the chains.
func tlsListener(name string, at address, chains []*listenerv3.FilterChain) *listenerv3.Listener {
	return &listenerv3.Listener{
		Name:             name,
		Address:          at.proto(),
		TrafficDirection: corev3.TrafficDirection_INBOUND,
		DrainType:        listenerv3.Listener_DEFAULT,
		ListenerFilters: []*listenerv3.ListenerFilter{{
			Name:       "envoy.filters.listener.tls_inspector",
			ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: pack(&tlsinspectorv3.TlsInspector{})},
		}},
		ListenerFiltersTimeout: duration(clientHelloTimeout),
		FilterChains:           chains,
	}
}

func tlsChain(sni string) *listenerv3.FilterChain {
	return &listenerv3.FilterChain{
		Name:             sni,
		FilterChainMatch: &listenerv3.FilterChainMatch{TransportProtocol: "tls", ServerNames: []string{sni}},
	}
}

func tcpProxy(stat, cluster string) *listenerv3.Filter {
	return tcpProxyFilter(tcpProxyConfig(stat, cluster))
}

func tcpProxyConfig(stat, cluster string) *tcpproxyv3.TcpProxy {
	return &tcpproxyv3.TcpProxy{
		StatPrefix:         stat,
		ClusterSpecifier:   &tcpproxyv3.TcpProxy_Cluster{Cluster: cluster},
		MaxConnectAttempts: u32(5),
	}
}

func tcpProxyFilter(p *tcpproxyv3.TcpProxy) *listenerv3.Filter {
	return networkFilter("envoy.filters.network.tcp_proxy", p)
}
