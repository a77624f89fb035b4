package serve

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	wire "github.com/miekg/dns"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

const cart, web = "cart.shop.svc.clusterset.local.", "web.shop.svc.clusterset.local."

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestNamesFollowTheAPIServer(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	imports, slices := b.mcs.MulticlusterV1beta1().ServiceImports("shop"), b.client.DiscoveryV1().EndpointSlices("shop")
	must[*mcsv1beta1.ServiceImport](t)(imports.Create(ctx, imported("shop", "cart", "10.96.0.7"), metav1.CreateOptions{}))
	b.start()
	b.settle()
	b.until("what was there before", b.has(cart, "10.96.0.7"))
	if r := b.server.NotReady(); len(r) != 0 {
		t.Errorf("not ready: %v", r)
	}

	// Slices may come before their import.
	if _, err := slices.Create(ctx, endpoints("shop", "web-1", "web", "10.1.0.1"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	must[*mcsv1beta1.ServiceImport](t)(imports.Create(ctx, imported("shop", "web"), metav1.CreateOptions{}))
	b.until("a headless service", b.has(web, "10.1.0.1"))
	if _, err := slices.Create(ctx, endpoints("shop", "web-2", "web", "10.1.0.2"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.until("a second slice", func() bool { return len(b.ask(web, wire.TypeA).Answer) == 2 })
	if _, err := slices.Update(ctx, endpoints("shop", "web-1", "other", "10.1.0.1"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.until("a slice that went to another service", b.has(web, "10.1.0.2"))
	if err := slices.Delete(ctx, "web-2", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	b.until("no endpoint", func() bool { return b.ask(web, wire.TypeA).Rcode == wire.RcodeNameError })

	must[*mcsv1beta1.ServiceImport](t)(imports.Update(ctx, imported("shop", "cart", "10.96.0.9"), metav1.UpdateOptions{}))
	b.until("another address", b.has(cart, "10.96.0.9"))
	if err := imports.Delete(ctx, "cart", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	b.until("no service", func() bool { return b.ask(cart, wire.TypeA).Rcode == wire.RcodeNameError })
	if n := b.server.Stats().Services; n != 1 {
		t.Errorf("%d services", n)
	}
}

// of reports whether an action is about ServiceImports of a version.
func of(version string) func(clienttesting.Action) bool {
	return func(a clienttesting.Action) bool { return a.GetResource().Version == version }
}

func TestTheOlderVersionWillDo(t *testing.T) {
	b := newBench(t)
	newest := of("v1beta1")
	absent := apierrors.NewNotFound(schema.GroupResource{Group: mcsv1beta1.GroupName, Resource: "serviceimports"}, "")
	b.mcs.PrependReactor("list", "serviceimports", func(a clienttesting.Action) (bool, runtime.Object, error) { return newest(a), nil, absent })
	b.mcs.PrependWatchReactor("serviceimports", func(a clienttesting.Action) (bool, watch.Interface, error) { return newest(a), nil, absent })
	imports := b.mcs.MulticlusterV1alpha1().ServiceImports("shop")
	make := func(name, ip string) *mcsv1alpha1.ServiceImport {
		return &mcsv1alpha1.ServiceImport{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
			Spec: mcsv1alpha1.ServiceImportSpec{
				Type: mcsv1alpha1.ClusterSetIP, IPs: []string{ip}, Ports: []mcsv1alpha1.ServicePort{{Name: "http", Port: 80}},
			},
		}
	}
	must[*mcsv1alpha1.ServiceImport](t)(imports.Create(t.Context(), make("cart", "10.96.0.7"), metav1.CreateOptions{}))
	b.start()
	b.settle()
	b.until("what was listed", b.has(cart, "10.96.0.7"))
	must[*mcsv1alpha1.ServiceImport](t)(imports.Create(t.Context(), make("web", "10.96.0.8"), metav1.CreateOptions{}))
	b.until("what was watched", b.has(web, "10.96.0.8"))
	if m := b.ask("_http._tcp."+web, wire.TypeSRV); len(m.Answer) != 1 {
		t.Errorf("ports were lost: %s", m)
	}
}

func TestWithoutDefinitionsItWaits(t *testing.T) {
	b := newBench(t)
	asked := make(chan bool, 100)
	b.mcs.PrependReactor("*", "serviceimports", func(a clienttesting.Action) (bool, runtime.Object, error) {
		asked <- true
		return true, nil, apierrors.NewNotFound(schema.GroupResource{Group: mcsv1beta1.GroupName, Resource: "serviceimports"}, "")
	})
	if r := b.server.NotReady(); len(r) != 1 {
		t.Errorf("before anything: %v", r)
	}
	b.start()
	// Two calls, one for each version, make the first attempt; with a second one, its result has been told.
	for range 4 {
		<-asked
	}
	if r := b.server.NotReady(); len(r) != 1 || !strings.Contains(r[0], "install the CustomResourceDefinitions") {
		t.Errorf("not ready: %v", r)
	}
	if m := b.ask(cart, wire.TypeA); m.Rcode != wire.RcodeServerFailure {
		t.Errorf("an answer without knowledge: %s", m)
	}
}

// TestTheLastAnswersStay takes the API server away after the first answers.
func TestTheLastAnswersStay(t *testing.T) {
	b := newBench(t)
	imports := b.mcs.MulticlusterV1beta1().ServiceImports("shop")
	must[*mcsv1beta1.ServiceImport](t)(imports.Create(t.Context(), imported("shop", "cart", "10.96.0.7"), metav1.CreateOptions{}))
	watches := make(chan *watch.FakeWatcher, 10)
	away, refused := make(chan struct{}), make(chan bool, 100)
	isAway := func() bool {
		select {
		case <-away:
			return true
		default:
			return false
		}
	}
	b.mcs.PrependReactor("list", "serviceimports", func(clienttesting.Action) (bool, runtime.Object, error) {
		if isAway() {
			refused <- true
			return true, nil, errors.New("connection refused")
		}
		return false, nil, nil
	})
	b.mcs.PrependWatchReactor("serviceimports", func(clienttesting.Action) (bool, watch.Interface, error) {
		if isAway() {
			refused <- true
			return true, nil, errors.New("connection refused")
		}
		w := watch.NewFake()
		watches <- w
		return true, w, nil
	})
	b.start()
	b.until("the first answers", b.has(cart, "10.96.0.7"))
	close(away)
	(<-watches).Stop()
	// With the second refusal, the first has been told.
	<-refused
	<-refused
	if !b.has(cart, "10.96.0.7")() {
		t.Error("the answer is gone")
	}
	if r, n := b.server.NotReady(), b.server.Notes(); len(r) != 0 || len(n) != 1 || !strings.Contains(n[0], "connection refused; the last answers stay") {
		t.Errorf("not ready %v, notes %v", r, n)
	}
	if b.server.Stats().Failing != 1 {
		t.Error("the failure is not counted")
	}
}

func TestTroublesAreToldOnce(t *testing.T) {
	b := newBench(t)
	refused := errors.New("refused")
	for _, err := range []error{refused, refused, errors.New("forbidden"), nil, nil, refused} {
		b.server.facts.tell("ServiceImports", err)
	}
	lines := strings.Split(strings.TrimSpace(b.log.String()), "\n")
	if len(lines) != 4 || !strings.Contains(lines[2], "answers again") {
		t.Errorf("%s", b.log.String())
	}
	for _, l := range []interface{ Close() error }{b.udp, b.tcp} {
		_ = l.Close()
	}
}

func TestBothTransportsAnswer(t *testing.T) {
	b := newBench(t)
	must[*mcsv1beta1.ServiceImport](t)(b.mcs.MulticlusterV1beta1().ServiceImports("shop").Create(
		t.Context(), imported("shop", "cart", "10.96.0.7"), metav1.CreateOptions{}))
	b.start()
	b.until("the service", b.has(cart, "10.96.0.7"))
	for network, address := range map[string]string{"udp": b.udp.LocalAddr().String(), "tcp": b.tcp.Addr().String()} {
		client := &wire.Client{Net: network, Timeout: longEnough}
		m, _, err := client.Exchange(new(wire.Msg).SetQuestion(cart, wire.TypeA), address)
		if err != nil || len(m.Answer) != 1 {
			t.Errorf("%s: %v\n%s", network, err, m)
		}
	}
}

func TestAConnectionAsksManyThings(t *testing.T) {
	b := newBench(t)
	b.start()
	b.until("anything", func() bool { return len(b.server.NotReady()) == 0 })
	conn, err := wire.DialTimeout("tcp", b.tcp.Addr().String(), longEnough)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(longEnough))
	for i := range maxQueries {
		if err := conn.WriteMsg(new(wire.Msg).SetQuestion(cart, wire.TypeA)); err != nil {
			t.Fatalf("query %d: %v", i, err)
		}
		if _, err := conn.ReadMsg(); err != nil {
			t.Fatalf("reply %d: %v", i, err)
		}
	}
	if _, err := conn.ReadMsg(); err == nil {
		t.Error("the connection goes on for ever")
	}
}

// TestRubbishEndsItsConnectionAlone sends what is no query; others are answered meanwhile.
func TestRubbishEndsItsConnectionAlone(t *testing.T) {
	b := newBench(t)
	b.start()
	b.until("anything", func() bool { return len(b.server.NotReady()) == 0 })
	for name, bytes := range map[string][]byte{
		"an endless message": append([]byte{0xFF, 0xFF}, make([]byte, 100)...),
		"no header":          {0, 1, 7},
		"a response":         append([]byte{0, 12, 0, 1, 0x80}, make([]byte, 9)...),
	} {
		conn, err := net.Dial("tcp", b.tcp.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(longEnough))
		_, _ = conn.Write(bytes)
		if n, err := conn.Read(make([]byte, 1)); n > 0 || errors.Is(err, net.ErrClosed) || isTimeout(err) {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		_ = conn.Close()
	}
	sender, err := net.Dial("udp", b.udp.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	_, _ = sender.Write(slices.Repeat([]byte{0x41}, 8000))
	_, _ = sender.Write([]byte{1})
	m, _, err := (&wire.Client{Timeout: longEnough}).Exchange(new(wire.Msg).SetQuestion(cart, wire.TypeA), b.udp.LocalAddr().String())
	if err != nil || m.Rcode != wire.RcodeNameError {
		t.Errorf("after rubbish: %v %s", err, m)
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// TestConnectionsAreBounded opens more than are served: the last ones wait until a place is free.
func TestConnectionsAreBounded(t *testing.T) {
	b := newBench(t)
	b.start()
	b.until("anything", func() bool { return len(b.server.NotReady()) == 0 })
	exchange := func(conn *wire.Conn) error {
		_ = conn.SetDeadline(time.Now().Add(longEnough))
		if err := conn.WriteMsg(new(wire.Msg).SetQuestion(cart, wire.TypeA)); err != nil {
			return err
		}
		_, err := conn.ReadMsg()
		return err
	}
	open := make([]*wire.Conn, maxConnections)
	for i := range open {
		conn, err := wire.Dial("tcp", b.tcp.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if open[i] = conn; exchange(conn) != nil {
			t.Fatalf("connection %d is not answered", i)
		}
	}
	late, err := wire.Dial("tcp", b.tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	if n := b.server.Stats().Connections; n != maxConnections {
		t.Errorf("%d connections are served", n)
	}
	_ = open[0].Close()
	if err := exchange(late); err != nil {
		t.Errorf("nobody took the place that became free: %v", err)
	}
}

func TestALostSocketEndsTheServer(t *testing.T) {
	for name, lose := range map[string]func(*bench){
		"udp": func(b *bench) { _ = b.udp.Close() },
		"tcp": func(b *bench) { _ = b.tcp.Close() },
	} {
		b := newBench(t)
		b.start()
		b.until("anything", func() bool { return len(b.server.NotReady()) == 0 })
		lose(b)
		select {
		case err := <-b.done:
			if err == nil || !strings.Contains(err.Error(), "/"+name) {
				t.Errorf("%s: %v", name, err)
			}
			b.done <- err
		case <-time.After(longEnough):
			t.Errorf("%s: the server serves on without its socket", name)
		}
	}
}
