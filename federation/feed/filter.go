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
	// Revision counts the changes of Rules, from 0 on.
	Revision int
	// Refused are the keys that do not count, with the reasons.
	Refused map[string]string
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
	return ok && policy.Exports(f.Rules, f.Origin, model.ServiceKey{Namespace: namespace, Name: name}, f.Importer)
}

// keep reports whether a record goes to an importer that sees some service of the origin. The status of a cluster goes to none.
func (f Filter) keep(key string) bool {
	if key == model.GatewaysKey {
		_, refused := f.Refused[key]
		return !refused
	}
	return f.service(key)
}

// cutServiceKey reverses model.RecordKey.
func cutServiceKey(key string) (namespace, name string, ok bool) {
	kind, rest, _ := strings.Cut(key, "/")
	namespace, name, ok = strings.Cut(rest, "/")
	return namespace, name, ok && key == model.RecordKey(model.ServiceKey{Namespace: namespace, Name: name}) && kind != ""
}
