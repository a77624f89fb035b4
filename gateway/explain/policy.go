package explain

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/gateway/route"
)

// PolicyChoice is the FailoverPolicy that counts, and why.
type PolicyChoice struct {
	// Name is empty when none does.
	Name  string              `json:"name,omitempty"`
	Order *policy.RegionOrder `json:"order,omitempty"`
	// Reason says why this one, in view of the others.
	Reason string `json:"reason"`
	// Others are those that would count without it, in that order.
	Others []string `json:"others,omitempty"`
}

func (x *explainer) policy() PolicyChoice {
	region, left := x.of.Locality.Region, slices.Clone(x.in.Facts.Failover)
	var found []string
	var order policy.RegionOrder
	for {
		name, o := route.PolicyFor(left, x.q.Service, region)
		if name == "" {
			break
		}
		if found = append(found, name); len(found) == 1 {
			order = o
		}
		left = slices.DeleteFunc(left, func(p policy.FailoverPolicy) bool { return p.Name == name })
	}
	if len(found) == 0 {
		return PolicyChoice{Reason: fmt.Sprintf("no FailoverPolicy has an order for callers in region %s: their own zone comes first, then their region, then all others together", region)}
	}
	c := PolicyChoice{Name: found[0], Order: &order, Others: found[1:]}
	c.Reason = fmt.Sprintf("FailoverPolicy %s is the most specific one with an order for callers in region %s", c.Name, region)
	if len(c.Others) > 0 {
		c.Reason += ", before " + strings.Join(c.Others, ", ")
	}
	return c
}

// policyProblems warns of regions in which nothing stands: most often they are misspelt.
func (x *explainer) policyProblems() []string {
	known := map[string]bool{x.of.Locality.Region: true}
	for _, m := range x.in.Facts.Members {
		known[m.Region] = true
	}
	for _, w := range x.in.Facts.Workloads {
		known[w.Locality.Region] = true
	}
	for _, imp := range x.in.Facts.Imports {
		for _, c := range imp.Record.Capacity {
			known[c.Locality.Region] = true
		}
	}
	delete(known, "")
	var out []string
	for _, p := range x.in.Facts.Failover {
		if p.Name != x.of.Policy.Name {
			continue
		}
		warnings, _ := p.Validate(slices.Sorted(maps.Keys(known)))
		for _, w := range warnings {
			out = append(out, fmt.Sprintf("FailoverPolicy %s: %s", p.Name, w))
		}
	}
	if home := x.in.Facts.Members[x.in.Facts.Cluster].Region; x.caller != nil && home != "" && x.of.Locality.Region != home {
		out = append(out, fmt.Sprintf("proxy %s says that it is in region %s, its cluster is in %s: if that is a slip, start it with --locality %s",
			x.q.Proxy, x.of.Locality.Region, home, home))
	}
	return out
}
