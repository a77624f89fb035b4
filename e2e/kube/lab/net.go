package lab

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/e2e/wan"
)

// wire connects a sandbox to the wide-area network and to the machine, and gives it its addresses. It has no default route and no route
// to another cluster's pods or services.
func wire(ctx context.Context, s *sandbox, network *wan.Switch, a Addresses) error {
	device := fmt.Sprintf("hlw%d", a.index)
	if err := network.Attach(s.name, device); err != nil {
		return err
	}
	host := hostCable(a.index)
	for _, argv := range [][]string{
		{"link", "set", device, "netns", s.pid(), "name", "wan"},
		{"link", "add", host, "type", "veth", "peer", "name", "machine", "netns", s.pid()},
		{"addr", "add", a.Host.String() + "/30", "dev", host},
		{"link", "set", host, "up"},
	} {
		if out, err := exec.CommandContext(ctx, "ip", argv...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %v: %w: %s", argv, err, out)
		}
	}
	_, err := s.run(ctx, fmt.Sprintf(`
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
# An address counts at once: there is nobody to ask whether it is taken.
for c in all default wan; do echo 0 >/proc/sys/net/ipv6/conf/$c/accept_dad; done
for f in bridge-nf-call-iptables bridge-nf-call-ip6tables; do [ ! -e /proc/sys/net/bridge/$f ] || echo 1 >/proc/sys/net/bridge/$f; done
ip link set lo up
ip addr add %s/30 dev machine
ip link set machine up
ip addr add %s/%d dev wan
ip addr add %s/%d dev wan nodad
ip link set wan up
`, a.Node, a.WAN4, wan4.Bits(), a.WAN6, wan6.Bits()))
	return err
}

// hostCable is the machine's end of a site's cable to the machine.
func hostCable(index int) string { return fmt.Sprintf("hlm%d", index) }

// unwire removes the cable at once. Without that it would go some seconds after the namespace, which the kernel takes apart at leisure.
func unwire(index int) { _ = exec.Command("ip", "link", "del", hostCable(index)).Run() }

// routeServices lets processes of the node itself reach services: their packets need some route before kube-proxy's rules turn them.
func routeServices(ctx context.Context, s *sandbox, a Addresses) error {
	_, err := s.run(ctx, fmt.Sprintf("ip route add %s dev wan; ip -6 route add %s dev wan", a.Services[0], a.Services[1]))
	return err
}

// Dial connects from the node to an address on the wide-area network and returns how long that took.
func (c *Cluster) Dial(ctx context.Context, address string, timeout time.Duration) (time.Duration, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0, err
	}
	script := fmt.Sprintf("s=${EPOCHREALTIME/./}; timeout %.3f bash -c '</dev/tcp/%s/%s'; echo $((${EPOCHREALTIME/./} - s))", timeout.Seconds(), host, port)
	out, err := c.sandbox.run(ctx, script)
	if err != nil {
		return 0, err
	}
	micros, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the dialler says %q", out)
	}
	return time.Duration(micros) * time.Microsecond, nil
}
