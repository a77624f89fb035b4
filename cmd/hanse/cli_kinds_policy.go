package main

import (
	"maps"
	"slices"
	"strings"

	restapi "github.com/hanse-mesh/hanse/api/client"
	"github.com/hanse-mesh/hanse/api/policy"
)

// policyKinds are the documents that operators write.
func policyKinds() []kind {
	list := []kind{
		{
			name: string(policy.KindFailoverPolicy), plural: "failoverpolicies", short: []string{"fp"},
			list: listing((*restapi.Client).ListFailoverPolicies), get: naming((*restapi.Client).GetFailoverPolicy), remove: naming((*restapi.Client).DeleteFailoverPolicy),
			view: failoverLayout().layout,
		},
		{
			name: string(policy.KindExportRule), plural: "exportrules", short: []string{"er"},
			list: listing((*restapi.Client).ListExportRules), get: naming((*restapi.Client).GetExportRule), remove: naming((*restapi.Client).DeleteExportRule),
			view: exportLayout().layout,
		},
		{
			name: string(policy.KindImportRule), plural: "importrules", short: []string{"ir"},
			list: listing((*restapi.Client).ListImportRules), get: naming((*restapi.Client).GetImportRule), remove: naming((*restapi.Client).DeleteImportRule),
			view: importLayout().layout,
		},
		{
			name: string(policy.KindRoleBinding), plural: "rolebindings", short: []string{"rb"},
			list: listing((*restapi.Client).ListRoleBindings), get: naming((*restapi.Client).GetRoleBinding), remove: naming((*restapi.Client).DeleteRoleBinding),
			view: bindingLayout().layout,
		},
		{
			name: string(policy.KindIdentityProvider), plural: "identityproviders", short: []string{"idp"},
			list: listing((*restapi.Client).ListIdentityProviders), get: naming((*restapi.Client).GetIdentityProvider), remove: naming((*restapi.Client).DeleteIdentityProvider),
			view: providerLayout().layout,
		},
	}
	for i := range list {
		list[i].document, list[i].logged, list[i].ending = true, true, "deleted"
	}
	return list
}

func failoverLayout() typedLayout[policy.FailoverPolicy] {
	return layoutOf([]string{"NAME", "SELECTS", "SAYS"}, []string{"LABELS"},
		func(p policy.FailoverPolicy) string { return p.Name },
		func(p policy.FailoverPolicy) [][]any {
			var rows [][]any
			for _, o := range p.Spec.Failover {
				rows = append(rows, []any{p.Name, selector(p.Spec.Namespace, p.Spec.Services), orderText(o), labelsText(p.Labels)})
			}
			return rows
		})
}

func orderText(o policy.RegionOrder) string {
	text := o.From + " → " + strings.Join(o.To, ", ")
	if o.Only {
		text += " only"
	}
	return text
}

func exportLayout() typedLayout[policy.ExportRule] {
	return layoutOf([]string{"NAME", "SELECTS", "SAYS"}, []string{"LABELS"},
		func(r policy.ExportRule) string { return r.Name },
		oneRow(func(r policy.ExportRule) []any {
			return []any{r.Name, selector(strings.Join(r.Spec.Namespaces, ","), r.Spec.Services),
				strings.Join(r.Spec.From, ",") + " → " + strings.Join(r.Spec.To, ","), labelsText(r.Labels)}
		}))
}

func importLayout() typedLayout[policy.ImportRule] {
	return layoutOf([]string{"NAME", "SELECTS", "SAYS"}, []string{"LABELS"},
		func(r policy.ImportRule) string { return r.Name },
		oneRow(func(r policy.ImportRule) []any {
			return []any{r.Name, selector(strings.Join(r.Spec.Namespaces, ","), r.Spec.Services),
				strings.Join(r.Spec.To, ",") + " ← " + strings.Join(r.Spec.From, ","), labelsText(r.Labels)}
		}))
}

func bindingLayout() typedLayout[policy.RoleBinding] {
	return layoutOf([]string{"NAME", "ROLE", "NAMESPACES", "SUBJECTS"}, []string{"LABELS"},
		func(b policy.RoleBinding) string { return b.Name },
		oneRow(func(b policy.RoleBinding) []any {
			namespaces := strings.Join(b.Spec.Namespaces, ",")
			if namespaces == "" {
				namespaces = policy.Any
			}
			return []any{b.Name, b.Spec.Role, namespaces, subjectsText(b.Spec.Subjects), labelsText(b.Labels)}
		}))
}

func subjectsText(list []policy.Subject) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = s.Kind + ":" + s.Name
		if s.Provider != "" {
			out[i] += "@" + s.Provider
		}
	}
	return strings.Join(out, ", ")
}

func providerLayout() typedLayout[policy.IdentityProvider] {
	return layoutOf([]string{"NAME", "ISSUER", "AUDIENCES", "KEYS"}, []string{"LABELS"},
		func(p policy.IdentityProvider) string { return p.Name },
		oneRow(func(p policy.IdentityProvider) []any {
			keys := p.Spec.JWKSURL
			if keys == "" {
				keys = "in the document"
			}
			return []any{p.Name, p.Spec.Issuer, strings.Join(p.Spec.Audiences, ","), keys, labelsText(p.Labels)}
		}))
}

// documentKind is the kind that a document says it is of.
func documentKind(name string) (kind, bool) {
	for _, k := range policyKinds() {
		if k.name == name {
			return k, true
		}
	}
	return kind{}, false
}

// selector is what a rule is about, as NAMESPACE/SERVICES.
func selector(namespace string, services []string) string {
	if namespace == "" {
		namespace = policy.Any
	}
	if len(services) == 0 {
		return namespace + "/" + policy.Any
	}
	return namespace + "/" + strings.Join(services, ",")
}

func labelsText(labels policy.Labels) string {
	out := make([]string, 0, len(labels))
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, name+"="+labels[name])
	}
	return strings.Join(out, ",")
}
