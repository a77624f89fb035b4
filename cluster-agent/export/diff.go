package export

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
)

// Diff says what leads from prev to next, both sorted by key with each key once. Versions are not compared.
func Diff(prev, next []model.Record) (upserts []model.Record, removals []string) {
	pair(keysOf(prev), keysOf(next), func(i, j int) {
		switch {
		case j < 0:
			removals = append(removals, prev[i].Key())
		case i < 0 || !Equal(prev[i], next[j]):
			upserts = append(upserts, next[j])
		}
	})
	return upserts, removals
}

// Equal reports whether two records say the same, whatever their versions.
func Equal(a, b model.Record) bool {
	switch {
	case a.Cluster != b.Cluster || a.Key() != b.Key():
		return false
	case a.Service != nil && b.Service != nil:
		return a.Service == b.Service || sameShape(a.Service, b.Service) && sameEndpoints(a.Service.Export, b.Service.Export) &&
			slices.Equal(a.Service.Capacity, b.Service.Capacity) && slices.Equal(a.Service.Terminated, b.Service.Terminated)
	case a.Verdicts != nil && b.Verdicts != nil:
		return slices.Equal(a.Verdicts.Verdicts, b.Verdicts.Verdicts)
	default:
		return slices.Equal(a.Gateways, b.Gateways) && reflect.DeepEqual(a.Status, b.Status)
	}
}

// sameShape reports whether two records of one service differ in nothing but capacity and a headless service's endpoints.
func sameShape(a, b *model.ServiceRecord) bool {
	return a.Service == b.Service && slices.Equal(a.Ports, b.Ports) && slices.Equal(a.Identities, b.Identities) && sameExport(a.Export, b.Export)
}

// sameExport leaves out the ports, which are the record's, and the endpoints.
func sameExport(a, b *model.ServiceExport) bool {
	if a == nil || b == nil || a == b {
		return a == b
	}
	return a.CreatedAt.Equal(b.CreatedAt) && a.Headless == b.Headless && slices.Equal(a.IPFamilies, b.IPFamilies) &&
		a.SessionAffinity == b.SessionAffinity && a.AffinityTimeout == b.AffinityTimeout &&
		a.InternalTrafficPolicy == b.InternalTrafficPolicy && a.TrafficDistribution == b.TrafficDistribution &&
		maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations)
}

func sameEndpoints(a, b *model.ServiceExport) bool {
	return a == b || a != nil && b != nil && slices.Equal(a.Endpoints, b.Endpoints)
}

func keysOf(records []model.Record) []string {
	keys := make([]string, len(records))
	for i, r := range records {
		keys[i] = r.Key()
	}
	return keys
}

// pair walks two sorted lists of keys and visits each key once with its index in both; -1 where it is missing.
func pair(a, b []string, visit func(i, j int)) {
	for i, j := 0, 0; i < len(a) || j < len(b); {
		order := 0
		switch {
		case i == len(a):
			order = 1
		case j == len(b):
			order = -1
		default:
			order = strings.Compare(a[i], b[j])
		}
		switch {
		case order < 0:
			visit(i, -1)
			i++
		case order > 0:
			visit(-1, j)
			j++
		default:
			visit(i, j)
			i, j = i+1, j+1
		}
	}
}
