package serve

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/hanse-mesh/hanse/cluster-agent/dns"
)

const (
	// udpReaders read from each UDP socket and answer at once: what they cannot keep up with waits in the kernel, which bounds it.
	udpReaders = 4
	// maxConnections bounds TCP connections per listener; further ones wait in the kernel.
	maxConnections = 256
	// maxQueries bounds the queries of one connection, so that its place becomes free for others.
	maxQueries = 256
	// idle is how long a connection may take for its next query (RFC 7766), patience how long for a reply.
	idle     = 8 * time.Second
	patience = 4 * time.Second
	// acceptRest is the rest after a connection could not be accepted for want of descriptors.
	acceptRest = 50 * time.Millisecond
)

// serveUDP answers datagrams until ctx ends. Several may read from one socket.
func (s *Server) serveUDP(ctx context.Context, conn net.PacketConn) error {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	// One byte more than a query may have: what is longer is seen to be.
	buffer := make([]byte, dns.MaxQuery+1)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("read queries at %s/udp: %w", conn.LocalAddr(), err)
		}
		if reply := s.respond(buffer[:n], dns.UDP); reply != nil {
			// A caller who cannot be reached asks again, or does not exist.
			_, _ = conn.WriteTo(reply, from)
		}
	}
}

// serveTCP answers connections until ctx ends, and returns when the last one is closed.
func (s *Server) serveTCP(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	var open sync.WaitGroup
	defer open.Wait()
	places := make(chan struct{}, maxConnections)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case places <- struct{}{}:
		}
		conn, err := accept(ctx, l)
		if err != nil {
			return err
		}
		s.open.Add(1)
		open.Go(func() {
			s.converse(ctx, conn)
			s.open.Add(-1)
			<-places
		})
	}
}

// accept waits out a lack of descriptors and connections that were given up before they were taken.
func accept(ctx context.Context, l net.Listener) (net.Conn, error) {
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			return conn, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) && !errors.Is(err, syscall.ECONNABORTED):
			return nil, fmt.Errorf("accept queries at %s/tcp: %w", l.Addr(), err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(acceptRest):
		}
	}
}

// converse answers the queries of one connection, in turn, each behind its length.
func (s *Server) converse(ctx context.Context, conn net.Conn) {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer conn.Close()
	var length [2]byte
	buffer := make([]byte, dns.MaxQuery)
	for range maxQueries {
		_ = conn.SetDeadline(time.Now().Add(idle))
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint16(length[:]))
		if n > len(buffer) {
			return
		}
		if _, err := io.ReadFull(conn, buffer[:n]); err != nil {
			return
		}
		reply := s.respond(buffer[:n], dns.TCP)
		if reply == nil {
			return
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return
		}
	}
}
