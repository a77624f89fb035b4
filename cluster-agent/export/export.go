// Package export owns what leaves a site: it turns the site's workloads into the records that its cluster publishes, and decides
// when a changed record is worth publishing.
//
// It is pure. Endpoint addresses never leave; importers learn how much ready capacity stands in which locality, and through which
// gateways it is reached. The checks made here only spare a round trip and give an early reason: nodes and importers check again.
package export

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

// MaxReasons bounds the reasons that Records returns; the last one then says how many are missing.
const MaxReasons = 100

// Input is everything that the records of a site depend on.
type Input struct {
	// Cluster is the site's own membership: its name, trust domain and the namespaces that it may export.
	Cluster model.Cluster
	// Rules are all export rules of the federation.
	Rules []policy.ExportRule
	// Workloads are all registered workloads, in any order. IDs are unique.
	Workloads []model.Workload
}

// Records returns what the site publishes of its services and gateways, sorted by key and without versions, and the sorted reasons
// why something was left out or overruled. It makes no status record; a caller may append one, because model.StatusKey sorts last.
//
// The gateways record is left out when the site has no gateway.
func Records(in Input) (records []model.Record, reasons []string) {
	workloads := sortedByID(in.Workloads)
	gateways, reasons := gatewaySet(workloads)
	if len(gateways) > 0 {
		records = append(records, model.Record{Cluster: in.Cluster.Name, Gateways: gateways})
	}
	selected, why := Select(in, workloads)
	reasons = append(reasons, why...)
	for _, group := range selected {
		service, why := Summarise(in.Cluster.TrustDomain, group)
		reasons = append(reasons, why...)
		records = append(records, model.Record{Cluster: in.Cluster.Name, Service: &service})
	}
	slices.SortFunc(records, func(a, b model.Record) int { return strings.Compare(a.Key(), b.Key()) })
	return records, boundReasons(reasons)
}

// sortedByID moves each workload once: they are large, and to sort them in place would move each many times.
func sortedByID(workloads []model.Workload) []model.Workload {
	order := make([]*model.Workload, len(workloads))
	for i := range workloads {
		order[i] = &workloads[i]
	}
	slices.SortFunc(order, func(a, b *model.Workload) int { return strings.Compare(a.ID, b.ID) })
	out := make([]model.Workload, len(order))
	for i, w := range order {
		out[i] = *w
	}
	return out
}

// Select groups the exported workloads by service, in the order of the services, and says why others that ask for export stay home.
// Within a group the order of workloads is kept.
func Select(in Input, workloads []model.Workload) (groups [][]model.Workload, reasons []string) {
	byService := map[model.ServiceKey][]model.Workload{}
	for _, w := range workloads {
		if !w.Export || !w.Serves() {
			continue
		}
		if why := unfit(w); why != "" {
			reasons = append(reasons, fmt.Sprintf("workload %s is not exported: %s", w.ID, why))
			continue
		}
		byService[w.Service] = append(byService[w.Service], w)
	}
	for service, group := range byService {
		if why := closed(in, service); why != "" {
			reasons = append(reasons, fmt.Sprintf("service %s is not exported: %s", service, why))
			continue
		}
		groups = append(groups, group)
	}
	slices.SortFunc(groups, func(a, b []model.Workload) int { return a[0].Service.Compare(b[0].Service) })
	return groups, reasons
}

// unfit says why a workload can be part of no record; one that is unfit must not spoil its service's record for the others.
func unfit(w model.Workload) string {
	if err := w.Service.Validate(); err != nil {
		return err.Error()
	}
	if w.Namespace != w.Service.Namespace {
		return fmt.Sprintf("its namespace %q is not that of its service %s, and nobody would accept its identity there", w.Namespace, w.Service)
	}
	if err := model.ValidateLabel("service account", w.ServiceAccount); err != nil {
		return err.Error()
	}
	if _, err := model.ParseLocality(w.Locality.String()); err != nil {
		return err.Error()
	}
	if len(w.Ports) == 0 {
		return "it declares no port"
	}
	for _, p := range w.Ports {
		if err := p.Validate(); err != nil {
			return err.Error()
		}
	}
	return ""
}

// closed says why nobody outside may learn of the service.
func closed(in Input, service model.ServiceKey) string {
	switch {
	case !policy.NamespaceAllowed(in.Cluster, service.Namespace):
		return fmt.Sprintf("the join token of cluster %s does not let it export namespace %s", in.Cluster.Name, service.Namespace)
	case !policy.Exported(in.Rules, in.Cluster, service):
		return "no export rule opens it: add an ExportRule that names the cluster, the namespace and who may call"
	}
	return ""
}

func boundReasons(reasons []string) []string {
	slices.Sort(reasons)
	reasons = slices.Compact(reasons)
	if len(reasons) <= MaxReasons {
		return reasons
	}
	missing := len(reasons) - (MaxReasons - 1)
	return append(reasons[:MaxReasons-1:MaxReasons-1], fmt.Sprintf("… and %d more", missing))
}
