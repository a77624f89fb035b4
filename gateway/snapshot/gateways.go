package snapshot

import (
	"cmp"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/gateway/route"
)

// exported lists what the site's gateways pass on of a service, and what they answer for: ports with an exported workload, if a rule opens
// the service to somebody. Nothing else can be reached from outside, whatever SNI is asked for. The ports are as this cluster declares
// them: which other exports its callers know of, and whose declaration they go by, is theirs to know.
func (b *builder) exported(s *service) (passed []*Passthrough, terminated []*Terminated) {
	self, member := b.in.Members[b.in.Cluster]
	if !member || len(s.offers) == 0 || !policy.Exported(b.in.Exports, self, s.key) {
		return nil, nil
	}
	for _, o := range s.offers {
		if endpoints := exportedEndpoints(o.own, false); len(endpoints) > 0 {
			p := &Passthrough{SNI: model.PassthroughSNI(s.key, o.port.Number), Protocol: o.port.Protocol, Endpoints: endpoints}
			p.Digest = b.digest.passthrough(p)
			passed = append(passed, p)
		}
		if o.plain {
			t := &Terminated{SNI: model.TerminatedSNI(s.key, o.port), Protocol: o.port.Protocol, Callers: b.callersOf(s.key)}
			t.Endpoints = exportedEndpoints(o.own, true)
			t.Digest = b.digest.terminated(t)
			terminated = append(terminated, t)
		}
	}
	return passed, terminated
}

// exportedEndpoints are where the exported workloads are reached that have an Envoy, or those that have none, sorted, each once.
func exportedEndpoints(list []server, plain bool) []route.Endpoint {
	var out []route.Endpoint
	for _, w := range list {
		if w.Export && w.Plain == plain {
			out = append(out, route.Endpoint{Address: w.at.Address, Port: w.at.Port, Weight: 1, Healthy: w.at.Available, Via: viaOf(plain)})
		}
	}
	slices.SortFunc(out, func(x, y route.Endpoint) int {
		return cmp.Or(strings.Compare(x.Address, y.Address), cmp.Compare(x.Port, y.Port), unhealthyLast(x, y))
	})
	return slices.CompactFunc(out, func(x, y route.Endpoint) bool { return x.Address == y.Address && x.Port == y.Port })
}

func viaOf(plain bool) route.Via {
	if plain {
		return route.ViaPlain
	}
	return route.ViaEnvoy
}

func unhealthyLast(x, y route.Endpoint) int {
	switch {
	case x.Healthy == y.Healthy:
		return 0
	case x.Healthy:
		return -1
	default:
		return 1
	}
}
