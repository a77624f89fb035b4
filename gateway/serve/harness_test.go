package serve

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/xds"
	"github.com/hanse-mesh/hanse/internal/clock"
)

const patience = 20 * time.Second

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// res is a resource whose body says its version.
func res(typeURL, name, version string) *xds.Resource {
	return &xds.Resource{Name: name, Version: version, Body: &anypb.Any{TypeUrl: typeURL, Value: []byte(name + version)}}
}

// set builds resources of one type out of name=version words.
func set(typeURL string, words ...string) []*xds.Resource {
	var out []*xds.Resource
	for _, w := range words {
		name, version, _ := strings.Cut(w, "=")
		out = append(out, res(typeURL, name, version))
	}
	return out
}

// recorder keeps events in order and lets tests wait for them.
type recorder struct {
	mu   sync.Mutex
	list []string
	ping chan struct{}
}

func newRecorder() *recorder { return &recorder{ping: make(chan struct{})} }

func (r *recorder) add(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, fmt.Sprintf(format, args...))
	close(r.ping)
	r.ping = make(chan struct{})
}

func (r *recorder) Opened(c string)   { r.add("opened %s", c) }
func (r *recorder) Closed(c string)   { r.add("closed %s", c) }
func (r *recorder) Acked(c, t string) { r.add("acked %s %s", c, short(t)) }
func (r *recorder) Nacked(c string, n model.Nack) {
	r.add("nacked %s %s %s", c, short(n.TypeURL), n.Reason)
}
func short(typeURL string) string { return typeURL[strings.LastIndex(typeURL, ".")+1:] }

// wait returns once the event has happened n times.
func (r *recorder) wait(t *testing.T, event string, n int) {
	t.Helper()
	deadline := time.After(patience)
	for {
		r.mu.Lock()
		count := 0
		for _, e := range r.list {
			if e == event {
				count++
			}
		}
		ping, list := r.ping, slices.Clone(r.list)
		r.mu.Unlock()
		if count >= n {
			return
		}
		select {
		case <-ping:
		case <-deadline:
			t.Fatalf("event %q happened %d times, want %d; events: %q", event, count, n, list)
		}
	}
}

// rig is a cache behind a real gRPC server.
type rig struct {
	cache  *Cache
	events *recorder
	conn   *grpc.ClientConn
}

func newRig(t *testing.T) *rig {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &rig{cache: NewCache(), events: newRecorder()}
	lis := bufconn.Listen(1 << 20)
	g := grpc.NewServer()
	NewServer(ctx, r.cache, Config{ClassOf: classOf, Events: r.events, Clock: clock.Real{}, Logger: quiet()}).Register(g)
	served := make(chan struct{})
	go func() { defer close(served); _ = g.Serve(lis) }()
	conn, err := grpc.NewClient("passthrough:///bufconn", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	r.conn = conn
	t.Cleanup(func() { _ = conn.Close(); cancel(); g.Stop(); <-served })
	return r
}

// classOf stands for the peer's certificate.
func classOf(ctx context.Context) (string, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if v := md.Get("class"); len(v) == 1 {
		return v[0], nil
	}
	return "", fmt.Errorf("no class")
}

// client is one delta stream.
type client struct {
	t      *testing.T
	stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	cancel context.CancelFunc
	last   *discovery.DeltaDiscoveryResponse
}

func (r *rig) open(t *testing.T, class string) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(context.Background(), "class", class), patience)
	t.Cleanup(cancel)
	st, err := discovery.NewAggregatedDiscoveryServiceClient(r.conn).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return &client{t: t, stream: st, cancel: cancel}
}

func (c *client) send(req *discovery.DeltaDiscoveryRequest) {
	c.t.Helper()
	req.Node = &core.Node{Id: "someone-else"}
	if err := c.stream.Send(req); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) subscribe(typeURL string, names ...string) {
	c.t.Helper()
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: typeURL, ResourceNamesSubscribe: names})
}

func (c *client) ack() {
	c.t.Helper()
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: c.last.GetTypeUrl(), ResponseNonce: c.last.GetNonce()})
}

func (c *client) nack(reason string) {
	c.t.Helper()
	c.send(&discovery.DeltaDiscoveryRequest{
		TypeUrl: c.last.GetTypeUrl(), ResponseNonce: c.last.GetNonce(), ErrorDetail: &rpcstatus.Status{Code: 3, Message: reason},
	})
}

// receive returns the next response in the words "Type name=version -removed".
func (c *client) receive() string {
	c.t.Helper()
	resp, err := c.stream.Recv()
	if err != nil {
		c.t.Fatalf("receive: %v", err)
	}
	c.last = resp
	words := []string{short(resp.GetTypeUrl())}
	for _, r := range resp.GetResources() {
		if want := r.GetName() + r.GetVersion(); string(r.GetResource().GetValue()) != want {
			c.t.Fatalf("body of %s is %q, want %q", r.GetName(), r.GetResource().GetValue(), want)
		}
		words = append(words, r.GetName()+"="+r.GetVersion())
	}
	for _, n := range resp.GetRemovedResources() {
		words = append(words, "-"+n)
	}
	return strings.Join(words, " ")
}

// expect receives the given responses in order and acknowledges each.
func (c *client) expect(want ...string) {
	c.t.Helper()
	for _, w := range want {
		c.expectNoAck(w)
		c.ack()
	}
}

func (c *client) expectNoAck(want string) {
	c.t.Helper()
	if got := c.receive(); got != want {
		c.t.Fatalf("received %q, want %q", got, want)
	}
}

// silent proves that nothing is under way: the answer to a question that is always answered comes next.
func (c *client) silent() {
	c.t.Helper()
	c.subscribe("type.googleapis.com/test.Marker", "marker")
	c.expect("Marker -marker")
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s is %v, want %v", what, got, want)
	}
}
