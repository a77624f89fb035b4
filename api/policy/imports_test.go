package policy

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hanse-mesh/hanse/api/model"
)

func TestImportRulesLimit(t *testing.T) {
	rules := []ImportRule{
		{Name: "a", Spec: ImportRuleSpec{To: []string{"eu"}, From: []string{"us"}, Namespaces: []string{"shop"}, Services: []string{"cart"}}},
		{Name: "b", Spec: ImportRuleSpec{To: []string{"eu"}, From: []string{"asia"}, Namespaces: []string{"*"}}},
	}
	for _, c := range []struct {
		importer, origin   model.ClusterName
		namespace, service string
		want, anything     bool
	}{
		{"eu", "us", "shop", "cart", true, true},
		{"eu", "us", "shop", "pay", false, true},
		{"eu", "us", "bank", "cart", false, true},
		{"eu", "asia", "bank", "pay", true, true},
		{"eu", "africa", "shop", "cart", false, false},
		{"eu", "eu", "shop", "pay", true, true},
		{"us", "africa", "shop", "cart", true, true},
	} {
		if got := Admits(rules, c.importer, c.origin, model.ServiceKey{Namespace: c.namespace, Name: c.service}); got != c.want {
			t.Errorf("%+v: admits %t", c, got)
		}
		if got := AdmitsAnything(rules, c.importer, c.origin); got != c.anything {
			t.Errorf("%+v: admits anything %t", c, got)
		}
	}
}

// Law: a rule for others changes nothing for a cluster; one more rule for a cluster that has some takes nothing away; and whatever is
// admitted is of an origin of which something is.
func TestImportRuleLaws(t *testing.T) {
	name := rapid.SampledFrom([]string{"a", "b", "c", Any})
	list := rapid.SliceOfN(name, 1, 3)
	rule := rapid.Custom(func(t *rapid.T) ImportRule {
		return ImportRule{Spec: ImportRuleSpec{
			To: list.Draw(t, "to"), From: list.Draw(t, "from"), Namespaces: list.Draw(t, "namespaces"), Services: rapid.SliceOfN(name, 0, 2).Draw(t, "services"),
		}}
	})
	cluster := rapid.SampledFrom([]model.ClusterName{"a", "b", "c"})
	rapid.Check(t, func(t *rapid.T) {
		rules := rapid.SliceOfN(rule, 0, 4).Draw(t, "rules")
		importer, origin := cluster.Draw(t, "importer"), cluster.Draw(t, "origin")
		service := model.ServiceKey{Namespace: "a", Name: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "service")}
		admitted := Admits(rules, importer, origin, service)
		one := rule.Draw(t, "one more")
		more := Admits(append(slices.Clone(rules), one), importer, origin, service)
		limited := slices.ContainsFunc(rules, func(r ImportRule) bool { return r.Spec.Limits(importer) })
		switch {
		case !one.Spec.Limits(importer) && more != admitted:
			t.Fatal("a rule for others decides")
		case limited && admitted && !more:
			t.Fatal("a further rule takes something away")
		case !limited && !admitted:
			t.Fatal("no rule, and it is not admitted")
		case admitted && !AdmitsAnything(rules, importer, origin):
			t.Fatal("something is admitted, but nothing can be")
		}
	})
}

func TestImportRuleValidate(t *testing.T) {
	good := ImportRule{Name: "r", Spec: ImportRuleSpec{To: []string{"eu"}, From: []string{"*"}, Namespaces: []string{"shop"}}}
	if warnings, err := good.Validate([]string{"eu", "us"}); err != nil || len(warnings) > 0 {
		t.Errorf("%v, %v", warnings, err)
	}
	if warnings, err := good.Validate([]string{"eo", "us"}); err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], `spec.to: cluster "eu" is not known`) {
		t.Errorf("%v, %v", warnings, err)
	}
	for want, change := range map[string]func(*ImportRule){
		"name":            func(r *ImportRule) { r.Name = "R" },
		"spec.to":         func(r *ImportRule) { r.Spec.To = nil },
		"spec.from":       func(r *ImportRule) { r.Spec.From = nil },
		"spec.namespaces": func(r *ImportRule) { r.Spec.Namespaces = []string{"a b"} },
		"spec.services":   func(r *ImportRule) { r.Spec.Services = []string{""} },
	} {
		bad := good
		change(&bad)
		if _, err := bad.Validate(nil); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
