package mcs

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/hanse-mesh/hanse/api/model"
)

// Make derives the plan. It takes two rounds to the end: a ServiceImport has the addresses that the API server gives its derived Service,
// and says until then that it waits for them. now is when conditions change that change; the facts are not changed.
func Make(f Facts, now time.Time) Plan {
	at := metav1.NewTime(now.UTC().Truncate(time.Second))
	services := merge(f)
	p := Plan{Conditions: make(map[model.ServiceKey][]metav1.Condition, len(f.Exports))}
	egress := map[corev1.IPFamily][]discoveryv1.Endpoint{corev1.IPv4Protocol: f.egress(corev1.IPv4Protocol), corev1.IPv6Protocol: f.egress(corev1.IPv6Protocol)}
	for i := range services {
		s := &services[i]
		if !f.Namespaces[s.key.Namespace] {
			continue
		}
		s.derived = s.derivedService()
		p.Imports = append(p.Imports, s.serviceImport(at))
		if s.derived != nil {
			p.Services = append(p.Services, s.derived)
		}
		p.Slices = append(p.Slices, s.slices(egress)...)
	}
	for _, e := range f.Exports {
		i, found := slices.BinarySearchFunc(services, e.Service, func(s service, k model.ServiceKey) int { return s.key.Compare(k) })
		var merged *Merged
		if found && e.counts() {
			merged = &services[i].Merged
		}
		p.Conditions[e.Service] = exportConditions(f.Cluster, e, merged, at)
	}
	slices.SortFunc(p.Imports, func(a, b *mcsv1beta1.ServiceImport) int { return byName(a, b) })
	slices.SortFunc(p.Services, func(a, b *corev1.Service) int { return byName(a, b) })
	slices.SortFunc(p.Slices, func(a, b *discoveryv1.EndpointSlice) int { return byName(a, b) })
	return p
}

// WantedPorts returns the ports that need an egress port for a plan to offer them, sorted.
func WantedPorts(f Facts) []PortKey {
	var out []PortKey
	for _, s := range merge(f) {
		if s.Winner.Headless || !f.Namespaces[s.key.Namespace] {
			continue
		}
		for _, p := range s.Ports {
			if p.Protocol.Carried() {
				out = append(out, portKey(s.key, p.Port))
			}
		}
	}
	slices.SortFunc(out, PortKey.Compare)
	return out
}

// service is one merged service as this cluster imports it.
type service struct {
	key model.ServiceKey
	Merged
	facts *Facts
	// exports are those that were merged.
	exports []Remote
	// derived is the derived Service; nil when there should be none.
	derived *corev1.Service
}

// merge merges what counts, this cluster's own exports among them, sorted by service.
func merge(f Facts) []service {
	all := make(map[model.ServiceKey][]Remote, len(f.Exports)+len(f.Remotes))
	for _, e := range f.Exports {
		if e.counts() {
			all[e.Service] = append(all[e.Service], Remote{Cluster: f.Cluster, Export: *e.Export})
		}
	}
	for _, r := range f.Remotes {
		// What this cluster exports it knows best itself.
		if r.Cluster != f.Cluster {
			all[r.Export.Service] = append(all[r.Export.Service], r)
		}
	}
	out := make([]service, 0, len(all))
	for key, exports := range all {
		out = append(out, service{key: key, Merged: Merge(exports), facts: &f, exports: exports})
	}
	slices.SortFunc(out, func(a, b service) int { return a.key.Compare(b.key) })
	return out
}

// counts reports whether the export is part of the merged service: what others do not see must not decide here either.
func (e LocalExport) counts() bool { return e.Invalid == "" && e.Export != nil && e.Refused == "" }

func byName(a, b metav1.Object) int {
	return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
}
