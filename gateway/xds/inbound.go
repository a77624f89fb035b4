package xds

import (
	"slices"
	"strconv"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/snapshot"
)

// inbound adds what a workload serves. One that serves nothing accepts no connection.
func (b *builder) inbound(w *snapshot.Workload) {
	if !w.Serves() || len(w.Ports) == 0 {
		return
	}
	at := address{host: w.InboundBind, port: w.InboundPort}
	if at.host == "" {
		at.host = w.Address
	}
	if !at.isIP() || at.port == 0 {
		b.problem("inbound", "%s is not an address to listen on: register an IP address and an inbound port", at)
		return
	}
	var chains []*listenerv3.FilterChain
	seen := map[uint16]bool{}
	for _, p := range w.Ports {
		if seen[p.Number] {
			b.problem("inbound", "port %d stands twice", p.Number)
			continue
		}
		seen[p.Number] = true
		if chain, ok := b.inboundPort(w, p); ok {
			chains = append(chains, chain)
		}
	}
	if len(chains) == 0 {
		return
	}
	chains = append(chains, b.checked(w)...)
	b.listen(at, "inbound", w.Digest+"/inbound|"+b.s.Trust.Digest, func() *Resource {
		return resource("inbound", tlsListener("inbound", at, chains))
	})
}

// checked answers checks of the workload's Envoy itself, which are made where it serves sessions.
func (b *builder) checked(w *snapshot.Workload) []*listenerv3.FilterChain {
	if !slices.ContainsFunc(w.Ports, func(p model.WorkloadPort) bool { return !p.Protocol.IsHTTP() }) {
		return nil
	}
	trust, ok := b.trustAll()
	if !ok {
		return nil
	}
	return []*listenerv3.FilterChain{probeChain(model.EnvoySNI(b.s.Cluster, b.s.Federation), trust)}
}

// inboundPort adds the cluster and the routes of one port and returns its filter chain.
//
// An HTTP port completes the handshake with every trusted domain and answers who may not call with 403. A TCP port refuses them in the
// handshake: its application may speak first, and would tell a stranger before any filter sees a byte of his.
func (b *builder) inboundPort(w *snapshot.Workload, p model.WorkloadPort) (*listenerv3.FilterChain, bool) {
	sni := model.PassthroughSNI(w.Service, p.Number)
	target, err := parseTarget(p.Target)
	if err != nil {
		b.problem("port "+p.Name, "target %v", err)
		return nil, false
	}
	http := p.Protocol.IsHTTP()
	trust, ok := "", false
	if http {
		trust, ok = b.trustAll()
	} else {
		trust, ok = b.trustOf(w.Callers)
	}
	if !ok {
		b.problem("port "+p.Name, "no trust bundle is known of those who may call %s", sni)
		return nil, false
	}
	name := appName(p.Number)
	b.add(ClusterType, b.part(w.Digest+"/"+name, func() *Resource { return appCluster(name, target, p.Protocol) }))
	chain := tlsChain(sni)
	stat := inboundPrefix + statName(sni)
	if http {
		routes := inboundRoutes(p.Number)
		b.add(RouteType, b.part(w.Digest+"/"+routes, func() *Resource { return inboundConfig(routes, name, w.Callers) }))
		chain.TransportSocket = serverTLS(trust, "h2", "http/1.1")
		chain.Filters = []*listenerv3.Filter{managerFilter(inboundManager(stat, routes))}
	} else {
		chain.TransportSocket = serverTLS(trust)
		chain.Filters = []*listenerv3.Filter{tcpProxy(stat, name)}
	}
	return chain, true
}

func appName(port uint16) string       { return "in|" + strconv.Itoa(int(port)) }
func inboundRoutes(port uint16) string { return "inbound|" + strconv.Itoa(int(port)) }
