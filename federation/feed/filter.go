package feed

import (
	"maps"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

// Filter decides which records of one origin an importer may see. It is immutable.
type Filter struct {
	Origin   model.Cluster
	Importer model.ClusterName
	Rules    []policy.ExportRule
	// Takes are the import rules.
	Takes []policy.ImportRule
	// Sees are the other clusters of which the rules let the importer see something: what Sees returns.
	Sees map[model.ClusterName]bool
	// Revision counts the changes of Rules, Takes and Sees, from 0 on.
	Revision int
	// Refused are the keys that do not count, with the reasons.
	Refused map[string]string
}

// Sees lists the clusters of which the rules let the importer see something. Verdicts on their gateways are its concern, whoever made
// them; verdicts on others would tell it who calls whom.
func Sees(rules []policy.ExportRule, takes []policy.ImportRule, members map[model.ClusterName]model.Cluster, importer model.ClusterName) map[model.ClusterName]bool {
	out := map[model.ClusterName]bool{}
	for name, c := range members {
		if policy.ExportsAnything(rules, c, importer) && policy.AdmitsAnything(takes, importer, name) {
			out[name] = true
		}
	}
	return out
}

// equal reports whether two Filters of one importer decide alike.
func (f Filter) equal(o Filter) bool {
	return f.Revision == o.Revision && f.Origin.Incarnation == o.Origin.Incarnation &&
		slices.Equal(f.Origin.ExportNamespaces, o.Origin.ExportNamespaces) && maps.Equal(f.Refused, o.Refused)
}

// service reports whether a key is that of a service which the importer may see.
func (f Filter) service(key string) bool {
	if _, refused := f.Refused[key]; refused {
		return false
	}
	namespace, name, ok := cutServiceKey(key)
	service := model.ServiceKey{Namespace: namespace, Name: name}
	return ok && policy.Exports(f.Rules, f.Origin, service, f.Importer) && policy.Admits(f.Takes, f.Importer, f.Origin.Name, service)
}

// verdicts reports whether a key is that of verdicts which the importer may see, even if it sees no service of the prober.
func (f Filter) verdicts(key string) bool {
	judged, ok := model.CutVerdictKey(key)
	_, refused := f.Refused[key]
	return ok && !refused && judged != f.Origin.Name && f.Sees[judged]
}

// keep reports whether a record goes to the importer; gateways says whether those do, which is when there is a service behind them. The
// status of a cluster goes to none.
func (f Filter) keep(key string, gateways bool) bool {
	if key == model.GatewaysKey {
		_, refused := f.Refused[key]
		return gateways && !refused
	}
	return f.service(key) || f.verdicts(key)
}

// cutServiceKey reverses model.RecordKey.
func cutServiceKey(key string) (namespace, name string, ok bool) {
	kind, rest, _ := strings.Cut(key, "/")
	namespace, name, ok = strings.Cut(rest, "/")
	return namespace, name, ok && key == model.RecordKey(model.ServiceKey{Namespace: namespace, Name: name}) && kind != ""
}
