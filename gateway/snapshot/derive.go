package snapshot

import (
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
)

// Derivation is what Build derives one service port from, for the callers of one locality.
type Derivation struct {
	Port model.Port
	// Own are this cluster's workloads that serve the port, by ID.
	Own []model.Workload
	// Request is what the port's assignment follows from: route.Assign of it is what a snapshot holds.
	Request route.Request
}

// Derive returns what Build derives the ports of a service from, for callers of one locality, in the order in which the ports were claimed,
// and what of the service cannot be offered. There are no ports when nothing that counts offers the service.
func Derive(in Inputs, service model.ServiceKey, from model.Locality) (ports []Derivation, problems []string) {
	b := newBuilder(in, Memory{})
	r := b.gather()[service]
	if r == nil {
		return nil, nil
	}
	s := b.settle(service, r)
	b.after.routes.localities = []model.Locality{from}
	request := b.requests(service)[0]
	for _, c := range s.claims {
		d := Derivation{Port: c.port, Request: request}
		d.Request.Local, d.Request.Remote = localEndpoints(c.own), c.remote
		for _, w := range c.own {
			d.Own = append(d.Own, *w.Workload)
		}
		ports = append(ports, d)
	}
	return ports, s.problems
}
