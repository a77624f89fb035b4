package enroll

import (
	"context"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/internal/clock"
)

func (p *proxy) attaching(w model.Workload) func(context.Context) error {
	return func(ctx context.Context) error { return p.RunAttach(ctx, w) }
}

func (a *agent) until(what string, ok func() bool) {
	a.t.Helper()
	for !ok() {
		if a.ctx.Err() != nil {
			a.t.Fatalf("never came true: %s", what)
		}
		runtime.Gosched()
	}
}

func TestAttachAndHealth(t *testing.T) {
	a := newAgent(t)
	p := a.enrolled(nil)
	if p.Attached() {
		t.Error("attached before the start")
	}
	p.SetHealth(model.WorkloadHealth{Reason: "starting"})
	a.background(p.attaching(payments()))
	a.next()
	if u := a.next(); len(u.Upserts) != 1 || u.Upserts[0].ID != "vm-1" || u.Upserts[0].Health.Reason != "starting" {
		t.Fatalf("registered %+v", u)
	}
	if got := receiveFrom(t, a.ctx, p.welcomes); got != "hamburg hamburg.example" {
		t.Errorf("welcome from %s", got)
	}
	for _, h := range []model.WorkloadHealth{{Ready: true}, {Reason: "port closed"}} {
		p.SetHealth(h)
		if u := a.next(); len(u.Upserts) != 1 || u.Upserts[0].Health != h {
			t.Fatalf("got %+v, want %+v", u, h)
		}
	}
	nacks := []model.Nack{{TypeURL: "t", Reason: "r", At: time.Unix(1000, 0).UTC()}}
	p.SetReport(nacks, "1.36.0")
	a.until("the report is in", func() bool { return a.Proxies()[0].EnvoyVersion == "1.36.0" })
	if got := a.Proxies()[0].Nacks; !reflect.DeepEqual(got, nacks) {
		t.Errorf("nacks are %+v", got)
	}
	if got, want := a.EarliestExpiry(), parse(t, p.chain[0]).NotAfter; !got.Equal(want) {
		t.Errorf("reported expiry is %v, want %v", got, want)
	}
	following := func() string {
		set := a.Reports()[0].Acknowledged
		if set == nil {
			t.Fatal("the proxy does not tell what its Envoy follows")
		}
		return *set
	}
	if got := following(); got != "" {
		t.Errorf("before anything was acknowledged the proxy tells of %q", got)
	}
	p.SetAcknowledged("digest")
	a.until("the acknowledgement is in", func() bool { return following() == "digest" })
	a.SendProblems("vm-1", []string{"upstream x is unknown"})
	if got := receiveFrom(t, a.ctx, p.problems); !reflect.DeepEqual(got, []string{"upstream x is unknown"}) {
		t.Errorf("problems are %q", got)
	}
}

func TestAttachesAgainAfterTheAgentsRestart(t *testing.T) {
	a := newAgent(t)
	p := a.enrolled(nil)
	a.background(p.attaching(payments()))
	a.next()
	a.next()
	receiveFrom(t, a.ctx, p.welcomes)
	a.stop()
	a.until("the loss is noticed", func() bool { return !p.Attached() })
	p.SetHealth(model.WorkloadHealth{Reason: "failed while the agent was away"})
	a.start()
	if u := a.next(); !u.Full || len(u.Upserts) != 1 || !u.Upserts[0].Health.Ready && u.Upserts[0].Health.Reason == "" {
		t.Fatalf("the restarted agent begins with %+v", u)
	}
	receiveFrom(t, a.ctx, p.welcomes)
	a.until("the new health is known", func() bool { return !a.Workloads()[0].Health.Ready })
	a.until("the expiry is reported again", func() bool { return !a.EarliestExpiry().IsZero() })
}

func TestWithdrawEndsTheRegistration(t *testing.T) {
	a := newAgent(t)
	p := a.enrolled(nil)
	done := make(chan error, 1)
	go func() { done <- p.RunAttach(a.ctx, payments()) }()
	a.next()
	a.next()
	if err := p.Withdraw(a.ctx); err != nil {
		t.Fatal(err)
	}
	if w := a.Workloads(); len(w) != 0 {
		t.Errorf("confirmed, but still registered: %+v", w)
	}
	if err := receiveFrom(t, a.ctx, done); err != nil {
		t.Errorf("RunAttach ended with %v", err)
	}
	if u := a.next(); !reflect.DeepEqual(u.Removals, []string{"vm-1"}) {
		t.Errorf("got %+v", u)
	}
}

func TestWithdrawWhileTheAgentIsAway(t *testing.T) {
	a := newAgent(t)
	p := a.enrolled(nil)
	a.background(p.attaching(payments()))
	a.next()
	a.next()
	receiveFrom(t, a.ctx, p.welcomes)
	a.stop()
	ended, cancel := context.WithCancel(a.ctx)
	cancel()
	if err := p.Withdraw(ended); err == nil || !strings.Contains(err.Error(), "did not confirm") {
		t.Errorf("got %v", err)
	}
	a.start()
	// The agent still has the workload on disk; the withdrawal reaches it after all.
	if err := p.Withdraw(a.ctx); err != nil {
		t.Fatal(err)
	}
	if w := a.Workloads(); len(w) != 0 {
		t.Errorf("still registered: %+v", w)
	}
}

func TestRefusedRegistrationIsReportedAndRetriedSlowly(t *testing.T) {
	a := newAgent(t)
	c := clock.NewFake(time.Now())
	p := a.enrolled(func(cfg *Config) { cfg.Clock = c })
	w := payments()
	w.Service.Name = "ledger"
	a.background(p.attaching(w))
	for range 2 {
		err := receiveFrom(t, a.ctx, p.rejections)
		if status.Code(err) != codes.PermissionDenied || !strings.HasPrefix(err.Error(), `service "ledger" may not be registered`) {
			t.Fatalf("got %v", err)
		}
		if err := c.BlockUntil(a.ctx, 1); err != nil {
			t.Fatal(err)
		}
		c.Advance(rejectedPause - 1)
		if len(p.rejections) != 0 {
			t.Fatal("tried again before its time")
		}
		c.Advance(1)
	}
	receiveFrom(t, a.ctx, p.rejections)
	if err := p.Withdraw(a.ctx); err != nil {
		t.Errorf("a refused proxy cannot leave: %v", err)
	}
}

// Two proxies that run with one key disturb each other slowly and visibly.
func TestReplacedProxyStepsBack(t *testing.T) {
	a := newAgent(t)
	c := clock.NewFake(time.Now())
	store, key := &memory{}, newKey(t)
	first := a.enrolled(func(cfg *Config) { cfg.Store, cfg.Key, cfg.Clock = store, key, c })
	a.background(first.attaching(payments()))
	receiveFrom(t, a.ctx, first.welcomes)
	second := a.proxy(func(cfg *Config) { cfg.Store, cfg.Key = store, key })
	if err := second.Ensure(a.ctx); err != nil {
		t.Fatal(err)
	}
	a.background(second.attaching(payments()))
	receiveFrom(t, a.ctx, second.welcomes)
	if err := receiveFrom(t, a.ctx, first.rejections); status.Code(err) != codes.Aborted {
		t.Errorf("got %v", err)
	}
}

func TestEndOfRunLeavesTheWorkload(t *testing.T) {
	a := newAgent(t)
	p := a.enrolled(nil)
	stop := a.background(p.attaching(payments()))
	a.next()
	a.next()
	stop()
	a.until("the stream has ended", func() bool { return !a.Attached("vm-1") })
	if w := a.Workloads(); len(w) != 1 {
		t.Errorf("a proxy that restarts was withdrawn: %+v", w)
	}
}

func TestNewChecksItsConfiguration(t *testing.T) {
	a := newAgent(t)
	good := a.proxy(func(*Config) {}).cfg
	for name, change := range map[string]func(*Config){
		"no connection": func(c *Config) { c.Connect = nil },
		"no key":        func(c *Config) { c.Key = nil },
		"no store":      func(c *Config) { c.Store = nil },
		"bad workload":  func(c *Config) { c.Workload = "VM 1" },
	} {
		cfg := good
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
