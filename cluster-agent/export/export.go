// Package export owns what leaves a site: it turns the site's workloads into the records that its cluster publishes, and decides
// when a changed record is worth publishing.
//
// It is pure. Endpoint addresses never leave; importers learn how much ready capacity stands in which locality, and through which
// gateways it is reached. The checks made here only spare a round trip and give an early reason: nodes and importers check again.
package export

import (
	"fmt"
	"slices"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

// MaxReasons bounds the reasons that Records returns; the last one then says how many are missing.
const MaxReasons = 100

// Input is everything that the records of a site depend on.
type Input struct {
	Terms
	// Workloads are all registered workloads, in any order. IDs are unique.
	Workloads []model.Workload
	// Exports are what a Kubernetes cluster exports, each service once.
	Exports []model.ServiceExport
}

// Terms are what the records of a site depend on beside its workloads and exports.
type Terms struct {
	// Cluster is the site's own membership: its name, trust domain and the namespaces that it may export.
	Cluster model.Cluster
	// Rules are all export rules of the federation.
	Rules []policy.ExportRule
	// ByExport says that a service is published because of its ServiceExport and for no other reason. At other sites each workload says
	// whether it is exported.
	ByExport bool
	// Gateways, when not nil, are published in place of what the gateways advertise.
	Gateways []model.Gateway
}

// Output is what a site publishes.
type Output struct {
	// Records are sorted by key, without versions. The gateways record is left out when there is no gateway. There is no status record; a
	// caller may append one, because model.StatusKey sorts last.
	Records []model.Record
	// Reasons say, sorted, why something was left out or overruled.
	Reasons []string
	// Refusals say why exports are not published.
	Refusals map[model.ServiceKey]string
}

// Records is what a Ledger says that was told the input: the records and the reasons.
func Records(in Input) (records []model.Record, reasons []string) {
	var l Ledger
	for _, w := range in.Workloads {
		l.Set(w)
	}
	for _, e := range in.Exports {
		l.SetExport(e)
	}
	out := l.Records(in.Terms)
	return out.Records, out.Reasons
}

// unfit says why a workload can be part of no record; one that is unfit must not spoil its service's record for the others.
func unfit(w model.Workload) string {
	if err := w.Service.Validate(); err != nil {
		return err.Error()
	}
	if w.Namespace != w.Service.Namespace {
		return fmt.Sprintf("its namespace %q is not that of its service %s, and nobody would accept its identity there", w.Namespace, w.Service)
	}
	if !w.Plain {
		if err := model.ValidateLabel("service account", w.ServiceAccount); err != nil {
			return err.Error()
		}
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
func closed(t Terms, service model.ServiceKey) string {
	switch {
	case !policy.NamespaceAllowed(t.Cluster, service.Namespace):
		return fmt.Sprintf("the join token of cluster %s does not let it export namespace %s", t.Cluster.Name, service.Namespace)
	case !policy.Exported(t.Rules, t.Cluster, service):
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
