// Package dns owns the answers for clusterset.local: which names there are, what they lead to, and what is said of all others.
//
// It is pure: a Zone is made of a cluster's ServiceImports and of their EndpointSlices, and Respond turns the bytes of a query into those of
// the reply. It follows the DNS specification of KEP-1645, version 1.0.0 of the schema, without PTR records: each ClusterSetIP is also the
// address of a Service of the cluster, whose own DNS has the record.
package dns

import (
	"maps"

	"github.com/hanse-mesh/hanse/api/model"
)

// Zone is all that is known of clusterset.local at one moment. It is immutable and safe for concurrent use. A nil Zone stands for "not known
// yet": every name in it is answered with SERVFAIL, which callers try again, unlike NXDOMAIN.
type Zone struct {
	namespaces map[string]map[string]*Service
	services   int
	// serial counts the changes; only the SOA record shows it.
	serial uint32
}

// With returns the zone with the given services replaced; nil removes one. z is not changed, and may be nil.
func (z *Zone) With(changes map[model.ServiceKey]*Service) *Zone {
	out := &Zone{serial: 1}
	if z != nil {
		out.namespaces, out.services, out.serial = maps.Clone(z.namespaces), z.services, z.serial+1
	}
	if out.namespaces == nil {
		out.namespaces = map[string]map[string]*Service{}
	}
	// A namespace that is not touched is shared with z.
	own := map[string]bool{}
	for key, service := range changes {
		if !own[key.Namespace] {
			own[key.Namespace] = true
			out.namespaces[key.Namespace] = cloned(out.namespaces[key.Namespace])
		}
		out.set(key, service)
	}
	for namespace := range own {
		if len(out.namespaces[namespace]) == 0 {
			delete(out.namespaces, namespace)
		}
	}
	return out
}

func cloned(services map[string]*Service) map[string]*Service {
	if services == nil {
		return map[string]*Service{}
	}
	return maps.Clone(services)
}

// set replaces one service of a namespace that is the zone's own.
func (z *Zone) set(key model.ServiceKey, service *Service) {
	services := z.namespaces[key.Namespace]
	if _, had := services[key.Name]; had {
		delete(services, key.Name)
		z.services--
	}
	if service != nil {
		services[key.Name] = service
		z.services++
	}
}

// Services is how many services the zone has; a nil Zone has none.
func (z *Zone) Services() int {
	if z == nil {
		return 0
	}
	return z.services
}
