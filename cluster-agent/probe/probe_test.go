package probe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/verdict"
	"github.com/hanse-mesh/hanse/internal/clock"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errRefused = errors.New("connection refused")

// call is a handshake that waits for the test's reply.
type call struct {
	text  string
	reply chan error
}

// names is a resolver that the test can change.
type names struct {
	mu      sync.Mutex
	answers map[string][]netip.Addr
	err     error
	asked   chan string
}

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked <- host
	return n.answers[host], n.err
}

func (n *names) set(err error, host string, ips ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.err = err
	n.answers = map[string][]netip.Addr{host: nil}
	for _, ip := range ips {
		n.answers[host] = append(n.answers[host], netip.MustParseAddr(ip))
	}
}

type rig struct {
	*Prober
	t     *testing.T
	ctx   context.Context
	clock *clock.Fake
	names *names
	calls chan call
	// open counts connections that are not closed; refuses lets none be made, and each attempt is told on refused.
	open    atomic.Int32
	refuses atomic.Bool
	refused chan struct{}
}

func start(t *testing.T, change ...func(*Config)) *rig {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	r := &rig{
		t: t, ctx: ctx, clock: clock.NewFake(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)),
		names: &names{asked: make(chan string, 100)}, calls: make(chan call, 100), refused: make(chan struct{}, 100),
	}
	cfg := Config{
		Resolver: r.names, Clock: r.clock, Logger: slog.New(slog.DiscardHandler),
		// Deadlines are real time; the tests reply when they are ready.
		Patience: verdict.Patience{Connect: time.Hour, Answer: 3 * time.Hour, Max: time.Hour},
		Dial: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > time.Hour {
				t.Errorf("a connection may take until %v", deadline)
			}
			if r.refuses.Load() {
				r.refused <- struct{}{}
				return nil, errRefused
			}
			r.open.Add(1)
			return &fakeConn{to: to, open: &r.open}, nil
		},
		Greet: func(ctx context.Context, conn net.Conn, sni string, cluster model.ClusterName) error {
			if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) < 2*time.Hour {
				t.Errorf("an answer may take until %v: not its own time", deadline)
			}
			to := conn.(*fakeConn).to
			c := call{fmt.Sprint(cluster, " ", to.Addr(), " ", to.Port(), " ", sni), make(chan error, 1)}
			r.calls <- c
			select {
			case err := <-c.reply:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	r.Prober = New(cfg)
	done := make(chan error, 1)
	// Run has no deadline of its own, so that the deadlines of probes show.
	running, stop := context.WithCancel(context.Background())
	go func() { done <- r.Run(running) }()
	t.Cleanup(func() {
		cancel()
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if n := r.open.Load(); n != 0 {
			t.Errorf("%d connections are left open", n)
		}
	})
	return r
}

// fakeConn is a connection that only its gateway's address matters of.
type fakeConn struct {
	net.Conn
	to   netip.AddrPort
	open *atomic.Int32
}

func (c *fakeConn) Close() error {
	c.open.Add(-1)
	return nil
}

func (r *rig) call(want string) call {
	r.t.Helper()
	select {
	case c := <-r.calls:
		if c.text != want {
			r.t.Fatalf("probed %q, want %q", c.text, want)
		}
		return c
	case <-r.ctx.Done():
		r.t.Fatalf("no probe of %q", want)
		panic("unreachable")
	}
}

// await waits until the cluster's points read as wanted: "GATEWAY ADDRESS STATE".
func (r *rig) await(want ...string) {
	r.t.Helper()
	for {
		var got []string
		for _, p := range r.Points("zug") {
			got = append(got, fmt.Sprint(p.Gateway, " ", p.Address, " ", p.State))
		}
		if slices.Equal(got, want) {
			return
		}
		select {
		case <-r.Changed():
		case <-r.ctx.Done():
			r.t.Fatalf("points are %q, want %q", got, want)
		}
	}
}

func (r *rig) nextInterval() { r.clock.Advance(verdict.DefaultPace.Steady * 11 / 10) }

func target(address string) Target {
	return Target{Cluster: "zug", Gateway: "g1", Address: address, Port: 15443, SNI: "gateway.zug.fed", Locality: model.Locality{Region: "eu"}}
}

const probeOf1 = "zug 192.0.2.1 15443 gateway.zug.fed"

var judged = verdict.Address{Cluster: "zug", Gateway: "g1", IP: netip.MustParseAddr("192.0.2.1"), Port: 15443}

func TestUnknownGoodBadGood(t *testing.T) {
	r := start(t)
	r.SetTargets([]Target{target("192.0.2.1")})
	r.await("g1 192.0.2.1 unknown")
	first := r.call(probeOf1)
	r.clock.Advance(30 * time.Millisecond)
	first.reply <- nil
	r.await("g1 192.0.2.1 good")
	if p := r.Points("zug")[0]; p.RTT != 30*time.Millisecond || p.Judged() != judged || !p.Since.Equal(r.clock.Now()) || p.Port != 15443 || p.Locality.Region != "eu" {
		t.Errorf("point is %+v", p)
	}
	for range 2 {
		r.nextInterval()
		r.call(probeOf1).reply <- errRefused
	}
	r.await("g1 192.0.2.1 bad")
	if p := r.Points("zug")[0]; p.LastError != "connected, but connection refused" {
		t.Errorf("last error is %q", p.LastError)
	}
	r.nextInterval()
	r.call(probeOf1).reply <- nil
	r.await("g1 192.0.2.1 good")
}

func TestSecondOpinionComesSoon(t *testing.T) {
	r := start(t)
	r.SetTargets([]Target{target("192.0.2.1")})
	r.call(probeOf1).reply <- errRefused
	if err := r.clock.BlockUntil(r.ctx, 1); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(verdict.DefaultPace.Raised * 11 / 10)
	r.call(probeOf1).reply <- errRefused
	r.await("g1 192.0.2.1 bad")
}

func TestARefusedConnectionIsAFailure(t *testing.T) {
	r := start(t)
	r.refuses.Store(true)
	r.SetTargets([]Target{target("192.0.2.1")})
	<-r.refused
	r.nextInterval()
	<-r.refused
	r.await("g1 192.0.2.1 bad")
	if p := r.Points("zug")[0]; p.LastError != "connecting failed: connection refused" || p.Connect != 0 {
		t.Errorf("point is %+v", p)
	}
	r.refuses.Store(false)
	r.nextInterval()
	r.call(probeOf1).reply <- nil
	r.await("g1 192.0.2.1 good")
}

func TestFlappingStaysGood(t *testing.T) {
	r := start(t)
	r.SetTargets([]Target{target("192.0.2.1")})
	for range 4 {
		r.call(probeOf1).reply <- nil
		r.await("g1 192.0.2.1 good")
		r.nextInterval()
		r.call(probeOf1).reply <- errRefused
		r.nextInterval()
	}
	r.call(probeOf1)
	r.await("g1 192.0.2.1 good")
}

func TestLookupFailureKeepsTheLastAnswer(t *testing.T) {
	r := start(t)
	r.names.set(nil, "gw.zug", "192.0.2.2", "::ffff:192.0.2.1", "192.0.2.2", "0.0.0.0")
	r.SetTargets([]Target{target("gw.zug")})
	r.await("g1 192.0.2.1 unknown", "g1 192.0.2.2 unknown")
	<-r.names.asked
	for _, err := range []error{errors.New("no such host"), nil} {
		r.names.set(err, "gw.zug")
		for range 2 {
			r.clock.Advance(lookupInterval * 11 / 10)
			<-r.names.asked
		}
		r.await("g1 192.0.2.1 unknown", "g1 192.0.2.2 unknown")
	}
	r.names.set(nil, "gw.zug", "192.0.2.2", "2001:db8::3")
	r.clock.Advance(lookupInterval * 11 / 10)
	r.await("g1 192.0.2.2 unknown", "g1 2001:db8::3 unknown")
	if got := fmt.Sprint(r.Answers()); got != "map[gw.zug:[192.0.2.2 2001:db8::3]]" {
		t.Errorf("answers to keep are %s", got)
	}
}

func TestEarlierAnswersServeWhileDNSIsDown(t *testing.T) {
	r := start(t, func(c *Config) {
		c.Answers = map[string][]netip.Addr{"gw.zug": {netip.MustParseAddr("192.0.2.1")}}
		c.Resolver.(*names).err = errors.New("dns is down")
	})
	r.SetTargets(nil)
	r.SetTargets([]Target{target("gw.zug")})
	if points := r.Points("zug"); len(points) != 1 {
		t.Fatalf("points are %+v as soon as the target is set", points)
	}
	r.call(probeOf1).reply <- nil
	r.await("g1 192.0.2.1 good")
}

func TestFirstLookupIsRepeatedSoon(t *testing.T) {
	r := start(t)
	r.names.set(errors.New("no such host"), "gw.zug")
	r.SetTargets([]Target{target("gw.zug")})
	<-r.names.asked
	r.names.set(nil, "gw.zug", "192.0.2.1")
	r.nextInterval()
	r.await("g1 192.0.2.1 unknown")
}

func TestTargetsChange(t *testing.T) {
	r := start(t)
	r.SetTargets([]Target{target("192.0.2.1")})
	r.call(probeOf1).reply <- nil
	r.await("g1 192.0.2.1 good")

	draining := target("192.0.2.1")
	draining.Draining, draining.Locality.Zone = true, "b"
	r.SetTargets([]Target{draining})
	if p := r.Points("zug")[0]; p.State != verdict.Good || !p.Draining || p.Locality.Zone != "b" {
		t.Errorf("after a change of what is not probed the point is %+v", p)
	}

	r.SetTargets([]Target{target("192.0.2.9")})
	r.await("g1 192.0.2.9 unknown")
	c := r.call("zug 192.0.2.9 15443 gateway.zug.fed")

	r.SetTargets(nil)
	r.await()
	c.reply <- nil
	r.nextInterval()
	other := target("192.0.2.1")
	other.Cluster = "bern"
	r.SetTargets([]Target{other})
	r.call("bern 192.0.2.1 15443 gateway.zug.fed")
	r.await()
}
