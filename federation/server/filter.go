package server

import (
	"maps"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

// filter decides which records of one origin an importer may see. It is immutable.
type filter struct {
	origin   model.Cluster
	importer model.ClusterName
	rules    []policy.ExportRule
	// revision counts the changes of rules.
	revision int
	// refused are the keys that do not count.
	refused map[string]string
}

// equal reports whether two filters of one importer decide alike.
func (f filter) equal(o filter) bool {
	return f.revision == o.revision && f.origin.Incarnation == o.origin.Incarnation &&
		slices.Equal(f.origin.ExportNamespaces, o.origin.ExportNamespaces) && maps.Equal(f.refused, o.refused)
}

// service reports whether a key is that of a service which the importer may see.
func (f filter) service(key string) bool {
	if _, refused := f.refused[key]; refused {
		return false
	}
	namespace, name, ok := cutServiceKey(key)
	return ok && policy.Exports(f.rules, f.origin, model.ServiceKey{Namespace: namespace, Name: name}, f.importer)
}

// keep reports whether a record goes to an importer that sees some service of the origin. The status of a cluster goes to none.
func (f filter) keep(key string) bool {
	if key == model.GatewaysKey {
		_, refused := f.refused[key]
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
