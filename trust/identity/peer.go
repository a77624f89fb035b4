package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// ErrNoPeer means that the caller presented no certificate.
var ErrNoPeer = errors.New("the caller presented no certificate")

// PeerID returns the identity of the caller of a gRPC handler as its verified certificate states it, or ErrNoPeer.
func PeerID(ctx context.Context) (spiffeid.ID, *x509.Certificate, error) {
	certs, err := peerCertificates(ctx)
	if err != nil {
		return spiffeid.ID{}, nil, err
	}
	id, err := spiffeid.FromURI(certs[0].URIs[0])
	if err != nil {
		return spiffeid.ID{}, nil, fmt.Errorf("peer's certificate: %w", err)
	}
	return id, certs[0], nil
}

// VerifyPeer verifies the certificate of a gRPC handler's caller by the roots and the time of this moment. It may have expired up to
// grace ago. Errors are ErrNoPeer, a *TimeError, or say why the chain does not count.
func (s *Source) VerifyPeer(ctx context.Context, grace time.Duration) (spiffeid.ID, *x509.Certificate, error) {
	certs, err := peerCertificates(ctx)
	if err != nil {
		return spiffeid.ID{}, nil, err
	}
	id, err := s.judge(certs, grace)
	if err != nil {
		return spiffeid.ID{}, nil, err
	}
	return id, certs[0], nil
}

// VerifyState verifies the client certificate of a connection whose server does not judge certificates in the handshake, by the roots
// and the time of this moment. Errors are ErrNoPeer, a *TimeError, or say why the chain does not count.
func (s *Source) VerifyState(state tls.ConnectionState) (spiffeid.ID, error) {
	if len(state.PeerCertificates) == 0 {
		return spiffeid.ID{}, ErrNoPeer
	}
	return s.judge(state.PeerCertificates, 0)
}

// judge verifies a chain now; its leaf may have expired up to grace ago.
func (s *Source) judge(certs []*x509.Certificate, grace time.Duration) (spiffeid.ID, error) {
	h := s.current()
	if h == nil {
		return spiffeid.ID{}, errNoCertificate
	}
	now := s.clock.Now()
	id, err := h.trust.verify(certs, now)
	if err == nil {
		err = checkTime(certs[0], now, grace)
	}
	if err != nil {
		return spiffeid.ID{}, err
	}
	return id, nil
}

func peerCertificates(ctx context.Context) ([]*x509.Certificate, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, ErrNoPeer
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 || len(info.State.PeerCertificates[0].URIs) != 1 {
		return nil, ErrNoPeer
	}
	return info.State.PeerCertificates, nil
}
