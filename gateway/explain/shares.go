package explain

import (
	"fmt"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/route"
)

// CallShare is a part of all calls.
type CallShare struct {
	Cluster  model.ClusterName `json:"cluster"`
	Locality model.Locality    `json:"locality"`
	Percent  float64           `json:"percent"`
}

// shares are where all calls go while nothing dies: the first priority takes them, because it holds healthy endpoints only, or nothing but
// bad ones. They add up to 100, or there are none.
func shares(a route.Assignment) []CallShare {
	if len(a.Priorities) == 0 {
		return []CallShare{}
	}
	return sharesOf(a.Priorities[0])
}

// maxLater bounds how far later looks.
const maxLater = 8

// later are where all calls go when what is before has died, one step after another; what is known to be bad is none.
func later(a route.Assignment) [][]CallShare {
	out := [][]CallShare{}
	for i, p := range a.Priorities {
		if i > 0 && len(out) < maxLater && role(i, p) != roleBad {
			out = append(out, sharesOf(p))
		}
	}
	return out
}

func sharesOf(p route.Priority) []CallShare {
	out := make([]CallShare, len(p.Groups))
	for i, part := range partsOf(p) {
		out[i] = CallShare{p.Groups[i].Cluster, p.Groups[i].Locality, part}
	}
	return out
}

// partsOf are the groups' parts of their priority, in percent.
func partsOf(p route.Priority) []float64 {
	sum := uint64(0)
	for _, g := range p.Groups {
		sum += uint64(g.Weight)
	}
	out := make([]float64, len(p.Groups))
	for i, g := range p.Groups {
		out[i] = 100 * float64(g.Weight) / float64(sum)
	}
	return out
}

func (p ExplainedPriority) shares() []CallShare {
	out := make([]CallShare, len(p.Groups))
	for i, g := range p.Groups {
		out[i] = CallShare{g.Cluster, g.Locality, g.SharePercent}
	}
	return out
}

// SharesText lists shares for a person.
func SharesText(list []CallShare) string {
	if len(list) == 0 {
		return "nowhere"
	}
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = fmt.Sprintf("%s (%s) %s", s.Cluster, s.Locality, PercentText(s.Percent))
	}
	return strings.Join(out, ", ")
}

// PercentText writes a share for a person: what is more than nothing never reads as nothing.
func PercentText(percent float64) string {
	switch {
	case percent > 0 && percent < 1:
		return "<1 %"
	default:
		return fmt.Sprintf("%.0f %%", percent)
	}
}
