package access

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

func TestMay(t *testing.T) {
	everywhere := func(r model.Role) []Grant { return []Grant{{Role: r}} }
	shop := []Grant{{Role: model.RoleOperator, Namespaces: []string{"shop", "cart"}}}
	for name, c := range map[string]struct {
		grants     []Grant
		verb       Verb
		namespaces []string
		refusal    string
	}{
		"nobody reads":                   {nil, Read, nil, "needs the role viewer, and has none"},
		"a viewer reads":                 {everywhere(model.RoleViewer), Read, []string{"x"}, ""},
		"a viewer writes nothing":        {everywhere(model.RoleViewer), WritePolicy, []string{"x"}, "needs the role operator, and has viewer"},
		"an operator writes":             {everywhere(model.RoleOperator), WritePolicy, nil, ""},
		"an operator makes no token":     {everywhere(model.RoleOperator), Administer, nil, "needs the role admin"},
		"an admin does":                  {everywhere(model.RoleAdmin), Administer, nil, ""},
		"within the namespaces":          {shop, WritePolicy, []string{"cart", "shop"}, ""},
		"one namespace too many":         {shop, WritePolicy, []string{"shop", "bank"}, "in some namespaces only (operator in shop, cart), and it is about shop, bank"},
		"all namespaces":                 {shop, WritePolicy, []string{"*"}, "about all namespaces"},
		"no namespace in particular":     {shop, WritePolicy, nil, "about all namespaces"},
		"reading has no such limit":      {shop, Read, []string{"bank"}, ""},
		"two grants do not make a third": {append(everywhere(model.RoleViewer), shop...), WritePolicy, []string{"bank"}, "some namespaces only"},
		"an unknown role is none":        {everywhere("king"), Read, nil, "needs the role viewer"},
	} {
		err := Caller{Actor: model.Actor{Name: "ann"}, Grants: c.grants}.May(c.verb, c.namespaces)
		if (err == nil) != (c.refusal == "") || err != nil && !strings.Contains(err.Error(), c.refusal) {
			t.Errorf("%s: %v, want %q", name, err, c.refusal)
		}
	}
}

// Law: who may do more may do all that is less, and a grant without a limit covers what one with a limit does.
func TestLawRolesAreOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "*"}), 0, 2)
		g := Grant{Role: rapid.SampledFrom(model.Roles()).Draw(t, "role"), Namespaces: names.Draw(t, "granted")}
		verb, about := Verb(rapid.IntRange(0, 2).Draw(t, "verb")), names.Draw(t, "about")
		may := func(g Grant, v Verb) bool { return Caller{Grants: []Grant{g}}.May(v, about) == nil }
		if !may(g, verb) {
			return
		}
		for weaker := range verb {
			if !may(g, weaker) {
				t.Fatalf("%+v may %d and not %d", g, verb, weaker)
			}
		}
		for _, stronger := range model.Roles() {
			if better := (Grant{Role: stronger}); stronger >= g.Role && stronger == model.RoleAdmin && !may(better, verb) {
				t.Fatalf("%+v may %d and %+v may not", g, verb, better)
			}
		}
	})
}

func TestBindings(t *testing.T) {
	bind := func(role model.Role, s ...policy.Subject) policy.RoleBinding {
		return policy.RoleBinding{Spec: policy.RoleBindingSpec{Role: role, Subjects: s}}
	}
	list := []policy.RoleBinding{
		bind(model.RoleViewer, policy.Subject{Kind: "certificate", Name: "ann"}),
		bind(model.RoleOperator, policy.Subject{Kind: "user", Provider: "corp", Name: "ann"}),
		bind(model.RoleAdmin, policy.Subject{Kind: "group", Provider: "corp", Name: "platform"}, policy.Subject{Kind: "group", Provider: "corp", Name: "ann"}),
	}
	for name, c := range map[string]struct {
		person Person
		want   []model.Role
	}{
		"by certificate":          {Person{Name: "ann"}, []model.Role{model.RoleViewer}},
		"by provider":             {Person{Provider: "corp", Name: "ann"}, []model.Role{model.RoleOperator}},
		"another provider":        {Person{Provider: "evil", Name: "ann", Groups: []string{"platform"}}, nil},
		"by group":                {Person{Provider: "corp", Name: "bob", Groups: []string{"x", "platform"}}, []model.Role{model.RoleAdmin}},
		"a name is no group":      {Person{Provider: "corp", Name: "platform"}, nil},
		"no group by certificate": {Person{Name: "x", Groups: []string{"platform"}}, nil},
	} {
		var got []model.Role
		for _, g := range Of(c.person, list) {
			got = append(got, g.Role)
		}
		if len(got) != len(c.want) || len(got) > 0 && got[0] != c.want[0] {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if g := OfToken(model.Token{}); g.Role != model.RoleAdmin {
		t.Errorf("a token of an older version: %+v", g)
	}
}
