package lab

import (
	"fmt"
	"net/netip"
)

// MaxClusters bounds the clusters of a lab: each has a digit in its addresses.
const MaxClusters = 9

// Addresses are a cluster's networks. Pod and service networks are not routed between clusters; what is on the wide-area network is.
type Addresses struct {
	// WAN4 and WAN6 are the node's public addresses.
	WAN4, WAN6 netip.Addr
	// Host and Node are the ends of the cable between the machine and the node. It does not cross the wide-area network, so that a cut of
	// that does not blind whoever looks.
	Host, Node netip.Addr
	// Pods and Services have one prefix per family.
	Pods, Services [2]netip.Prefix
	// API is the address of the API server's own service, DNS those of the cluster's DNS server.
	API netip.Addr
	DNS [2]netip.Addr

	index int
}

// wan4 and wan6 are the networks that all clusters and the federation's nodes share.
var (
	wan4 = netip.MustParsePrefix("172.31.0.0/16")
	wan6 = netip.MustParsePrefix("fd00:31::/64")
)

// addressesOf returns the networks of the index-th site, from 1 to MaxClusters for clusters; the federation's nodes are at 10.
func addressesOf(index int) Addresses {
	i := byte(index)
	pods6 := netip.MustParsePrefix(fmt.Sprintf("fd00:10%d::/56", index))
	services6 := netip.MustParsePrefix(fmt.Sprintf("fd00:11%d::/112", index))
	a := Addresses{
		WAN4: netip.AddrFrom4([4]byte{172, 31, 0, i}), WAN6: netip.MustParseAddr(fmt.Sprintf("fd00:31::%d", index)),
		Host: netip.AddrFrom4([4]byte{10, 199, i, 1}), Node: netip.AddrFrom4([4]byte{10, 199, i, 2}),
		Pods:     [2]netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 100 + i, 0, 0}), 16), pods6},
		Services: [2]netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 110 + i, 0, 0}), 16), services6},
		index:    index,
	}
	a.API = netip.AddrFrom4([4]byte{10, 110 + i, 0, 1})
	a.DNS = [2]netip.Addr{netip.AddrFrom4([4]byte{10, 110 + i, 0, 10}), netip.MustParseAddr(fmt.Sprintf("fd00:11%d::a", index))}
	return a
}

// balancer returns the n-th address pair that a cluster's load balancers may have, n from 1 to 250.
func (a Addresses) balancer(n int) [2]netip.Addr {
	return [2]netip.Addr{
		netip.AddrFrom4([4]byte{172, 31, byte(a.index), byte(n)}), netip.MustParseAddr(fmt.Sprintf("fd00:31::%d:%d", a.index, n)),
	}
}

// both joins one value per family as Kubernetes' flags want it.
func both[T fmt.Stringer](pair [2]T) string { return pair[0].String() + "," + pair[1].String() }
