package mcs

import (
	"cmp"
	"slices"

	"github.com/hanse-mesh/hanse/api/model"
)

// Merged is one service as all its exports together make it. Who knows the same exports merges them alike.
type Merged struct {
	// Clusters are those that export it, the one that decides first: the oldest export's; of two of one second that of the lesser name.
	Clusters []model.ClusterName
	// Winner is the export that decides what does not merge: the type, session affinity, policies, labels and annotations.
	Winner model.ServiceExport
	// Ports are the union, sorted by number and transport: no name and no number of a transport stands twice.
	Ports []MergedPort
	// IPFamilies are those of all exports, the winner's first.
	IPFamilies []model.IPFamily
	// Conflicts are the reasons of the Conflict condition; none when all exports agree. Message says who decides and what differs.
	Conflicts []string
	Message   string
}

// MergedPort is one port of a merged service.
type MergedPort struct {
	model.Port
	// Clusters are those whose service has the port, sorted; no other ever serves it.
	Clusters []model.ClusterName
}

// Served reports whether the cluster's service has the port.
func (p MergedPort) Served(by model.ClusterName) bool {
	_, found := slices.BinarySearch(p.Clusters, by)
	return found
}

// is reports whether both are one port: one name, and one number of one transport.
func (p MergedPort) is(o model.Port) bool { return p.Name == o.Name && p.SameSocket(o) }

// Merge merges all exports of one service, of which there is at least one; their order does not matter. A cluster counts once.
func Merge(all []Remote) Merged {
	exports := byAge(all)
	m := Merged{Winner: exports[0].Export}
	for _, e := range exports {
		m.Clusters = append(m.Clusters, e.Cluster)
		for _, f := range e.Export.IPFamilies {
			if !slices.Contains(m.IPFamilies, f) {
				m.IPFamilies = append(m.IPFamilies, f)
			}
		}
	}
	m.Ports = mergePorts(exports)
	m.Conflicts, m.Message = conflicts(exports, m.Ports)
	return m
}

// byAge sorts exports, the one that decides first, and keeps one of each cluster.
func byAge(all []Remote) []Remote {
	out := slices.Clone(all)
	slices.SortStableFunc(out, func(a, b Remote) int {
		return cmp.Or(cmp.Compare(a.Export.CreatedAt.Unix(), b.Export.CreatedAt.Unix()), cmp.Compare(a.Cluster, b.Cluster))
	})
	seen := make(map[model.ClusterName]bool, len(out))
	return slices.DeleteFunc(out, func(r Remote) bool {
		twice := seen[r.Cluster]
		seen[r.Cluster] = true
		return twice
	})
}

// mergePorts makes the union. An older export's port stands: a younger one's of the same name, else of the same number, is dropped, and its
// cluster does not serve it, as gateways hold it, too.
func mergePorts(exports []Remote) []MergedPort {
	var out []MergedPort
	for _, e := range exports {
		for _, p := range e.Export.Ports {
			if !slices.ContainsFunc(out, func(o MergedPort) bool { return o.Name == p.Name || o.SameSocket(p) }) {
				out = append(out, MergedPort{Port: p})
			}
		}
	}
	for i := range out {
		for _, e := range exports {
			if slices.ContainsFunc(e.Export.Ports, out[i].is) {
				out[i].Clusters = append(out[i].Clusters, e.Cluster)
			}
		}
		slices.Sort(out[i].Clusters)
	}
	slices.SortFunc(out, func(a, b MergedPort) int { return a.Compare(b.Port) })
	return out
}
