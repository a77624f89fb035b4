package enroll

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/source"
	"github.com/hanse-mesh/hanse/cluster-agent/source/vm"
	"github.com/hanse-mesh/hanse/internal/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority is a small real CA.
type authority struct {
	key  *ecdsa.PrivateKey
	root *x509.Certificate
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{key, root}
}

func (a *authority) sign(public crypto.PublicKey, spiffeID, name string, ttl time.Duration) ([][]byte, time.Time, error) {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, time.Time{}, err
	}
	id, err := url.Parse(spiffeID)
	if err != nil {
		return nil, time.Time{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, URIs: []*url.URL{id}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(ttl),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, public, a.key)
	return [][]byte{der}, template.NotAfter, err
}

func (a *authority) Issue(csrDER []byte, spiffeID, name string, ttl time.Duration) ([][]byte, time.Time, error) {
	csr, err := x509.ParseCertificateRequest(csrDER)
	if err != nil {
		return nil, time.Time{}, err
	}
	return a.sign(csr.PublicKey, spiffeID, name, ttl)
}

func (a *authority) Roots() [][]byte { return [][]byte{a.root.Raw} }

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.root)
	return p
}

func callerOf(ctx context.Context) (string, string, []byte, error) {
	p, _ := peer.FromContext(ctx)
	info, _ := p.AuthInfo.(credentials.TLSInfo)
	if len(info.State.PeerCertificates) == 0 {
		return "", "", nil, errors.New("no client certificate")
	}
	leaf := info.State.PeerCertificates[0]
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return leaf.Subject.CommonName, leaf.URIs[0].String(), sum[:], nil
}

// agent is a site over real TLS on loopback that can be stopped and started again at the same address.
type agent struct {
	*vm.Site
	t       *testing.T
	ctx     context.Context
	ca      *authority
	dir     string
	address string
	// pods is nil at a site that is no Kubernetes cluster.
	pods    vm.Pods
	updates chan source.Update
	stop    func()
}

func newAgent(t *testing.T) *agent { return newAgentOf(t, nil) }

func newAgentOf(t *testing.T, pods vm.Pods) *agent {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	a := &agent{t: t, ctx: ctx, ca: newAuthority(t), dir: t.TempDir(), address: "127.0.0.1:0", pods: pods}
	a.start()
	t.Cleanup(func() { a.stop(); cancel() })
	return a
}

func (a *agent) start() {
	a.t.Helper()
	site, err := vm.New(vm.Config{Dir: a.dir, TrustDomain: "hamburg.example", Cluster: "hamburg", Federation: "example", Signer: a.ca, Peer: callerOf, Pods: a.pods})
	if err != nil {
		a.t.Fatal(err)
	}
	key := newKey(a.t)
	chain, _, err := a.ca.sign(key.Public(), "spiffe://hamburg.example/ns/hanse-system/sa/agent", "agent", time.Hour)
	if err != nil {
		a.t.Fatal(err)
	}
	listener, err := net.Listen("tcp", a.address)
	if err != nil {
		a.t.Fatal(err)
	}
	a.address = listener.Addr().String()
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{{Certificate: chain, PrivateKey: key}},
		ClientAuth:   tls.VerifyClientCertIfGiven, ClientCAs: a.ca.pool(), MinVersion: tls.VersionTLS13,
	})))
	site.Register(server)
	a.Site, a.updates = site, make(chan source.Update)
	ctx, cancel := context.WithCancel(a.ctx)
	var tasks sync.WaitGroup
	tasks.Go(func() { _ = site.Run(ctx, a.updates) })
	tasks.Go(func() { _ = server.Serve(listener) })
	a.stop = sync.OnceFunc(func() {
		server.Stop()
		cancel()
		tasks.Wait()
	})
}

func (a *agent) next() source.Update {
	a.t.Helper()
	return receiveFrom(a.t, a.ctx, a.updates)
}

func receiveFrom[T any](t *testing.T, ctx context.Context, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-ctx.Done():
		t.Fatal("nothing arrived")
		panic("unreachable")
	}
}

// memory is a Store.
type memory struct {
	mu           sync.Mutex
	chain, roots [][]byte
	saves        int
	fail         error
}

func (m *memory) Load() ([][]byte, [][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.chain, m.roots, m.fail
}

func (m *memory) Save(chain, roots [][]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.chain, m.roots, m.saves = chain, roots, m.saves+1
	return m.fail
}

// proxy is a client with its connections to an agent and what its callbacks said.
type proxy struct {
	*Client
	t            *testing.T
	certificates chan [][]byte
	rejections   chan error
	problems     chan []string
	welcomes     chan string
	// pinned counts connections without a client certificate.
	pinned chan struct{}
	mu     sync.Mutex
	chain  [][]byte
}

func (a *agent) proxy(change func(*Config)) *proxy {
	a.t.Helper()
	p := &proxy{
		t: a.t, certificates: make(chan [][]byte, 16), rejections: make(chan error, 16),
		problems: make(chan []string, 16), welcomes: make(chan string, 16),
		pinned: make(chan struct{}, 1000),
	}
	cfg := Config{
		Workload: "vm-1", Key: newKey(a.t), Store: &memory{}, Version: "test",
		OnCertificate: func(chain, _ [][]byte) {
			p.mu.Lock()
			p.chain = chain
			p.mu.Unlock()
			p.certificates <- chain
		},
		OnRejected: func(err error) { p.rejections <- err },
		OnProblems: func(problems []string) { p.problems <- problems },
		OnWelcome:  func(cluster model.ClusterName, domain string) { p.welcomes <- string(cluster) + " " + domain },
	}
	change(&cfg)
	address := a.address
	dial := func(c *tls.Config) (*grpc.ClientConn, error) {
		c.RootCAs, c.MinVersion = a.ca.pool(), tls.VersionTLS13
		return grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(c)))
	}
	if cfg.ConnectPinned == nil {
		cfg.ConnectPinned = func(context.Context) (*grpc.ClientConn, error) {
			p.pinned <- struct{}{}
			return dial(&tls.Config{})
		}
	}
	cfg.Connect = func(context.Context) (*grpc.ClientConn, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return dial(&tls.Config{Certificates: []tls.Certificate{{Certificate: p.chain, PrivateKey: cfg.Key}}})
	}
	var err error
	if p.Client, err = New(cfg); err != nil {
		a.t.Fatal(err)
	}
	return p
}

// token gives a config a fresh workload token.
func (a *agent) token(spec vm.TokenSpec) func(*Config) {
	a.t.Helper()
	id, secret, err := a.Mint(spec)
	if err != nil {
		a.t.Fatal(err)
	}
	return func(c *Config) { c.TokenID, c.TokenSecret = id, secret }
}

func (a *agent) enrolled(change func(*Config)) *proxy {
	a.t.Helper()
	token := a.token(vm.TokenSpec{Namespace: "shop", Services: []string{"payments"}})
	p := a.proxy(func(c *Config) {
		token(c)
		if change != nil {
			change(c)
		}
	})
	if err := p.Ensure(a.ctx); err != nil {
		a.t.Fatal(err)
	}
	receiveFrom(a.t, a.ctx, p.certificates)
	return p
}

// background runs a loop of the client until the test or the returned function ends it.
func (a *agent) background(loop func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(a.ctx)
	done := make(chan error, 1)
	go func() { done <- loop(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			a.t.Errorf("the loop ended with %v", err)
		}
	})
	a.t.Cleanup(stop)
	return stop
}

// advance moves a fake clock by small steps, each once the code under test sleeps, until done or until at least total has passed.
func (a *agent) advance(c *clock.Fake, total time.Duration, done func() bool) {
	a.t.Helper()
	for passed := time.Duration(0); passed < total && !done(); passed += longestNap {
		if err := c.BlockUntil(a.ctx, 1); err != nil {
			a.t.Fatal("nothing sleeps")
		}
		c.Advance(longestNap)
	}
}

func payments() model.Workload {
	return model.Workload{
		Service: model.ServiceKey{Namespace: "shop", Name: "payments"}, Namespace: "shop",
		Locality: model.Locality{Region: "eu"}, Address: "10.0.0.1", InboundPort: 15006,
		Ports:  []model.WorkloadPort{{Port: model.Port{Name: "http", Number: 80, Protocol: model.ProtocolHTTP}, Target: "127.0.0.1:8080"}},
		Health: model.WorkloadHealth{Ready: true},
	}
}
