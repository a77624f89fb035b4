package policy

import (
	"fmt"

	"github.com/hanse-mesh/hanse/api/model"
)

// ImportRule says what clusters take of what others export to them. A cluster that no rule names takes everything; one that rules name
// takes what any of them admits. Whom its own services are exported to is none of these rules' concern.
type ImportRule struct {
	Name   string         `json:"name"`
	Labels Labels         `json:"labels,omitempty"`
	Spec   ImportRuleSpec `json:"spec"`
}

// ImportRuleSpec admits the services that match all of From, Namespaces and Services to the clusters in To.
type ImportRuleSpec struct {
	// To are the importing clusters; "*" is every member.
	To []string `json:"to" minItems:"1" maxItems:"10000" maxLength:"63" pattern:"^([*]|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$" doc:"The importing clusters, which take nothing any more that no rule admits to them; * is every member"`
	// From are the exporting clusters; "*" is every cluster.
	From []string `json:"from" minItems:"1" maxItems:"10000" maxLength:"63" pattern:"^([*]|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$" doc:"The exporting clusters; * is every cluster"`
	// Namespaces are the namespaces that the rule admits; "*" is every namespace.
	Namespaces []string `json:"namespaces" minItems:"1" maxItems:"10000" maxLength:"63" pattern:"^([*]|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$" doc:"The namespaces that the rule admits; * is every namespace"`
	// Services limits the rule to these services; empty is every service of the namespaces.
	Services []string `json:"services,omitempty" maxItems:"10000" maxLength:"63" pattern:"^([*]|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$" doc:"Limits the rule to these services; none is every service of the namespaces"`
}

// Admits reports whether the import rules let importer take service of origin. Its own services are no imports.
func Admits(rules []ImportRule, importer, origin model.ClusterName, service model.ServiceKey) bool {
	return admitted(rules, importer, origin, func(s ImportRuleSpec) bool { return s.Covers(origin, service) })
}

// AdmitsAnything reports whether the import rules let importer take anything of origin.
func AdmitsAnything(rules []ImportRule, importer, origin model.ClusterName) bool {
	return admitted(rules, importer, origin, func(s ImportRuleSpec) bool {
		return matches(s.From, string(origin)) && len(s.Namespaces) > 0
	})
}

func admitted(rules []ImportRule, importer, origin model.ClusterName, by func(ImportRuleSpec) bool) bool {
	limited := false
	for _, r := range rules {
		if !r.Spec.Limits(importer) {
			continue
		}
		if by(r.Spec) {
			return true
		}
		limited = true
	}
	return !limited || importer == origin
}

// Limits reports whether the rule is about what importer takes.
func (s ImportRuleSpec) Limits(importer model.ClusterName) bool {
	return matches(s.To, string(importer))
}

// Covers reports whether the rule admits service of origin, to whomever it names in To.
func (s ImportRuleSpec) Covers(origin model.ClusterName, service model.ServiceKey) bool {
	return matches(s.From, string(origin)) && matches(s.Namespaces, service.Namespace) &&
		(len(s.Services) == 0 || matches(s.Services, service.Name))
}

// Validate reports what makes the rule meaningless. Clusters outside knownClusters are warned of, not refused: a rule may be written
// before they join. Without knownClusters nothing is warned of.
func (r ImportRule) Validate(knownClusters []string) (warnings []string, err error) {
	if err := model.ValidateLabel("name", r.Name); err != nil {
		return nil, err
	}
	for _, q := range []struct {
		field, what string
		names       []string
	}{
		{"spec.to", "the importing clusters", r.Spec.To},
		{"spec.from", "the exporting clusters", r.Spec.From},
		{"spec.namespaces", "the namespaces that it admits", r.Spec.Namespaces},
	} {
		if len(q.names) == 0 {
			return nil, fmt.Errorf(`%s is empty: list %s, or "*" for all`, q.field, q.what)
		}
		if err := names(q.field, q.names); err != nil {
			return nil, err
		}
	}
	if err := names("spec.services", r.Spec.Services); err != nil {
		return nil, err
	}
	warnings = append(warnings, unknown("spec.to", "cluster", r.Spec.To, knownClusters)...)
	warnings = append(warnings, unknown("spec.from", "cluster", r.Spec.From, knownClusters)...)
	return warnings, nil
}

func (r *ImportRule) policyName() string   { return r.Name }
func (r *ImportRule) policyLabels() Labels { return r.Labels }
func (r *ImportRule) policySpec() any      { return r.Spec }
func (r *ImportRule) canonicalSpec() any {
	s := r.Spec
	s.To, s.From, s.Namespaces = orEmpty(s.To), orEmpty(s.From), orEmpty(s.Namespaces)
	return s
}
