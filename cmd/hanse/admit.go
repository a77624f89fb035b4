package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/hanse-mesh/hanse/internal/run"
	"github.com/hanse-mesh/hanse/trust/identity"
)

// maxMemberCalls is how many calls one member's connection may have under way.
const maxMemberCalls = 256

// What callers without a certificate may cost: they redeem a token with one small call.
const (
	maxStrangers       = 128
	maxStrangerCalls   = 4
	maxStrangerMessage = 64 << 10
	maxStrangerTime    = 30 * time.Second
)

// byCertificate serves one port with two gRPC servers: callers that have proven who they are may send large messages for as long as
// they like, those that have not are held to what redeeming a token takes. gRPC's own bounds hold for a server as a whole.
type byCertificate struct {
	config             *tls.Config
	members, strangers *grpc.Server
}

// newByCertificate makes both servers; register offers the same services at them, which judge each call themselves.
func newByCertificate(config *tls.Config, register ...func(grpc.ServiceRegistrar)) *byCertificate {
	config = config.Clone()
	config.NextProtos = []string{"h2"}
	b := &byCertificate{
		config:  config,
		members: newGRPCServer(0, grpc.MaxRecvMsgSize(maxGRPCMessage), grpc.MaxConcurrentStreams(maxMemberCalls)),
		strangers: newGRPCServer(maxStrangerTime,
			grpc.MaxRecvMsgSize(maxStrangerMessage), grpc.MaxConcurrentStreams(maxStrangerCalls), grpc.MaxHeaderListSize(8<<10)),
	}
	for _, r := range register {
		r(b.members)
		r(b.strangers)
	}
	return b
}

// serve hands each connection to one of the servers until ctx ends.
func (b *byCertificate) serve(ctx context.Context, l net.Listener) error {
	l = identity.Listen(l, b.config)
	members, strangers := newHandOver(l.Addr(), 0), newHandOver(l.Addr(), maxStrangers)
	return run.Group(ctx,
		func(ctx context.Context) error { return serveGRPC(ctx, b.members, members) },
		func(ctx context.Context) error { return serveGRPC(ctx, b.strangers, strangers) },
		func(ctx context.Context) error {
			defer context.AfterFunc(ctx, func() { _ = l.Close() })()
			return divide(ctx, l, members, strangers)
		},
	)
}

func divide(ctx context.Context, l net.Listener, members, strangers *handOver) error {
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return ctx.Err()
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			// Out of file descriptors, most likely: connections that end give some back.
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		to := strangers
		if t, ok := conn.(*tls.Conn); ok && len(t.ConnectionState().PeerCertificates) > 0 {
			to = members
		}
		to.put(conn)
	}
}

// handOver is a listener whose connections are given to it. It closes those beyond its limit.
type handOver struct {
	address net.Addr
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
	// places is nil without a limit.
	places chan struct{}
}

func newHandOver(address net.Addr, limit int) *handOver {
	h := &handOver{address: address, conns: make(chan net.Conn), closed: make(chan struct{})}
	if limit > 0 {
		h.places = make(chan struct{}, limit)
	}
	return h
}

func (h *handOver) put(conn net.Conn) {
	if h.places != nil {
		select {
		case h.places <- struct{}{}:
			conn = &placed{Conn: conn, leave: sync.OnceFunc(func() { <-h.places })}
		default:
			_ = conn.Close()
			return
		}
	}
	select {
	case h.conns <- conn:
	case <-h.closed:
		_ = conn.Close()
	}
}

// Accept waits for a connection that is handed over.
func (h *handOver) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (h *handOver) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr is the divided listener's.
func (h *handOver) Addr() net.Addr { return h.address }

// placed gives its place back when it is closed.
type placed struct {
	net.Conn
	leave func()
}

// Close closes the connection.
func (p *placed) Close() error {
	p.leave()
	return p.Conn.Close()
}

// shaken are the credentials of connections whose TLS handshake is done.
type shaken struct {
	credentials.TransportCredentials
}

// ServerHandshake tells what the handshake has shown.
func (shaken) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	inner := conn
	if p, ok := conn.(*placed); ok {
		inner = p.Conn
	}
	t, ok := inner.(*tls.Conn)
	if !ok {
		return nil, nil, errors.New("the connection is not of TLS")
	}
	state := t.ConnectionState()
	if state.NegotiatedProtocol != "h2" {
		return nil, nil, errors.New("the client does not speak HTTP/2")
	}
	return conn, credentials.TLSInfo{
		State: state, CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
	}, nil
}

// Info names the protocol.
func (shaken) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone returns the same: there is nothing to change.
func (s shaken) Clone() credentials.TransportCredentials { return s }
