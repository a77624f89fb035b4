package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/hanse-mesh/hanse/gateway/serve"
	"github.com/hanse-mesh/hanse/gateway/xds"
	"github.com/hanse-mesh/hanse/internal/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

func logger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// set builds a complete set out of "letter:name=version" words; the letters are the first ones of the types' names.
func set(words ...string) xds.Resources {
	out := xds.Resources{}
	for _, w := range words {
		letter, rest, _ := strings.Cut(w, ":")
		name, version, _ := strings.Cut(rest, "=")
		for _, t := range xds.Types {
			if strings.HasPrefix(shortType(t), letter) {
				out[t] = append(out[t], &xds.Resource{Name: name, Version: version, Body: &anypb.Any{TypeUrl: t, Value: []byte(w)}})
			}
		}
	}
	return out
}

func shortType(t string) string {
	t = t[strings.LastIndex(t, ".")+1:]
	if t == "ClusterLoadAssignment" {
		return "Endpoint"
	}
	return t
}

// words is the inverse of set, in the order of xds.Types.
func words(r xds.Resources) string {
	var out []string
	for _, t := range xds.Types {
		for _, x := range r[t] {
			out = append(out, shortType(t)[:1]+":"+x.Name+"="+x.Version)
			if got, want := string(x.Body.GetValue()), out[len(out)-1]; got != want {
				return fmt.Sprintf("body of %s is %q", want, got)
			}
		}
	}
	return strings.Join(out, " ")
}

// agent is a serving agent that can be reached through its listener until it is stopped.
type agent struct {
	cache *serve.Cache
	lis   *bufconn.Listener
	stop  func()
}

func newAgent(t *testing.T) *agent {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	a := &agent{cache: serve.NewCache()}
	g := grpc.NewServer()
	serve.NewServer(ctx, a.cache, serve.Config{
		ClassOf: func(context.Context) (string, error) { return "w", nil }, Clock: clock.Real{}, Logger: logger(io.Discard),
	}).Register(g)
	a.lis, a.stop = listen(t, g, cancel)
	return a
}

func listen(t *testing.T, g *grpc.Server, cancel func()) (*bufconn.Listener, func()) {
	lis := bufconn.Listen(1 << 20)
	served := make(chan struct{})
	go func() { defer close(served); _ = g.Serve(lis) }()
	stop := sync.OnceFunc(func() { cancel(); g.Stop(); <-served })
	t.Cleanup(stop)
	return lis, stop
}

// network leads to whichever agent is there now, or to none.
type network struct {
	mu  sync.Mutex
	lis *bufconn.Listener
}

func (n *network) lead(lis *bufconn.Listener) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lis = lis
}

func (n *network) connect(context.Context) (*grpc.ClientConn, error) {
	n.mu.Lock()
	lis := n.lis
	n.mu.Unlock()
	if lis == nil {
		return nil, errors.New("no agent is reachable")
	}
	return grpc.NewClient("passthrough:///agent", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
}

// proxy runs a relay and receives its sets.
type proxy struct {
	t     *testing.T
	relay *Relay
	sets  chan string
	stop  func()
}

func newProxy(t *testing.T, n *network, dir string, log io.Writer) *proxy {
	t.Helper()
	p := &proxy{t: t, sets: make(chan string, 1000)}
	p.relay = New(Config{
		Connect: n.connect, Dir: dir, Sink: func(r xds.Resources) { p.sets <- words(r) }, Clock: clock.Real{}, Logger: logger(log),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.relay.Run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
	t.Cleanup(p.stop)
	return p
}

// until receives sets until the wanted one, and returns those before it.
func (p *proxy) until(want string) (before []string) {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case got := <-p.sets:
			if got == want {
				return before
			}
			before = append(before, got)
		case <-deadline:
			p.t.Fatalf("received %q, never %q", before, want)
		}
	}
}

// first receives one set.
func (p *proxy) first(want string) {
	p.t.Helper()
	if before := p.until(want); len(before) > 0 {
		p.t.Fatalf("before the expected set came %q", before)
	}
}

const full = "S:trust=1 C:a=1 E:a=1 L:l=1 R:r=1"

func TestFollowsTheAgentWithCompleteSetsOnly(t *testing.T) {
	a, n := newAgent(t), &network{}
	n.lead(a.lis)
	a.cache.Set("w", set(strings.Fields(full)...))
	p := newProxy(t, n, t.TempDir(), io.Discard)
	p.first(full)
	a.cache.Set("w", set("S:trust=1", "C:a=2", "E:a=2", "E:b=1", "R:r=1"))
	before := p.until("S:trust=1 C:a=2 E:a=2 E:b=1 R:r=1")
	want := []string{"S:trust=1 C:a=2 E:a=1 L:l=1 R:r=1", "S:trust=1 C:a=2 E:a=2 E:b=1 L:l=1 R:r=1"}
	if fmt.Sprint(before) != fmt.Sprint(want) {
		t.Fatalf("on the way came %q, want %q", before, want)
	}
	if !p.relay.Connected() {
		t.Fatal("not connected while following")
	}
}

func TestRestartWithoutAnAgentServesTheLastSet(t *testing.T) {
	a, n, dir := newAgent(t), &network{}, t.TempDir()
	n.lead(a.lis)
	a.cache.Set("w", set(strings.Fields(full)...))
	p := newProxy(t, n, dir, io.Discard)
	p.first(full)
	a.cache.Set("w", set("S:trust=2", "C:a=1"))
	p.until("S:trust=2 C:a=1")
	p.stop()
	a.stop()
	n.lead(nil)
	again := newProxy(t, n, dir, io.Discard)
	again.first("S:trust=2 C:a=1")
	if again.relay.Connected() {
		t.Fatal("connected to an agent that is gone")
	}
}

func TestEmptySetIsASet(t *testing.T) {
	a, n, dir := newAgent(t), &network{}, t.TempDir()
	n.lead(a.lis)
	a.cache.Set("w", nil)
	p := newProxy(t, n, dir, io.Discard)
	p.first("")
	p.stop()
	newProxy(t, &network{}, dir, io.Discard).first("")
}

func TestAnotherAgentThatKnowsNothingYetTakesNothingAway(t *testing.T) {
	a, b, n := newAgent(t), newAgent(t), &network{}
	n.lead(a.lis)
	a.cache.Set("w", set(strings.Fields(full)...))
	p := newProxy(t, n, t.TempDir(), io.Discard)
	p.first(full)
	n.lead(b.lis)
	a.stop()
	// The new agent agrees about all but one thing: nothing else changes, at no moment.
	b.cache.Set("w", set("S:trust=1", "C:a=1", "E:a=9", "L:l=1", "R:r=1"))
	p.first("S:trust=1 C:a=1 E:a=9 L:l=1 R:r=1")
}

func TestWhatVanishedWhileDisconnectedIsRemoved(t *testing.T) {
	a, n := newAgent(t), &network{}
	n.lead(a.lis)
	a.cache.Set("w", set("C:a=1", "C:b=1", "S:trust=1"))
	p := newProxy(t, n, t.TempDir(), io.Discard)
	p.first("S:trust=1 C:a=1 C:b=1")
	n.lead(nil)
	a.stop()
	b := newAgent(t)
	b.cache.Set("w", set("C:b=1", "S:trust=1"))
	n.lead(b.lis)
	p.first("S:trust=1 C:b=1")
}

func TestDamagedFileIsReportedAndIgnored(t *testing.T) {
	dir := t.TempDir()
	if err := save(filepath.Join(dir, fileName), set("C:a=1")); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(filepath.Join(dir, fileName), data, 0o600); err != nil {
		t.Fatal(err)
	}
	a, n, log := newAgent(t), &network{}, &strings.Builder{}
	n.lead(a.lis)
	a.cache.Set("w", set("C:b=1"))
	p := newProxy(t, n, dir, log)
	p.first("C:b=1")
	p.stop()
	if !strings.Contains(log.String(), "damaged") {
		t.Fatalf("the damage was not reported: %s", log)
	}
	h, err := load(filepath.Join(dir, fileName))
	if err != nil || words(h.set()) != "C:b=1" {
		t.Fatalf("the file was not replaced by a good one: %v", err)
	}
}

// liar is an agent that sends what it is told to, whatever was asked.
type liar struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	send     []*discovery.DeltaDiscoveryResponse
	refusals chan string
}

func (l *liar) DeltaAggregatedResources(s discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	for _, r := range l.send {
		if err := s.Send(r); err != nil {
			return err
		}
	}
	for {
		req, err := s.Recv()
		if err != nil {
			return err
		}
		if req.GetErrorDetail() != nil {
			l.refusals <- req.GetErrorDetail().GetMessage()
		}
	}
}

func TestNonsenseIsRefusedAndChangesNothing(t *testing.T) {
	body := func(t string) *anypb.Any { return &anypb.Any{TypeUrl: t, Value: []byte("x")} }
	named := func(t, n string) *discovery.Resource {
		return &discovery.Resource{Name: n, Version: "1", Resource: body(t)}
	}
	good := []*discovery.DeltaDiscoveryResponse{}
	for _, ty := range xds.Types {
		good = append(good, &discovery.DeltaDiscoveryResponse{TypeUrl: ty, Nonce: "n"})
	}
	tests := map[string]*discovery.DeltaDiscoveryResponse{
		"not subscribed": {TypeUrl: "type.googleapis.com/other"},
		"no name":        {TypeUrl: xds.ClusterType, Resources: []*discovery.Resource{named(xds.ClusterType, "")}},
		"twice":          {TypeUrl: xds.ClusterType, Resources: []*discovery.Resource{named(xds.ClusterType, "a"), named(xds.ClusterType, "a")}},
		"has type":       {TypeUrl: xds.ClusterType, Resources: []*discovery.Resource{named(xds.RouteType, "a")}},
	}
	for reason, bad := range tests {
		t.Run(reason, func(t *testing.T) {
			after := &discovery.DeltaDiscoveryResponse{TypeUrl: xds.ClusterType, Resources: []*discovery.Resource{
				{Name: "z", Version: "1", Resource: &anypb.Any{TypeUrl: xds.ClusterType, Value: []byte("C:z=1")}},
			}}
			l := &liar{send: append(append([]*discovery.DeltaDiscoveryResponse{}, good...), bad, after), refusals: make(chan string, 9)}
			g := grpc.NewServer()
			discovery.RegisterAggregatedDiscoveryServiceServer(g, l)
			lis, _ := listen(t, g, func() {})
			n := &network{}
			n.lead(lis)
			p := newProxy(t, n, t.TempDir(), io.Discard)
			p.first("")
			p.first("C:z=1")
			select {
			case got := <-l.refusals:
				if !strings.Contains(got, reason) {
					t.Fatalf("refused with %q, want %q in it", got, reason)
				}
			case <-time.After(patience):
				t.Fatal("not refused")
			}
		})
	}
}
