// Package policy owns the documents that operators write: one schema for the REST API, files and later CRDs.
//
// A document has a kind, a name and a spec. It is kept and sent in its canonical JSON form. Parsing refuses unknown fields and
// names the line and field that is wrong.
package policy

import (
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
)

// Kind names a type of document.
type Kind string

// The kinds of document.
const (
	KindFailoverPolicy   Kind = "FailoverPolicy"
	KindExportRule       Kind = "ExportRule"
	KindImportRule       Kind = "ImportRule"
	KindRoleBinding      Kind = "RoleBinding"
	KindIdentityProvider Kind = "IdentityProvider"
)

// Kinds lists the kinds of document.
func Kinds() []Kind {
	return []Kind{KindFailoverPolicy, KindExportRule, KindImportRule, KindRoleBinding, KindIdentityProvider}
}

// Names lists kinds for a person.
func Names(kinds []Kind) string {
	out := make([]string, len(kinds))
	for i, k := range kinds {
		out[i] = string(k)
	}
	return strings.Join(out, ", ")
}

// Any, in a list of names, means every name.
const Any = "*"

// FailoverPolicy says in which order regions take over for each other. Without one, a caller's own zone and region come first and
// then all other regions together, by their ready capacity.
type FailoverPolicy struct {
	Name   string             `json:"name"`
	Labels Labels             `json:"labels,omitempty"`
	Spec   FailoverPolicySpec `json:"spec"`
}

// FailoverPolicySpec selects services and orders regions. The most specific policy counts: by service, then by namespace, then for
// all; ties go to the smaller name.
type FailoverPolicySpec struct {
	// Namespace limits the policy to one namespace; empty or "*" is every namespace.
	Namespace string `json:"namespace,omitempty" maxLength:"63" pattern:"^([*]|[a-z0-9]([-a-z0-9]*[a-z0-9])?)?$" example:"shop" doc:"Limits the policy to one namespace; none or * is every namespace"`
	// Services limits the policy to these services of the namespace; empty is every service.
	Services []string `json:"services,omitempty" maxItems:"10000" maxLength:"63" pattern:"^([*]|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$" doc:"Limits the policy to these services of the namespace; none is every service"`
	// Failover is the order of regions for callers of each region.
	Failover []RegionOrder `json:"failover" minItems:"1" maxItems:"1000" doc:"The order of regions for callers of each region"`
}

// RegionOrder is one caller region's order.
type RegionOrder struct {
	// From is the callers' region; "*" is every region without an entry of its own.
	From string `json:"from" maxLength:"63" pattern:"^([*]|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$" example:"eu" doc:"The callers' region; * is every region without an entry of its own"`
	// To lists the regions to use after From itself, nearest first. Regions not listed come last, together.
	To []string `json:"to" required:"false" maxItems:"100" maxLength:"63" pattern:"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" doc:"The regions to use after from itself, nearest first; may be left out with only"`
	// Only, when true, leaves out the regions that To does not list.
	Only bool `json:"only,omitempty" doc:"Leave out the regions that to does not list"`
}

// ExportRule says which clusters may call services of other clusters. Without a rule nothing leaves a cluster. A cluster's join
// token bounds the namespaces that any rule can open.
type ExportRule struct {
	Name   string         `json:"name"`
	Labels Labels         `json:"labels,omitempty"`
	Spec   ExportRuleSpec `json:"spec"`
}

// ExportRuleSpec opens the services that match all of From, Namespaces and Services to the clusters in To.
type ExportRuleSpec struct {
	// From are the exporting clusters; "*" is every cluster.
	From []string `json:"from" minItems:"1" maxItems:"10000" maxLength:"63" pattern:"^([*]|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$" doc:"The exporting clusters; * is every cluster"`
	// Namespaces are the namespaces that the rule opens; "*" is every namespace that the cluster may export.
	Namespaces []string `json:"namespaces" minItems:"1" maxItems:"10000" maxLength:"63" pattern:"^([*]|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$" doc:"The namespaces that the rule opens; * is every namespace that the cluster may export"`
	// Services limits the rule to these services; empty is every exported service of the namespaces.
	Services []string `json:"services,omitempty" maxItems:"10000" maxLength:"63" pattern:"^([*]|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$" doc:"Limits the rule to these services; none is every exported service of the namespaces"`
	// To are the importing clusters; "*" is every member.
	To []string `json:"to" minItems:"1" maxItems:"10000" maxLength:"63" pattern:"^([*]|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$" doc:"The importing clusters; * is every member"`
}

// Exports reports whether rules and membership let importer call service of origin.
// Every cluster may call its own services.
func Exports(rules []ExportRule, origin model.Cluster, service model.ServiceKey, importer model.ClusterName) bool {
	if origin.Name == importer {
		return true
	}
	if !NamespaceAllowed(origin, service.Namespace) {
		return false
	}
	for _, r := range rules {
		if r.Spec.Opens(origin.Name, service) && matches(r.Spec.To, string(importer)) {
			return true
		}
	}
	return false
}

// Exported reports whether any rule lets any other cluster call service of origin.
func Exported(rules []ExportRule, origin model.Cluster, service model.ServiceKey) bool {
	if !NamespaceAllowed(origin, service.Namespace) {
		return false
	}
	for _, r := range rules {
		if r.Spec.Opens(origin.Name, service) && len(r.Spec.To) > 0 {
			return true
		}
	}
	return false
}

// ExportsAnything reports whether some rule opens a namespace of origin to importer, whether or not a service is there yet. A cluster
// exports nothing to itself.
func ExportsAnything(rules []ExportRule, origin model.Cluster, importer model.ClusterName) bool {
	if origin.Name == importer {
		return false
	}
	for _, r := range rules {
		if matches(r.Spec.From, string(origin.Name)) && matches(r.Spec.To, string(importer)) && overlap(r.Spec.Namespaces, origin.ExportNamespaces) {
			return true
		}
	}
	return false
}

// overlap reports whether two lists of names have one in common; Any is every name.
func overlap(a, b []string) bool {
	for _, name := range a {
		if len(b) > 0 && name == Any || matches(b, name) {
			return true
		}
	}
	return false
}

// NamespaceAllowed reports whether the cluster's join token lets it export the namespace.
func NamespaceAllowed(c model.Cluster, namespace string) bool {
	return matches(c.ExportNamespaces, namespace)
}

// Opens reports whether the rule covers service of origin, for whomever it names in To.
func (s ExportRuleSpec) Opens(origin model.ClusterName, service model.ServiceKey) bool {
	return matches(s.From, string(origin)) && matches(s.Namespaces, service.Namespace) &&
		(len(s.Services) == 0 || matches(s.Services, service.Name))
}

func matches(names []string, name string) bool {
	for _, n := range names {
		if n == Any || n == name {
			return true
		}
	}
	return false
}
