package consensus

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// stream is the layer below raft's transport: connections that others made and that this node makes. Raft's transport leaves
// connections that it was given open when it closes; the stream closes all.
type stream struct {
	net.Listener
	address raft.ServerAddress
	dial    func(ctx context.Context, address string) (net.Conn, error)
	// life ends with the stream: Dial's contract has no context, and a dial must not outlive the node.
	life context.Context
	end  context.CancelFunc

	mu    sync.Mutex
	conns map[*streamConn]struct{}
}

func newStream(l net.Listener, address string, dial func(context.Context, string) (net.Conn, error)) *stream {
	life, end := context.WithCancel(context.Background())
	return &stream{Listener: l, address: raft.ServerAddress(address), dial: dial, life: life, end: end, conns: map[*streamConn]struct{}{}}
}

// Addr is the advertised address, not the one that the listener is bound to.
func (s *stream) Addr() net.Addr { return advertised(s.address) }

// Accept waits for another node's connection.
func (s *stream) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return s.track(c)
}

// Dial connects to another node.
func (s *stream) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.life, timeout)
	defer cancel()
	c, err := s.dial(ctx, string(address))
	if err != nil {
		return nil, err
	}
	return s.track(c)
}

// Close closes the listener and every connection.
func (s *stream) Close() error {
	s.end()
	err := s.Listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Conn.Close()
	}
	clear(s.conns)
	return err
}

func (s *stream) track(c net.Conn) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.Err() != nil {
		_ = c.Close()
		return nil, net.ErrClosed
	}
	sc := &streamConn{Conn: c, stream: s}
	s.conns[sc] = struct{}{}
	return sc, nil
}

type streamConn struct {
	net.Conn
	stream *stream
}

// Close closes the connection and forgets it.
func (c *streamConn) Close() error {
	c.stream.mu.Lock()
	delete(c.stream.conns, c)
	c.stream.mu.Unlock()
	return c.Conn.Close()
}

type advertised raft.ServerAddress

func (advertised) Network() string  { return "tcp" }
func (a advertised) String() string { return string(a) }
