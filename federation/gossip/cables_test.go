package gossip

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

var errCut = errors.New("the cable is cut")

// cables are what connects the nodes of a world: each node has one, which can be cut.
type cables struct {
	mu sync.Mutex
	// owners are the nodes by their addresses.
	owners map[string]string
	cut    map[string]bool
	conns  map[net.Conn][2]string
}

func newCables() *cables {
	return &cables{owners: map[string]string{}, cut: map[string]bool{}, conns: map[net.Conn][2]string{}}
}

func (c *cables) own(name string, addresses ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range addresses {
		c.owners[a] = name
	}
}

func (c *cables) severed(from, address string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut[from] || c.cut[c.owners[address]]
}

// sever cuts nodes off from all others; mend undoes it.
func (c *cables) sever(names ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range names {
		c.cut[name] = true
		for conn, ends := range c.conns {
			if ends[0] == name || ends[1] == name {
				_ = conn.Close()
				delete(c.conns, conn)
			}
		}
	}
}

func (c *cables) mend(names ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range names {
		delete(c.cut, name)
	}
}

// dialer dials other nodes' streams for a node.
func (c *cables) dialer(from string) func(context.Context, string) (*grpc.ClientConn, error) {
	connect := func(ctx context.Context, address string) (net.Conn, error) {
		if c.severed(from, address) {
			return nil, errCut
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.conns[conn] = [2]string{from, c.owners[address]}
		return conn, nil
	}
	return func(_ context.Context, address string) (*grpc.ClientConn, error) {
		return grpc.NewClient("passthrough:///"+address, grpc.WithContextDialer(connect), grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
}

// transport is a node's part in the membership protocol.
type transport struct {
	*memberlist.NetTransport
	cables *cables
	name   string
}

func (t transport) WriteTo(b []byte, address string) (time.Time, error) {
	if t.cables.severed(t.name, address) {
		return time.Now(), nil
	}
	return t.NetTransport.WriteTo(b, address)
}

func (t transport) WriteToAddress(b []byte, address memberlist.Address) (time.Time, error) {
	return t.WriteTo(b, address.Addr)
}

func (t transport) DialTimeout(address string, timeout time.Duration) (net.Conn, error) {
	if t.cables.severed(t.name, address) {
		return nil, errCut
	}
	return t.NetTransport.DialTimeout(address, timeout)
}

func (t transport) DialAddressTimeout(address memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.DialTimeout(address.Addr, timeout)
}
