// Package authz owns the question who may claim and who may call: which records of a cluster count, and which trust domains may
// call a service.
//
// It is pure. Federation nodes ask it before they spread a record, importing agents ask it again, and sites ask it for the callers
// that their workloads admit; all three answers come from the same rules.
package authz

import (
	"slices"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

// Callers returns the trust domains whose workloads may call a service of origin, sorted, each once. The origin's own domain is
// always among them. An origin that is no member has no callers, because its own domain is not known.
//
// Clusters that share a trust domain can vouch for each other: opening a service to one of them opens it to all.
func Callers(rules []policy.ExportRule, members map[model.ClusterName]model.Cluster, origin model.ClusterName, service model.ServiceKey) []string {
	own, ok := members[origin]
	if !ok {
		return nil
	}
	domains := make([]string, 0, len(members))
	for name, m := range members {
		if m.TrustDomain != "" && policy.Exports(rules, own, service, name) {
			domains = append(domains, m.TrustDomain)
		}
	}
	slices.Sort(domains)
	return slices.Compact(domains)
}
