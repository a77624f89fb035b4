package route

import (
	"slices"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

// OrderFor returns the order of regions for callers in region of a service. Among the policies that have an entry for the region
// (its own, or "*"), the most specific one counts: by service, then by namespace, then for all; ties go to the smaller name. Without
// any the order is empty: own zone, own region, all others together.
func OrderFor(policies []policy.FailoverPolicy, service model.ServiceKey, region string) policy.RegionOrder {
	_, order := PolicyFor(policies, service, region)
	return order
}

// PolicyFor is OrderFor, and names the policy that counts; the name is empty when none does.
func PolicyFor(policies []policy.FailoverPolicy, service model.ServiceKey, region string) (name string, order policy.RegionOrder) {
	best, bestName := -1, ""
	for _, p := range policies {
		specific := specificity(p.Spec, service)
		if specific < best || specific < 0 || specific == best && p.Name >= bestName {
			continue
		}
		if o, ok := entry(p.Spec.Failover, region); ok {
			best, bestName, order = specific, p.Name, o
		}
	}
	return bestName, order
}

// specificity is -1 for a policy that does not select the service.
func specificity(s policy.FailoverPolicySpec, service model.ServiceKey) int {
	const byNamespace, byService = 1, 2
	specific := 0
	if s.Namespace != "" && s.Namespace != policy.Any {
		if s.Namespace != service.Namespace {
			return -1
		}
		specific += byNamespace
	}
	if len(s.Services) > 0 && !slices.Contains(s.Services, policy.Any) {
		if !slices.Contains(s.Services, service.Name) {
			return -1
		}
		specific += byService
	}
	return specific
}

// entry prefers the region's own entry to the one for every region.
func entry(orders []policy.RegionOrder, region string) (policy.RegionOrder, bool) {
	for _, from := range [...]string{region, policy.Any} {
		for _, o := range orders {
			if o.From == from {
				return o, true
			}
		}
	}
	return policy.RegionOrder{}, false
}
