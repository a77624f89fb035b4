package kube

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/source"
)

// statement is what is told of an exported service. Its export is nil for a service that cannot be exported, or is not.
type statement struct {
	export    *model.ServiceExport
	workloads []model.Workload
}

// state works out what is to be told of a service now.
func (x *index) state(k model.ServiceKey) statement {
	e, exported := x.exports.held[objectKey{k.Namespace, k.Name}]
	s, exists := x.services.held[objectKey{k.Namespace, k.Name}]
	if !exported || !exists || invalid(&s) != "" {
		return statement{}
	}
	all := x.slicesOf(k)
	out := exportOf(k, e, s, all)
	return statement{export: &out, workloads: workloadsOf(k, s, all, x.locate)}
}

// differ adds to an update what leads from one statement to another.
func differ(u *source.Update, k model.ServiceKey, was, is statement) {
	switch {
	case is.export != nil && !reflect.DeepEqual(was.export, is.export):
		u.Exports = append(u.Exports, *is.export)
	case is.export == nil && was.export != nil:
		u.Unexported = append(u.Unexported, k)
	}
	i, j := 0, 0
	for i < len(was.workloads) || j < len(is.workloads) {
		switch order := compareAt(was.workloads, i, is.workloads, j); {
		case order < 0:
			u.Removals = append(u.Removals, was.workloads[i].ID)
			i++
		case order > 0:
			u.Upserts = append(u.Upserts, is.workloads[j])
			j++
		default:
			if !sameWorkload(&was.workloads[i], &is.workloads[j]) {
				u.Upserts = append(u.Upserts, is.workloads[j])
			}
			i++
			j++
		}
	}
}

// compareAt orders two sorted lists' next IDs; a list that is at its end comes last.
func compareAt(a []model.Workload, i int, b []model.Workload, j int) int {
	if i == len(a) || j == len(b) {
		return cmp.Compare(len(b)-j, len(a)-i)
	}
	return strings.Compare(a[i].ID, b[j].ID)
}

// sameWorkload compares what workloadsOf sets.
func sameWorkload(a, b *model.Workload) bool {
	return a.ID == b.ID && a.Service == b.Service && a.Locality == b.Locality && a.Address == b.Address && a.Health == b.Health &&
		slices.Equal(a.Ports, b.Ports)
}
