package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hanse-mesh/hanse/api/model"
)

func TestValidateFailoverPolicy(t *testing.T) {
	order := func(from string, to ...string) RegionOrder { return RegionOrder{From: from, To: to} }
	spec := func(o ...RegionOrder) FailoverPolicySpec { return FailoverPolicySpec{Failover: o} }
	var many []string
	for i := range maxRegions + 1 {
		many = append(many, fmt.Sprint("r", i))
	}
	tests := []struct {
		name, policy string
		spec         FailoverPolicySpec
		want         string // part of the error; empty: good
	}{
		{"good", "x", spec(order("eu", "us"), order("*", "eu", "us")), ""},
		{"stay in the region", "x", spec(RegionOrder{From: "eu", Only: true}), ""},
		{"no name", "", spec(order("eu", "us")), "name is empty"},
		{"bad name", "X y", spec(order("eu", "us")), "is not a valid name"},
		{"no failover", "x", spec(), "spec.failover is empty"},
		{"no from", "x", spec(order("", "us")), "spec.failover[0].from is empty"},
		{"no to", "x", spec(order("eu")), "spec.failover[0].to is empty"},
		{"empty to", "x", spec(order("eu", "")), "spec.failover[0].to[0] is empty"},
		{"itself", "x", spec(order("*", "eu"), order("eu", "us", "eu")), `spec.failover[1].to[1]: region "eu" fails over to itself`},
		{"twice in to", "x", spec(order("eu", "us", "ap", "us")), `spec.failover[0].to[2]: region "us" stands twice`},
		{"twice in from", "x", spec(order("eu", "us"), order("eu", "ap")), `spec.failover[1].from: region "eu" has an order already at spec.failover[0]`},
		{"any in to", "x", spec(order("eu", "*")), `"*" is not a region`},
		{"too many", "x", spec(order("eu", many...)), "at most 100"},
		{"bad namespace", "x", FailoverPolicySpec{Namespace: "a/b", Failover: []RegionOrder{order("eu", "us")}}, "spec.namespace"},
		{"bad service", "x", FailoverPolicySpec{Services: []string{"ok", "a b"}, Failover: []RegionOrder{order("eu", "us")}}, "spec.services[1]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := FailoverPolicy{Name: tt.policy, Spec: tt.spec}.Validate(nil)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestUnknownNamesAreWarnedOf(t *testing.T) {
	p := FailoverPolicy{Name: "x", Spec: FailoverPolicySpec{Failover: []RegionOrder{{From: "*", To: []string{"eu-wst", "us"}}, {From: "mars", To: []string{"us"}}}}}
	got, err := p.Validate([]string{"us", "eu-west"})
	want := []string{
		`spec.failover[0].to: region "eu-wst" is not known (known are eu-west, us): did you mean "eu-west"?`,
		`spec.failover[1].from: region "mars" is not known (known are eu-west, us)`,
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
	if got, _ := p.Validate(nil); len(got) > 0 {
		t.Errorf("nothing is known, yet it warns: %q", got)
	}
	r := ExportRule{Name: "x", Spec: ExportRuleSpec{From: []string{"*"}, Namespaces: []string{"n"}, To: []string{"b", "zz"}}}
	if got, err := r.Validate([]string{"b"}); err != nil || len(got) != 1 || !strings.Contains(got[0], `spec.to: cluster "zz" is not known`) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestValidateExportRule(t *testing.T) {
	good := func() ExportRule {
		return ExportRule{Name: "x", Spec: ExportRuleSpec{From: []string{"a"}, Namespaces: []string{"*"}, Services: []string{"s"}, To: []string{"b"}}}
	}
	tests := []struct {
		name   string
		change func(*ExportRule)
		want   string
	}{
		{"good", func(*ExportRule) {}, ""},
		{"no services", func(r *ExportRule) { r.Spec.Services = nil }, ""},
		{"name", func(r *ExportRule) { r.Name = "-" }, "name"},
		{"from", func(r *ExportRule) { r.Spec.From = nil }, "spec.from is empty: list the exporting clusters"},
		{"namespaces", func(r *ExportRule) { r.Spec.Namespaces = nil }, "spec.namespaces is empty"},
		{"to", func(r *ExportRule) { r.Spec.To = nil }, "spec.to is empty: list the importing clusters"},
		{"bad from", func(r *ExportRule) { r.Spec.From = []string{"A"} }, "spec.from[0]"},
		{"bad service", func(r *ExportRule) { r.Spec.Services = []string{""} }, "spec.services[0] is empty"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := good()
			tt.change(&r)
			_, err := r.Validate(nil)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestExports(t *testing.T) {
	a := model.Cluster{Name: "a", ExportNamespaces: []string{"shop"}}
	pay := model.ServiceKey{Namespace: "shop", Name: "pay"}
	rules := []ExportRule{{Name: "x", Spec: ExportRuleSpec{From: []string{"a"}, Namespaces: []string{"*"}, Services: []string{"pay"}, To: []string{"b"}}}}
	tests := []struct {
		service  model.ServiceKey
		importer model.ClusterName
		want     bool
	}{
		{pay, "b", true},
		{pay, "c", false},
		{pay, "a", true},
		{model.ServiceKey{Namespace: "shop", Name: "cart"}, "b", false},
		{model.ServiceKey{Namespace: "hr", Name: "pay"}, "b", false},
		{model.ServiceKey{Namespace: "hr", Name: "pay"}, "a", true},
	}
	for _, tt := range tests {
		if got := Exports(rules, a, tt.service, tt.importer); got != tt.want {
			t.Errorf("%s to %s: %v", tt.service, tt.importer, got)
		}
		if tt.want && tt.importer != "a" && !Exported(rules, a, tt.service) {
			t.Errorf("%s is exported to %s, but to nobody", tt.service, tt.importer)
		}
	}
	if Exported(rules, a, model.ServiceKey{Namespace: "shop", Name: "cart"}) {
		t.Error("a service that no rule names is exported")
	}
}

func TestExportsAnything(t *testing.T) {
	from := func(namespaces ...string) model.Cluster {
		return model.Cluster{Name: "a", ExportNamespaces: namespaces}
	}
	rule := func(from, to string, namespaces ...string) []ExportRule {
		return []ExportRule{{Name: "x", Spec: ExportRuleSpec{From: []string{from}, Namespaces: namespaces, Services: []string{"pay"}, To: []string{to}}}}
	}
	for name, tt := range map[string]struct {
		rules    []ExportRule
		origin   model.Cluster
		importer model.ClusterName
		want     bool
	}{
		"named":                      {rule("a", "b", "shop"), from("hr", "shop"), "b", true},
		"all of what it may":         {rule("*", "*", "*"), from("shop"), "b", true},
		"may all":                    {rule("a", "b", "shop"), from("*"), "b", true},
		"may nothing":                {rule("*", "*", "*"), from(), "b", false},
		"may not that":               {rule("a", "b", "shop"), from("hr"), "b", false},
		"to another":                 {rule("a", "c", "shop"), from("shop"), "b", false},
		"from another":               {rule("c", "b", "shop"), from("shop"), "b", false},
		"no rule":                    {nil, from("*"), "b", false},
		"a cluster is not its own's": {rule("*", "*", "*"), from("*"), "a", false},
	} {
		if got := ExportsAnything(tt.rules, tt.origin, tt.importer); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"to", "too", 1}, {"form", "from", 2}, {"abc", "", 3}, {"kitten", "sitting", 3}, {strings.Repeat("x", 100), "x", 64}} {
		if got := editDistance(tt.a, tt.b); got != tt.want {
			t.Errorf("%s, %s: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
