package route

import "github.com/hanse-mesh/hanse/api/model"

// Tier is how near a locality is to the callers of a Request, as Assign goes by it.
type Tier struct {
	Kind TierKind `json:"kind"`
	// Position counts the regions of the policy's order from 1; it is 0 for all other kinds.
	Position int `json:"position,omitempty"`
}

// TierKind is a kind of tier.
type TierKind string

// The kinds, nearest first.
const (
	TierZone   TierKind = "zone"
	TierRegion TierKind = "region"
	TierOrder  TierKind = "order"
	TierRest   TierKind = "rest"
	// TierNever is for regions that the policy leaves out.
	TierNever TierKind = "never"
)

// Tier returns the tier of a locality. What is stale, or behind degraded paths only, stands behind all tiers, in the same order.
func (r *Request) Tier(l model.Locality) Tier {
	switch n := r.rank(l); {
	case n == rankZone:
		return Tier{Kind: TierZone}
	case n == rankRegion:
		return Tier{Kind: TierRegion}
	case n == rankNever:
		return Tier{Kind: TierNever}
	case n >= rankRest:
		return Tier{Kind: TierRest}
	default:
		return Tier{Kind: TierOrder, Position: n - rankOrder + 1}
	}
}
