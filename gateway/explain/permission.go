package explain

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/trust/authz"
)

// Permission is whether callers of this cluster may call the service in one cluster, and by what.
type Permission struct {
	Cluster model.ClusterName `json:"cluster"`
	// Offered is whether the cluster offers the service to this one; Allowed whether it may.
	Offered bool `json:"offered"`
	Allowed bool `json:"allowed"`
	// Rules are the ExportRules that open it; none are needed within a cluster.
	Rules []string `json:"rules,omitempty"`
	// ImportRules are those that admit it here; without a rule for this cluster none are needed.
	ImportRules []string `json:"importRules,omitempty"`
	// Callers are the trust domains that the servers let in, Identities the SPIFFE IDs that they may present.
	Callers    []string `json:"callers,omitempty"`
	Identities []string `json:"identities,omitempty"`
	// Reason says what is missing, and what to do; empty when nothing is.
	Reason string `json:"reason,omitempty"`
}

// maxClosed bounds the clusters that are listed although they offer nothing.
const maxClosed = 20

// permissions are those of the clusters that offer the service, and of those from which it might be expected: while nobody offers it, of
// all members; else of those that a rule opens to others only.
func (x *explainer) permissions() []Permission {
	out := []Permission{}
	if own := x.ownPermission(); own.Offered {
		out = append(out, own)
	}
	var closed []Permission
	for _, name := range slices.Sorted(maps.Keys(x.in.Facts.Members)) {
		if name == x.in.Facts.Cluster {
			continue
		}
		p := x.permission(x.in.Facts.Members[name])
		if p.Offered {
			out = append(out, p)
		} else {
			closed = append(closed, p)
		}
	}
	if len(out) > 0 {
		closed = slices.DeleteFunc(closed, func(p Permission) bool { return p.Allowed || len(p.Rules) == 0 })
	}
	return append(out, closed[:min(len(closed), maxClosed)]...)
}

func (x *explainer) ownPermission() Permission {
	f := x.in.Facts
	p := Permission{Cluster: f.Cluster, Allowed: true, Callers: []string{f.TrustDomain}}
	for _, w := range f.Workloads {
		if w.Service != x.q.Service || w.Plain && !w.Export {
			continue
		}
		p.Offered = true
		if !w.Plain {
			p.Identities = append(p.Identities, w.SPIFFEID(f.TrustDomain))
		}
		if w.Export {
			p.Callers = append(p.Callers, authz.Callers(f.Exports, f.Members, f.Cluster, x.q.Service)...)
		}
	}
	slices.Sort(p.Callers)
	slices.Sort(p.Identities)
	p.Callers, p.Identities = slices.Compact(p.Callers), slices.Compact(p.Identities)
	return p
}

func (x *explainer) permission(origin model.Cluster) Permission {
	f := x.in.Facts
	p := Permission{Cluster: origin.Name, Allowed: policy.Exports(f.Exports, origin, x.q.Service, f.Cluster)}
	taken, limited := x.importRules(origin.Name)
	p.ImportRules = taken
	for _, imp := range f.Imports {
		if imp.Cluster == origin.Name && imp.Record.Service == x.q.Service {
			p.Offered = true
			p.Identities = append(p.Identities, imp.Record.Identities...)
			if len(imp.Record.Terminated) > 0 {
				p.Identities = append(p.Identities, model.WorkloadID(origin.TrustDomain, model.SystemNamespace, model.GatewayServiceAccount))
			}
		}
	}
	if !p.Allowed {
		p.Rules, p.Reason = x.closed(origin)
		return p
	}
	for _, r := range f.Exports {
		if policy.Exports([]policy.ExportRule{r}, origin, x.q.Service, f.Cluster) {
			p.Rules = append(p.Rules, r.Name)
		}
	}
	p.Callers = authz.Callers(f.Exports, f.Members, origin.Name, x.q.Service)
	if len(limited) > 0 && len(taken) == 0 {
		p.Allowed, p.Reason = false, fmt.Sprintf("ImportRule %s limits what cluster %s takes, and none admits service %s of cluster %s: add it to one of them",
			strings.Join(limited, ", "), f.Cluster, x.q.Service, origin.Name)
		return p
	}
	if !p.Offered {
		p.Reason = fmt.Sprintf("ExportRule %s opens it, but cluster %s does not offer it: a workload there must register it with --export, or a ServiceExport name it",
			strings.Join(p.Rules, ", "), origin.Name)
	}
	return p
}

// importRules names the rules about what this cluster takes, and those of them that admit the service of a cluster.
func (x *explainer) importRules(origin model.ClusterName) (taken, limited []string) {
	for _, r := range x.in.Facts.Takes {
		if !r.Spec.Limits(x.in.Facts.Cluster) {
			continue
		}
		limited = append(limited, r.Name)
		if r.Spec.Covers(origin, x.q.Service) {
			taken = append(taken, r.Name)
		}
	}
	return taken, limited
}

// closed says why a cluster may not offer the service here, and which rules open it to others.
func (x *explainer) closed(origin model.Cluster) (rules []string, reason string) {
	f, s := x.in.Facts, x.q.Service
	if !policy.NamespaceAllowed(origin, s.Namespace) {
		return nil, fmt.Sprintf("the join token of cluster %s does not let it export namespace %s: join it with a token that does", origin.Name, s.Namespace)
	}
	for _, r := range f.Exports {
		if r.Spec.Opens(origin.Name, s) {
			rules = append(rules, r.Name)
		}
	}
	if len(rules) > 0 {
		return rules, fmt.Sprintf("ExportRule %s opens service %s of cluster %s, but not to cluster %s: add it to the rule's 'to'",
			strings.Join(rules, ", "), s, origin.Name, f.Cluster)
	}
	return nil, fmt.Sprintf("no ExportRule opens service %s of cluster %s to cluster %s: add one (hanse apply --help)", s, origin.Name, f.Cluster)
}
