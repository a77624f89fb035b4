package vm

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/source"
	"github.com/hanse-mesh/hanse/internal/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const domain = "hamburg.example"

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fakeSigner answers with what it was asked for instead of a certificate.
type fakeSigner struct{ fail error }

func (f *fakeSigner) Issue(_ []byte, id, name string, ttl time.Duration) ([][]byte, time.Time, error) {
	return [][]byte{[]byte(id), []byte(name), []byte(ttl.String())}, time.Time{}, f.fail
}
func (*fakeSigner) Roots() [][]byte { return [][]byte{[]byte("root")} }

// peerOf takes the place of TLS: the caller says in metadata what its certificate would say.
func peerOf(ctx context.Context) (string, string, []byte, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if len(md.Get("id")) == 0 {
		return "", "", nil, errors.New("no client certificate")
	}
	key, err := hex.DecodeString(md.Get("key")[0])
	return md.Get("id")[0], md.Get("spiffe")[0], key, err
}

type site struct {
	*Site
	t      *testing.T
	ctx    context.Context
	clock  *clock.Fake
	signer *fakeSigner
	client hansev1.SiteServiceClient
}

// newSite serves a site whose state is in dir; it ends with the test.
func newSite(t *testing.T, dir string) *site {
	t.Helper()
	return newSiteOf(t, dir, nil)
}

// newSiteOf is a site in a Kubernetes cluster, unless pods is nil.
func newSiteOf(t *testing.T, dir string, pods Pods) *site {
	t.Helper()
	s := &site{t: t, clock: clock.NewFake(start), signer: &fakeSigner{}}
	var err error
	s.Site, err = New(Config{
		Dir: dir, TrustDomain: domain, Cluster: "hamburg", Federation: "example",
		Signer: s.signer, Peer: peerOf, Pods: pods, Clock: s.clock, Declarable: []string{"shop"}, Region: "eu",
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	s.ctx = ctx
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	s.Register(server)
	go func() { _ = server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///site", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); server.Stop() })
	s.client = hansev1.NewSiteServiceClient(conn)
	return s
}

// run starts Run and returns its updates; stop ends it and waits.
func (s *site) run() (updates <-chan source.Update, stop func()) {
	out := make(chan source.Update)
	ctx, cancel := context.WithCancel(s.ctx)
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, out) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("Run ended with %v", err)
		}
	}
	s.t.Cleanup(stop)
	return out, stop
}

func (s *site) next(updates <-chan source.Update) source.Update {
	s.t.Helper()
	select {
	case u := <-updates:
		return u
	case <-s.ctx.Done():
		s.t.Fatal("no update arrived")
		return source.Update{}
	}
}

// until waits for a condition that another goroutine brings about.
func (s *site) until(what string, ok func() bool) {
	s.t.Helper()
	for !ok() {
		if s.ctx.Err() != nil {
			s.t.Fatalf("never came true: %s", what)
		}
		runtime.Gosched()
	}
}

func (s *site) mint(spec TokenSpec) *hansev1.EnrollRequest {
	s.t.Helper()
	id, secret, err := s.Mint(spec)
	if err != nil {
		s.t.Fatal(err)
	}
	return &hansev1.EnrollRequest{TokenId: id, Secret: secret}
}

// machine is a workload's side: an id and a key.
type machine struct {
	id, spiffe string
	csr, hash  []byte
}

func newMachine(t *testing.T, id string) *machine {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(public)
	return &machine{id: id, csr: csr, hash: sum[:]}
}

func (s *site) enroll(m *machine, token *hansev1.EnrollRequest) (*hansev1.EnrollResponse, error) {
	r, err := s.client.Enroll(s.ctx, &hansev1.EnrollRequest{
		TokenId: token.GetTokenId(), Secret: token.GetSecret(), Workload: m.id, Csr: m.csr,
	})
	if err == nil {
		m.spiffe = r.GetSpiffeId()
	}
	return r, err
}

// enrolled returns a machine that may register payments in namespace shop.
func (s *site) enrolled(id string) *machine {
	s.t.Helper()
	m := newMachine(s.t, id)
	if _, err := s.enroll(m, s.mint(TokenSpec{Namespace: "shop", Services: []string{"payments"}})); err != nil {
		s.t.Fatal(err)
	}
	return m
}

func (m *machine) context(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "id", m.id, "spiffe", m.spiffe, "key", hex.EncodeToString(m.hash))
}

func payments() model.Workload {
	return model.Workload{
		Service: model.ServiceKey{Namespace: "shop", Name: "payments"}, Namespace: "shop",
		Locality: model.Locality{Region: "eu"}, Address: "10.0.0.1", InboundPort: 15006,
		Ports:  []model.WorkloadPort{{Port: model.Port{Name: "http", Number: 80, Protocol: model.ProtocolHTTP}, Target: "127.0.0.1:8080"}},
		Health: model.WorkloadHealth{Ready: true},
	}
}

// link is one attach stream, with its registration accepted.
type link struct {
	hansev1.SiteService_AttachClient
	cancel context.CancelFunc
}

func (s *site) open(m *machine, w model.Workload) (*link, *hansev1.AttachWelcome, error) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(m.context(s.ctx))
	s.t.Cleanup(cancel)
	stream, err := s.client.Attach(ctx)
	if err != nil {
		return nil, nil, err
	}
	r := codec.RegistrationToProto(w)
	r.ProtocolMin, r.ProtocolMax = model.ProtocolMin, model.ProtocolMax
	// A failed Send says only EOF; the reason comes with Recv.
	_ = stream.Send(&hansev1.AttachRequest{Message: &hansev1.AttachRequest_Registration{Registration: r}})
	answer, err := stream.Recv()
	return &link{stream, cancel}, answer.GetWelcome(), err
}

func (s *site) attach(m *machine, w model.Workload) *link {
	s.t.Helper()
	l, welcome, err := s.open(m, w)
	if err != nil || welcome == nil {
		s.t.Fatalf("attach: %v, %v", welcome, err)
	}
	return l
}

func (l *link) health(t *testing.T, h model.WorkloadHealth) {
	t.Helper()
	if err := l.Send(&hansev1.AttachRequest{Message: &hansev1.AttachRequest_Health{Health: codec.WorkloadHealthToProto(h)}}); err != nil {
		t.Fatal(err)
	}
}

func wantStatus(t *testing.T, err error, code codes.Code, says string) {
	t.Helper()
	if status.Code(err) != code || !strings.Contains(status.Convert(err).Message(), says) {
		t.Errorf("got %v, want %v that says %q", err, code, says)
	}
}
