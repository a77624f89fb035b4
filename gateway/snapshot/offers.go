package snapshot

import (
	"net/netip"
	"strconv"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
)

// offers are the ports that this cluster serves itself: those that it exports, with or without a workload, and what its workloads declare.
func (b *builder) offers(s *service) []*claim {
	var out []*claim
	if e := s.raw.export; e != nil {
		for _, p := range e.Ports {
			if c := b.claimPort(s, &out, p, claimant{cluster: b.in.Cluster, export: true}); c != nil {
				c.plain = true
			}
		}
	}
	for _, w := range s.own {
		for _, p := range w.Ports {
			at, ok := b.serving(s, w, p)
			if !ok {
				continue
			}
			if c := b.claimPort(s, &out, p.Port, claimant{workload: w.ID, cluster: b.in.Cluster}); c != nil {
				c.own = append(c.own, server{w, at})
				c.plain = c.plain || w.Plain
			}
		}
	}
	return out
}

// serving is where a workload serves a port.
func (b *builder) serving(s *service, w *model.Workload, p model.WorkloadPort) (route.LocalEndpoint, bool) {
	e := route.LocalEndpoint{Address: w.Address, Port: w.InboundPort, Locality: w.Locality, Weight: 1, Available: w.Available(), Plain: w.Plain}
	switch {
	case w.Plain:
		at, err := netip.ParseAddrPort(p.Target)
		if err != nil || at.Port() == 0 {
			b.problem("port %s of service %s is left out for workload %s: target %q is not IP:port", portText(p.Port), s.key, w.ID, p.Target)
			return e, false
		}
		e.Address, e.Port = at.Addr().String(), at.Port()
	case isUDP(p.Port):
		b.problem("port %s of service %s is left out for workload %s: only workloads without an Envoy serve UDP", portText(p.Port), s.key, w.ID)
		return e, false
	}
	return e, true
}

func localEndpoints(list []server) []route.LocalEndpoint {
	out := make([]route.LocalEndpoint, 0, len(list))
	for _, w := range list {
		out = append(out, w.at)
	}
	route.SortLocal(out)
	return out
}

// portText names a port for people.
func portText(p model.Port) string {
	text := strconv.Itoa(int(p.Number))
	if isUDP(p) {
		text += "/udp"
	}
	if p.Name != "" {
		text = p.Name + " (" + text + ")"
	}
	return text
}
