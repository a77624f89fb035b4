package serve

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	wire "github.com/miekg/dns"
	"go.uber.org/goleak"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	mcsfake "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned/fake"

	"github.com/hanse-mesh/hanse/cluster-agent/dns"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const longEnough = 20 * time.Second

// bench is a server on sockets of its own, before a fake API server.
type bench struct {
	t      *testing.T
	client *fake.Clientset
	mcs    fakeMCS
	server *Server
	udp    net.PacketConn
	tcp    net.Listener
	// watching brings the resource of each watch that stands.
	watching chan string
	// zones brings each zone that was put in force; only the newest is kept.
	zones chan *dns.Zone
	done  chan error
	stop  context.CancelFunc
	log   lockedBuffer
}

// fakeMCS says of itself that it cannot begin a watch with what there is.
type fakeMCS struct{ *mcsfake.Clientset }

func (fakeMCS) IsWatchListSemanticsUnSupported() bool { return true }

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newBench(t *testing.T) *bench {
	t.Helper()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{
		t: t, client: fake.NewClientset(), mcs: fakeMCS{mcsfake.NewSimpleClientset()}, udp: udp, tcp: tcp,
		watching: make(chan string, 10), zones: make(chan *dns.Zone, 1), done: make(chan error, 1),
	}
	b.client.PrependWatchReactor("*", b.watch(b.client.Tracker()))
	b.mcs.PrependWatchReactor("*", b.watch(b.mcs.Tracker()))
	b.server = New(Config{
		Client: b.client, MCS: b.mcs, UDP: []net.PacketConn{udp}, TCP: []net.Listener{tcp}, Logger: slog.New(slog.NewTextHandler(&b.log, nil)),
	})
	store := b.server.publish
	b.server.publish = func(z *dns.Zone) {
		store(z)
		select {
		case <-b.zones:
		default:
		}
		b.zones <- z
	}
	return b
}

// watch tells of each watch that stands: what a fake API server is told before is lost on it.
func (b *bench) watch(tracker clienttesting.ObjectTracker) clienttesting.WatchReactionFunc {
	return func(a clienttesting.Action) (bool, watch.Interface, error) {
		w, err := tracker.Watch(a.GetResource(), a.GetNamespace())
		b.watching <- a.GetResource().Resource
		return true, w, err
	}
}

// settle waits until both kinds are watched.
func (b *bench) settle() {
	b.t.Helper()
	enough := time.After(longEnough)
	for range 2 {
		select {
		case <-b.watching:
		case <-enough:
			b.t.Fatalf("not both kinds are watched\n%s", b.log.String())
		}
	}
}

// start runs the server until the test ends.
func (b *bench) start() {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	b.stop = cancel
	go func() { b.done <- b.server.Run(ctx) }()
	b.t.Cleanup(func() {
		cancel()
		select {
		case <-b.done:
		case <-time.After(longEnough):
			b.t.Error("the server does not end")
		}
	})
}

// until waits for a zone in which the answers are as wanted.
func (b *bench) until(what string, wanted func() bool) {
	b.t.Helper()
	enough := time.After(longEnough)
	for !wanted() {
		select {
		case <-b.zones:
		case err := <-b.done:
			b.done <- err
			b.t.Fatalf("the server ended while waiting for %s: %v", what, err)
		case <-enough:
			b.t.Fatalf("no zone has %s\n%s", what, b.log.String())
		}
	}
}

// ask is the server's own answer, without a socket.
func (b *bench) ask(name string, qtype uint16) *wire.Msg {
	b.t.Helper()
	q := new(wire.Msg).SetQuestion(name, qtype)
	packed, err := q.Pack()
	if err != nil {
		b.t.Fatal(err)
	}
	m := new(wire.Msg)
	if err := m.Unpack(b.server.respond(packed, dns.TCP)); err != nil {
		b.t.Fatal(err)
	}
	return m
}

// has reports whether the name has exactly the addresses.
func (b *bench) has(name string, addresses ...string) func() bool {
	return func() bool {
		m := b.ask(name, wire.TypeA)
		if m.Rcode == wire.RcodeServerFailure || len(m.Answer) != len(addresses) {
			return false
		}
		for i, rr := range m.Answer {
			if rr.(*wire.A).A.String() != addresses[i] {
				return false
			}
		}
		return true
	}
}

func imported(namespace, name string, ips ...string) *mcsv1beta1.ServiceImport {
	kind := mcsv1beta1.ClusterSetIP
	if len(ips) == 0 {
		kind = mcsv1beta1.Headless
	}
	return &mcsv1beta1.ServiceImport{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, ResourceVersion: "1"},
		Spec:       mcsv1beta1.ServiceImportSpec{Type: kind, IPs: ips, Ports: []mcsv1beta1.ServicePort{{Name: "http", Port: 80}}},
	}
}

func endpoints(namespace, name, service string, addresses ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, ResourceVersion: "1",
			Labels: map[string]string{mcsv1beta1.LabelServiceName: service, mcsv1beta1.LabelSourceCluster: "east"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
	}
	return s
}
