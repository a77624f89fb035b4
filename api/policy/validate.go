package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
)

// maxRegions bounds one order of regions: each becomes a priority of its own in Envoy, which has 128.
const maxRegions = 100

// Validate reports what makes the policy meaningless. Regions outside knownRegions are warned of, not refused: a policy may be
// written before a region's first cluster joins. Without knownRegions nothing is warned of.
func (p FailoverPolicy) Validate(knownRegions []string) (warnings []string, err error) {
	if err := model.ValidateLabel("name", p.Name); err != nil {
		return nil, err
	}
	if p.Spec.Namespace != "" {
		if err := nameOrAny("spec.namespace", p.Spec.Namespace); err != nil {
			return nil, err
		}
	}
	if err := names("spec.services", p.Spec.Services); err != nil {
		return nil, err
	}
	if len(p.Spec.Failover) == 0 {
		return nil, fmt.Errorf("spec.failover is empty: give at least one order of regions, with from and to")
	}
	from := map[string]int{}
	for i, o := range p.Spec.Failover {
		at := fmt.Sprintf("spec.failover[%d]", i)
		if err := o.validate(at); err != nil {
			return nil, err
		}
		if first, twice := from[o.From]; twice {
			return nil, fmt.Errorf("%s.from: region %q has an order already at spec.failover[%d]: give each region one", at, o.From, first)
		}
		from[o.From] = i
		warnings = append(warnings, unknown(at+".from", "region", []string{o.From}, knownRegions)...)
		warnings = append(warnings, unknown(at+".to", "region", o.To, knownRegions)...)
	}
	return warnings, nil
}

func (o RegionOrder) validate(at string) error {
	if err := nameOrAny(at+".from", o.From); err != nil {
		return err
	}
	// Only without To is how to say that calls must never leave their region.
	if len(o.To) == 0 && !o.Only {
		return fmt.Errorf("%s.to is empty: list the regions to fail over to, nearest first, or set only to keep calls in the region", at)
	}
	if len(o.To) > maxRegions {
		return fmt.Errorf("%s.to has %d regions: at most %d are allowed", at, len(o.To), maxRegions)
	}
	for i, to := range o.To {
		field := fmt.Sprintf("%s.to[%d]", at, i)
		if to == Any {
			return fmt.Errorf("%s: %q is not a region: regions that are not listed come last anyway, unless only is set", field, to)
		}
		if err := model.ValidateLabel(field, to); err != nil {
			return err
		}
		if to == o.From {
			return fmt.Errorf("%s: region %q fails over to itself: a caller's own region comes first anyway, remove it", field, to)
		}
		if slices.Contains(o.To[:i], to) {
			return fmt.Errorf("%s: region %q stands twice: remove one", field, to)
		}
	}
	return nil
}

// Validate reports what makes the rule meaningless. Clusters outside knownClusters are warned of, not refused: a rule may be written
// before they join. Without knownClusters nothing is warned of.
func (r ExportRule) Validate(knownClusters []string) (warnings []string, err error) {
	if err := model.ValidateLabel("name", r.Name); err != nil {
		return nil, err
	}
	required := []struct {
		field, what string
		names       []string
	}{
		{"spec.from", "the exporting clusters", r.Spec.From},
		{"spec.namespaces", "the namespaces that it opens", r.Spec.Namespaces},
		{"spec.to", "the importing clusters", r.Spec.To},
	}
	for _, q := range required {
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
	warnings = append(warnings, unknown("spec.from", "cluster", r.Spec.From, knownClusters)...)
	warnings = append(warnings, unknown("spec.to", "cluster", r.Spec.To, knownClusters)...)
	return warnings, nil
}

func names(field string, list []string) error {
	for i, n := range list {
		if err := nameOrAny(fmt.Sprintf("%s[%d]", field, i), n); err != nil {
			return err
		}
	}
	return nil
}

func nameOrAny(field, name string) error {
	if name == Any {
		return nil
	}
	return model.ValidateLabel(field, name)
}

// unknown warns of names that nothing goes by.
func unknown(field, what string, list, known []string) []string {
	if len(known) == 0 {
		return nil
	}
	known = slices.Sorted(slices.Values(known))
	var out []string
	for _, n := range list {
		if n == Any || slices.Contains(known, n) {
			continue
		}
		out = append(out, fmt.Sprintf("%s: %s %q is not known (known are %s)%s", field, what, n, strings.Join(known, ", "), hint(n, known)))
	}
	return out
}

// hint is a suggestion or nothing.
func hint(given string, names []string) string {
	if s := didYouMean(given, names); strings.HasPrefix(s, ": did") {
		return s
	}
	return ""
}
