package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/federation/server"
	"github.com/hanse-mesh/hanse/trust/identity"
	"github.com/hanse-mesh/hanse/trust/token"
)

// Limits of our own gRPC connections.
const (
	maxGRPCMessage = server.MaxMessage
	// A silent peer is given up after keepaliveTime + keepaliveTimeout: short enough to move to another node soon, long enough for a
	// process that collects garbage.
	keepaliveTime    = 2 * time.Second
	keepaliveTimeout = 3 * time.Second
	callTimeout      = 10 * time.Second
	// handshakeTimeout bounds how long a client may take until it has said that it speaks HTTP/2.
	handshakeTimeout = 10 * time.Second
)

// dialGRPC makes a connection with the given TLS; it is up when the first call needs it.
func dialGRPC(address string, config *tls.Config) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout, PermitWithoutStream: true}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxGRPCMessage), grpc.MaxCallSendMsgSize(maxGRPCMessage)),
	)
}

// newGRPCServer makes a server of connections whose TLS handshake is done, and that allows the keepalives of dialGRPC; options come on
// top. A connection ends after life, zero for never.
func newGRPCServer(life time.Duration, options ...grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append([]grpc.ServerOption{
		grpc.Creds(shaken{}),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: keepaliveTime, Timeout: keepaliveTimeout, MaxConnectionAge: life, MaxConnectionAgeGrace: callTimeout,
		}),
	}, options...)...)
}

// callPinned calls the token's addresses in turn until one answers; what it answers is final.
func callPinned[T any](ctx context.Context, t token.Token, call func(context.Context, grpc.ClientConnInterface) (T, error)) (T, error) {
	var none T
	var unreachable []error
	for _, address := range t.Addresses {
		conn, err := dialGRPC(address, identity.PinnedClientTLS(t.Pin))
		if err != nil {
			return none, err
		}
		attempt, cancel := context.WithTimeout(ctx, callTimeout)
		out, err := call(attempt, conn)
		cancel()
		_ = conn.Close()
		if err == nil {
			return out, nil
		}
		if !retryable(err) {
			return none, plainStatus(err)
		}
		unreachable = append(unreachable, fmt.Errorf("%s: %w", address, plainStatus(err)))
	}
	return none, codedError{exitUnavailable, errors.Join(unreachable...)}
}

// retryable tells an answer from the absence of one.
func retryable(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Aborted:
		return true
	default:
		return false
	}
}

// plainStatus is the message of a gRPC status without its machinery.
func plainStatus(err error) error {
	if s, ok := status.FromError(err); ok {
		return errors.New(s.Message())
	}
	return err
}

// retryUnavailable repeats an attempt while nobody answers, and says so, until ctx ends.
func retryUnavailable(ctx context.Context, say func(err error), attempt func() error) error {
	for {
		err := attempt()
		var coded codedError
		if err == nil || !errors.As(err, &coded) || coded.code != exitUnavailable {
			return err
		}
		say(err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}
