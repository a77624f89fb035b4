package helm

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// grant is one rule that a subject has.
type grant struct {
	subject, where string
	rule           rbacv1.PolicyRule
}

// grants are all rules of a rendering by who has them; a role that is only aggregated is its own subject.
func grants(t *testing.T, objects []*unstructured.Unstructured) []grant {
	t.Helper()
	rules := map[string][]rbacv1.PolicyRule{}
	bound := map[string]bool{}
	var out []grant
	add := func(role rbacv1.RoleRef, namespace string, subjects []rbacv1.Subject) {
		where := namespace
		if where == "" {
			where = "everywhere"
		}
		key := role.Kind + " " + role.Name
		bound[key] = true
		if len(rules[key]) == 0 {
			t.Errorf("%s is bound, but has no rules", key)
		}
		for _, s := range subjects {
			for _, r := range rules[key] {
				out = append(out, grant{s.Kind + " " + s.Namespace + "/" + s.Name, where, r})
			}
		}
	}
	for _, o := range objects {
		switch v := typed(t, o).(type) {
		case *rbacv1.ClusterRole:
			rules["ClusterRole "+v.Name] = v.Rules
			for label := range v.Labels {
				if to, ok := strings.CutPrefix(label, "rbac.authorization.k8s.io/aggregate-to-"); ok {
					bound["ClusterRole "+v.Name] = true
					for _, r := range v.Rules {
						out = append(out, grant{"everybody with " + to, "as bound", r})
					}
				}
			}
		case *rbacv1.Role:
			rules["Role "+v.Name] = v.Rules
		}
	}
	for _, o := range objects {
		switch v := typed(t, o).(type) {
		case *rbacv1.ClusterRoleBinding:
			add(v.RoleRef, "", v.Subjects)
		case *rbacv1.RoleBinding:
			add(v.RoleRef, v.Namespace, v.Subjects)
		}
	}
	for role := range rules {
		if !bound[role] {
			t.Errorf("%s is bound to nobody", role)
		}
	}
	return out
}

// Who may do what is a table that a reviewer can read whole.
func TestRights(t *testing.T) {
	var lines []string
	for _, g := range grants(t, rendered(t, "everything")) {
		for _, group := range g.rule.APIGroups {
			for _, resource := range g.rule.Resources {
				what := strings.TrimSuffix(resource+"."+group, ".")
				if len(g.rule.ResourceNames) > 0 {
					what += " (" + strings.Join(g.rule.ResourceNames, ", ") + ")"
				}
				lines = append(lines, fmt.Sprintf("%-38s %-13s %-52s %s\n", g.subject, g.where, what, strings.Join(g.rule.Verbs, " ")))
			}
		}
	}
	slices.Sort(lines)
	golden(t, "rights.txt", []byte(strings.Join(lines, "")))
}

func TestRightsAreNarrow(t *testing.T) {
	forbidden := []string{"*", "escalate", "bind", "impersonate", "deletecollection"}
	for _, g := range grants(t, rendered(t, "everything")) {
		r := g.rule
		if slices.Contains(slices.Concat(r.APIGroups, r.Resources, r.ResourceNames, r.Verbs), "*") || len(r.NonResourceURLs) > 0 {
			t.Errorf("%s: a wildcard in %+v", g.subject, r)
		}
		people := strings.HasPrefix(g.subject, "everybody")
		for _, verb := range r.Verbs {
			if slices.Contains(forbidden, verb) && !people {
				t.Errorf("%s may %s %v", g.subject, verb, r.Resources)
			}
			writes := !slices.Contains([]string{"get", "list", "watch"}, verb)
			if people && writes && slices.Contains(r.Resources, "serviceimports") {
				t.Errorf("%s may %s imports, which redirect everybody's calls", g.subject, verb)
			}
			if named := len(r.ResourceNames) > 0; slices.Contains(r.Resources, "secrets") && !named && verb != "create" {
				t.Errorf("%s may %s every Secret", g.subject, verb)
			}
		}
		if slices.Contains(r.Resources, "secrets") && g.where != Namespace {
			t.Errorf("%s: Secrets %s", g.subject, g.where)
		}
		for _, account := range []string{"gateway", "egress", "server"} {
			if strings.HasSuffix(g.subject, "/"+account) {
				t.Errorf("%s needs nothing of the API server, but has %+v", g.subject, r)
			}
		}
	}
}
