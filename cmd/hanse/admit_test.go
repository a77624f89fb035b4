package main

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/trust/ca"
	"github.com/hanse-mesh/hanse/trust/identity"
)

// echo answers every enrolment with the identity of its caller.
type echo struct {
	hansev1.UnimplementedSiteServiceServer
}

func (echo) Enroll(ctx context.Context, _ *hansev1.EnrollRequest) (*hansev1.EnrollResponse, error) {
	id, _, err := identity.PeerID(ctx)
	if err != nil {
		return &hansev1.EnrollResponse{SpiffeId: "a stranger"}, nil
	}
	return &hansev1.EnrollResponse{SpiffeId: id.String()}, nil
}

// credentialsOf makes a source with an identity of the authority.
func credentialsOf(t *testing.T, authority *ca.Authority, id string) *identity.Source {
	t.Helper()
	key, err := identity.LoadOrCreateKey(t.TempDir() + "/key")
	if err != nil {
		t.Fatal(err)
	}
	chain, err := authority.Issue(ca.LeafRequest{PublicKey: key.Public(), SPIFFEID: id, TTL: time.Hour, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	src := identity.NewSource(clock.Real{})
	if err := setCredentials(src, key, chain); err != nil {
		t.Fatal(err)
	}
	return src
}

func TestStrangersMaySendLittle(t *testing.T) {
	authority, err := ca.NewRoot(ca.RootOptions{TrustDomain: "acme", Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	server, member := credentialsOf(t, authority, "spiffe://acme/server/n1"), credentialsOf(t, authority, "spiffe://acme/ns/shop/sa/cart")
	stranger := identity.NewSource(clock.Real{})
	if err := stranger.Set(identity.Credentials{Roots: [][]byte{authority.Root()}}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	calls := newByCertificate(server.ServerTLS(identity.ServerOptions{}), func(r grpc.ServiceRegistrar) { hansev1.RegisterSiteServiceServer(r, echo{}) })
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	done := make(chan error, 1)
	go func() { done <- calls.serve(ctx, l) }()
	defer func() { cancel(); <-done }()

	enrol := func(config *tls.Config, bytes int) (string, error) {
		conn, err := dialGRPC(l.Addr().String(), config)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		answer, err := hansev1.NewSiteServiceClient(conn).Enroll(ctx, &hansev1.EnrollRequest{Csr: make([]byte, bytes)})
		return answer.GetSpiffeId(), err
	}
	if who, err := enrol(stranger.ClientTLS(nil), 20<<10); err != nil || who != "a stranger" {
		t.Errorf("a stranger's enrolment: %q, %v", who, err)
	}
	if _, err := enrol(stranger.ClientTLS(nil), 1<<20); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a stranger's large message: %v", err)
	}
	if who, err := enrol(member.ClientTLS(nil), 1<<20); err != nil || !strings.HasSuffix(who, "/sa/cart") {
		t.Errorf("a member's large message: %q, %v", who, err)
	}
}

func TestStrangersAreFew(t *testing.T) {
	h := newHandOver(nil, 2)
	defer func() { _ = h.Close() }()
	var peers []net.Conn
	offer := func() net.Conn {
		ours, theirs := net.Pipe()
		peers = append(peers, theirs)
		go h.put(ours)
		return theirs
	}
	defer func() {
		for _, p := range peers {
			_ = p.Close()
		}
	}()
	var held []net.Conn
	for range 2 {
		offer()
		conn, err := h.Accept()
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
	}
	third := offer()
	if err := third.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := third.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Fatalf("the third of two is kept: %v", err)
	}
	for range 2 {
		// Closed twice, it gives back one place.
		_ = held[0].Close()
	}
	offer()
	if _, err := h.Accept(); err != nil {
		t.Fatal(err)
	}
	if len(h.places) != 2 {
		t.Fatalf("%d places are taken, want 2", len(h.places))
	}
}
