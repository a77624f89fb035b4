// Package verdict owns what an agent believes of other clusters' gateways: what its own probes have shown of each address, which of
// that it tells the others, and what it makes of what the others tell.
//
// It is pure. An agent's own result always decides; others' words only make it probe more often, or stand in while it has none.
package verdict

import (
	"cmp"
	"net/netip"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
)

// State is what is known of a gateway's address.
type State int

// The states. Unknown counts as healthy: what has not been tried yet must not be avoided.
const (
	Unknown State = iota
	Good
	Bad
)

// String returns "unknown", "good" or "bad".
func (s State) String() string {
	switch s {
	case Good:
		return "good"
	case Bad:
		return "bad"
	default:
		return "unknown"
	}
}

// Address is one address of a gateway: what verdicts are on. IP is never an IPv4 address mapped into IPv6.
type Address struct {
	Cluster model.ClusterName
	Gateway string
	IP      netip.Addr
	Port    uint16
}

// Compare orders addresses by cluster, gateway, IP and port.
func (a Address) Compare(b Address) int {
	return cmp.Or(strings.Compare(string(a.Cluster), string(b.Cluster)), strings.Compare(a.Gateway, b.Gateway),
		a.IP.Compare(b.IP), cmp.Compare(a.Port, b.Port))
}
