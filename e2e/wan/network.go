package wan

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Region is one network namespace with one address.
type Region struct {
	Name string
	// Address is reachable from all regions; loopback is the region's own.
	Address netip.Addr

	mac net.HardwareAddr
	ns  netns.NsHandle
	// port is the switch's end of the region's cable.
	port  *port
	cable netlink.Link
}

// Network is some regions and the paths between them. Its methods are safe for concurrent use.
type Network struct {
	regions map[string]*Region
	paths   map[[2]string]*path
	done    chan struct{}
	running sync.WaitGroup
}

// New makes a network with a region per name, without delay and loss. The calling process must be Inside.
func New(names ...string) (*Network, error) {
	if !Inside() {
		return nil, errors.New("wan: call Enter first")
	}
	if err := settled(); err != nil {
		return nil, err
	}
	n := &Network{regions: map[string]*Region{}, paths: map[[2]string]*path{}, done: make(chan struct{})}
	for i, name := range names {
		r, err := newRegion(name, byte(i+1))
		if err != nil {
			return nil, fmt.Errorf("wan: region %s: %w", name, err)
		}
		n.regions[name] = r
	}
	for _, r := range n.regions {
		if err := r.introduce(n.regions); err != nil {
			return nil, fmt.Errorf("wan: region %s: %w", r.Name, err)
		}
	}
	n.connect()
	return n, nil
}

// connect starts the switch.
func (n *Network) connect() {
	for _, from := range n.regions {
		ways := map[[6]byte]*path{}
		for _, to := range n.regions {
			if from == to {
				continue
			}
			p := newPath(to.port.write, rand.Float64)
			n.paths[[2]string{from.Name, to.Name}] = p
			ways[[6]byte(to.mac)] = p
			n.running.Go(func() { p.courier(n.done) })
		}
		n.running.Go(func() { from.port.read(ways) })
	}
}

// Region returns a region by its name, which must exist.
func (n *Network) Region(name string) *Region { return n.regions[name] }

// Set changes how it is to travel from one region to another; the way back is another path.
func (n *Network) Set(from, to string, c Conditions) { n.paths[[2]string{from, to}].set(c) }

// Conditions returns how it is to travel from one region to another.
func (n *Network) Conditions(from, to string) Conditions {
	p := n.paths[[2]string{from, to}]
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conditions
}

// Lost counts the frames that the switch itself was too slow for: they were lost without intent.
func (n *Network) Lost() int64 {
	var lost int64
	for _, p := range n.paths {
		lost += p.overflow.Load()
	}
	for _, r := range n.regions {
		lost += r.port.dropped()
	}
	return lost
}

// Close ends the switch and pulls the cables out. The namespaces go when the last process in them ends.
func (n *Network) Close() {
	close(n.done)
	for _, r := range n.regions {
		r.port.close()
	}
	n.running.Wait()
	for _, r := range n.regions {
		_ = netlink.LinkDel(r.cable)
		_ = r.ns.Close()
	}
}

// Do calls f on a thread that is in the region: what f starts and the sockets that it opens belong to the region. f must not start
// goroutines that open any.
func (r *Region) Do(f func() error) error {
	result := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, since it must not be used for anything else.
		runtime.LockOSThread()
		if err := unix.Setns(int(r.ns), unix.CLONE_NEWNET); err != nil {
			result <- fmt.Errorf("enter region %s: %w", r.Name, err)
			return
		}
		result <- f()
	}()
	return <-result
}

// Dial connects to an IP address and port from within the region.
func (r *Region) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = r.Do(func() error {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// newRegion makes a namespace and the cable that leads to it.
func newRegion(name string, number byte) (*Region, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	r := &Region{
		Name: name, Address: netip.AddrFrom4([4]byte{10, 77, number, 1}),
		mac: net.HardwareAddr{0x02, 0x00, 0x4d, 0x00, 0x00, number}, ns: ns,
	}
	end := "wan-" + name
	cable := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: end}, PeerName: "eth0", PeerHardwareAddr: r.mac, PeerNamespace: netlink.NsFd(ns),
	}
	if err := netlink.LinkAdd(cable); err != nil {
		return nil, fmt.Errorf("add a veth pair: %w", err)
	}
	link, err := netlink.LinkByName(end)
	if err != nil {
		return nil, err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return nil, err
	}
	r.cable = link
	if r.port, err = openPort(link.Attrs().Index); err != nil {
		return nil, err
	}
	return r, nil
}

// newNamespace returns a network namespace that no thread is in.
func newNamespace() (netns.NsHandle, error) {
	type result struct {
		ns  netns.NsHandle
		err error
	}
	made := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			made <- result{err: refused(err)}
			return
		}
		ns, err := netns.GetFromPath(fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid()))
		made <- result{ns, err}
	}()
	r := <-made
	return r.ns, r.err
}

// introduce gives the region its address and tells it once and for all where the others are: a cut must look like silence, not like a
// neighbour who is gone.
func (r *Region) introduce(all map[string]*Region) error {
	h, err := netlink.NewHandleAt(r.ns)
	if err != nil {
		return err
	}
	defer h.Close()
	eth0, err := r.up(h)
	if err != nil {
		return err
	}
	for _, other := range all {
		if other == r {
			continue
		}
		err := h.NeighSet(&netlink.Neigh{
			LinkIndex: eth0.Attrs().Index, State: netlink.NUD_PERMANENT, IP: other.Address.AsSlice(), HardwareAddr: other.mac,
		})
		if err != nil {
			return fmt.Errorf("add neighbour %s: %w", other.Name, err)
		}
	}
	return r.Do(func() error { return withoutOffloads("eth0") })
}

// up sets the region's interfaces up.
func (r *Region) up(h *netlink.Handle) (netlink.Link, error) {
	lo, err := h.LinkByName("lo")
	if err != nil {
		return nil, err
	}
	if err := h.LinkSetUp(lo); err != nil {
		return nil, err
	}
	eth0, err := h.LinkByName("eth0")
	if err != nil {
		return nil, err
	}
	address := &netlink.Addr{IPNet: &net.IPNet{IP: r.Address.AsSlice(), Mask: net.CIDRMask(16, 32)}}
	if err := h.AddrAdd(eth0, address); err != nil {
		return nil, fmt.Errorf("add address %s: %w", r.Address, err)
	}
	return eth0, h.LinkSetUp(eth0)
}
