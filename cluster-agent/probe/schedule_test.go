package probe

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/verdict"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// TestSuspicionRaisesTheRate drives the schedule without Run.
func TestSuspicionRaisesTheRate(t *testing.T) {
	c := clock.NewFake(time.Unix(0, 0))
	p := New(Config{
		Clock: c, Logger: slog.New(slog.DiscardHandler),
		Dial: func(context.Context, netip.AddrPort) (net.Conn, error) {
			a, b := net.Pipe()
			return a, b.Close()
		},
		Greet: func(context.Context, net.Conn, string, model.ClusterName) error { return nil },
	})
	other := target("192.0.2.2")
	other.Gateway = "g2"
	p.SetTargets([]Target{target("192.0.2.1"), other})
	suspects := map[verdict.Address]bool{judged: true}
	// probes counts those of ten seconds, in which the suspicion is looked at every 10 ms: pauses differ by 10 %, so that one second may have none.
	probes := func(suspect func(ms int) bool) int {
		before := p.Probes()
		for ms := 0; ms < 10_000; ms += 10 {
			if suspect(ms) {
				p.SetSuspicious(suspects)
			} else {
				p.SetSuspicious(nil)
			}
			due, _ := p.due()
			for _, d := range due {
				p.perform(t.Context(), d)
			}
			c.Advance(10 * time.Millisecond)
		}
		return int(p.Probes() - before)
	}
	probes(func(int) bool { return false })
	if n := probes(func(int) bool { return false }); n < 16 || n > 24 {
		t.Errorf("%d probes of two addresses in ten quiet seconds", n)
	}
	if n := probes(func(int) bool { return true }); n < 43 || n > 53 {
		t.Errorf("%d probes of two addresses while one is suspicious", n)
	}
	if n := probes(func(ms int) bool { return ms/10%2 == 0 }); n > 53 {
		t.Errorf("%d probes of two addresses while a suspicion comes and goes", n)
	}
	select {
	case <-p.Changed():
	default:
		t.Error("nobody was told of the targets")
	}
	p.SetSuspicious(suspects)
	select {
	case <-p.Changed():
		t.Error("a suspicion is told as a change of the points: the owner would never rest")
	default:
	}
}

func TestTheSameTargetsAreNoChange(t *testing.T) {
	changed := func(p *Prober) bool {
		select {
		case <-p.Changed():
			return true
		default:
			return false
		}
	}
	p := New(Config{Clock: clock.NewFake(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), Logger: slog.New(slog.DiscardHandler)})
	one, two := target("10.0.0.1"), target("10.0.0.2")
	two.Gateway = "another"
	draining := one
	draining.Draining = true
	for _, step := range []struct {
		what    string
		targets []Target
		want    bool
	}{
		{"nothing, as before", nil, false},
		{"two", []Target{one, two}, true},
		{"the same two", []Target{one, two}, false},
		{"the same two in another order", []Target{two, one}, false},
		{"one drains", []Target{draining, two}, true},
		{"one is gone", []Target{draining}, true},
		{"the same one", []Target{draining}, false},
		{"none", nil, true},
	} {
		if p.SetTargets(step.targets); changed(p) != step.want {
			t.Errorf("%s: told of a change: %v, want %v", step.what, !step.want, step.want)
		}
	}
}

// TestConcurrencyIsBounded drives the schedule without Run: what is due beyond the bound waits until a running probe ends, and
// those that wait longest go first.
func TestConcurrencyIsBounded(t *testing.T) {
	probed := map[string]int{}
	p := New(Config{
		Concurrency: 3, Clock: clock.NewFake(time.Unix(0, 0)), Logger: slog.New(slog.DiscardHandler),
		Dial: func(_ context.Context, to netip.AddrPort) (net.Conn, error) {
			probed[to.Addr().String()]++
			return nil, errRefused
		},
	})
	var targets []Target
	for i := range 10 {
		tg := target(fmt.Sprintf("192.0.2.%d", i))
		tg.Gateway = fmt.Sprint("g", i)
		targets = append(targets, tg)
	}
	p.SetTargets(targets)
	running, _ := p.due()
	if len(running) != 3 {
		t.Fatalf("%d probes start, want 3", len(running))
	}
	for len(running) > 0 {
		if more, _ := p.due(); len(more) > 0 {
			t.Fatalf("%d probes start beside three", len(more))
		}
		p.perform(t.Context(), running[0])
		more, _ := p.due()
		running = append(running[1:], more...)
	}
	for _, tg := range targets {
		if probed[tg.Address] != 1 {
			t.Errorf("%s was probed %d times, want once", tg.Address, probed[tg.Address])
		}
	}
}

// TestOneClusterHoldsUpNoOther drives the schedule without Run: however many gateways of one cluster hang, a place that becomes free goes
// to the cluster that has the fewest.
func TestOneClusterHoldsUpNoOther(t *testing.T) {
	c := clock.NewFake(time.Unix(0, 0))
	p := New(Config{
		Concurrency: 4, Clock: c, Logger: slog.New(slog.DiscardHandler),
		Dial: func(context.Context, netip.AddrPort) (net.Conn, error) { return nil, errRefused },
	})
	var targets []Target
	for i := range 50 {
		tg := target(fmt.Sprintf("192.0.2.%d", i))
		tg.Gateway = fmt.Sprint("g", i)
		targets = append(targets, tg)
	}
	p.SetTargets(targets)
	hanging, _ := p.due()
	c.Advance(time.Second)
	other := target("198.51.100.1")
	other.Cluster = "uri"
	p.SetTargets(append(targets, other))
	for range 10 {
		// One of those that hang is given up, which makes room for one.
		p.perform(t.Context(), hanging[0])
		next, _ := p.due()
		if len(next) != 1 || next[0].target.Cluster != "uri" {
			t.Fatalf("the free place goes to %+v", next)
		}
		p.perform(t.Context(), next[0])
		more, _ := p.due()
		hanging = append(hanging[1:], more...)
		c.Advance(2 * time.Second)
	}
}

func TestAHangingGatewayIsNamedSo(t *testing.T) {
	hang := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	p := New(Config{
		Clock: clock.NewFake(time.Unix(0, 0)), Logger: slog.New(slog.DiscardHandler), Patience: verdict.Patience{Connect: 1, Answer: time.Millisecond, Max: 1},
		Dial:  func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) { return nil, hang(ctx) },
		Greet: func(ctx context.Context, _ net.Conn, _ string, _ model.ClusterName) error { return hang(ctx) },
	})
	if o := p.attempt(t.Context(), task{}); o.Err != "connecting failed: nothing came back within 0s" {
		t.Error(o.Err)
	}
	p.cfg.Patience.Connect = time.Hour
	p.cfg.Dial = func(context.Context, netip.AddrPort) (net.Conn, error) {
		a, b := net.Pipe()
		return a, b.Close()
	}
	if o := p.attempt(t.Context(), task{}); o.Err != "connected, but nothing came back within 1ms" {
		t.Error(o.Err)
	}
}

// TestNewAddressesAreBounded has one cluster rename its gateways all the time: how often it has strangers asked stays bounded, and the
// gateway of another cluster is asked as if nothing happened.
func TestNewAddressesAreBounded(t *testing.T) {
	c := clock.NewFake(time.Unix(0, 0))
	asked := map[netip.AddrPort]int{}
	p := New(Config{
		Clock: c, Logger: slog.New(slog.DiscardHandler),
		Dial: func(_ context.Context, to netip.AddrPort) (net.Conn, error) {
			asked[to]++
			return nil, errRefused
		},
	})
	honest := target("192.0.2.1")
	honest.Cluster = "honest"
	const seconds = 20
	for tick := range 10 * seconds {
		targets := []Target{honest}
		for i := range 64 {
			hostile := target(fmt.Sprintf("198.51.%d.%d", tick%250, i))
			hostile.Gateway = fmt.Sprintf("gw-%d-%d", tick, i)
			targets = append(targets, hostile)
		}
		p.SetTargets(targets)
		due, _ := p.due()
		for _, d := range due {
			p.perform(t.Context(), d)
		}
		c.Advance(100 * time.Millisecond)
	}
	own := asked[netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), honest.Port)]
	if strangers := len(asked) - 1; strangers < firstBurst || strangers > firstBurst+seconds*firstRate {
		t.Errorf("%d addresses were asked in %d s, of which none need be", strangers, seconds)
	}
	if own < seconds/2 {
		t.Errorf("the other cluster's gateway was probed %d times in %d s", own, seconds)
	}
}
