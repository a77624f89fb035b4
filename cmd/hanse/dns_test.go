package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	wire "github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hanse-mesh/hanse/cluster-agent/dns"
	"github.com/hanse-mesh/hanse/internal/clock"
)

func TestDNSErrorsNameTheFlag(t *testing.T) {
	good := dnsOptions{listen: ":8053", drainTime: time.Second}
	for says, change := range map[string]func(*dnsOptions){
		"--listen":     func(o *dnsOptions) { o.listen = "8053" },
		"--drain-time": func(o *dnsOptions) { o.drainTime = -1 },
		"10m":          func(o *dnsOptions) { o.drainTime = time.Hour },
	} {
		o := good
		change(&o)
		usage(t, o.validate(), says)
	}
	if err := good.validate(); err != nil {
		t.Error(err)
	}
}

func TestWithoutAClusterItIsSaidWhatToGive(t *testing.T) {
	// Where the suite runs in a pod, it is to be nowhere.
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("clusters: 7"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, c := range map[string]struct {
		code int
		says string
	}{
		"":        {exitNotFound, "give --kubeconfig"},
		"nowhere": {exitNotFound, "--kubeconfig nowhere does not exist"},
		broken:    {exitFailure, "--kubeconfig " + broken},
	} {
		_, err := (&kubeAccess{kubeconfig: file}).config("dns", slog.New(slog.DiscardHandler))
		if codeOf(err) != c.code || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v", file, err)
		}
	}
}

// TestDNSWithoutAnAPIServer runs the role where nobody answers: it serves, says that it does not know, and why.
func TestDNSWithoutAnAPIServer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kubeconfig")
	config := `{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a, user: a}}],
  clusters: [{name: a, cluster: {server: "http://127.0.0.1:1"}}], users: [{name: a, user: {}}]}`
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	started := make(chan string, 1)
	logger := slog.New(noteListen{slog.DiscardHandler, started})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- runDNS(ctx, dnsOptions{kube: kubeAccess{file}, listen: "127.0.0.1:0", healthListen: "127.0.0.1:0"}, logger)
	}()
	var address string
	select {
	case address = <-started:
	case err := <-done:
		t.Fatal(err)
	case <-patience(t).Done():
		t.Fatal("the role does not start")
	}
	for _, network := range []string{"udp", "tcp"} {
		client := &wire.Client{Net: network, Timeout: 20 * time.Second}
		m, _, err := client.Exchange(new(wire.Msg).SetQuestion("cart.shop.svc.clusterset.local.", wire.TypeA), address)
		if err != nil || m.Rcode != wire.RcodeServerFailure {
			t.Errorf("%s: %v %s", network, err, m)
		}
	}
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-patience(t).Done():
		t.Fatal("the role does not end")
	}
}

// noteListen is a log that notes where the server listens.
type noteListen struct {
	slog.Handler
	to chan string
}

func (noteListen) Enabled(context.Context, slog.Level) bool { return true }

func (n noteListen) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "listen" {
			n.to <- a.Value.String()
		}
		return true
	})
	return nil
}

func TestADNSServerStaysForAWhile(t *testing.T) {
	c := clock.NewFake(time.Unix(1e9, 0))
	told, tell := context.WithCancel(t.Context())
	var draining atomic.Bool
	done := make(chan error, 1)
	go func() { done <- lameDuck(told, t.Context(), time.Minute, &draining, c) }()
	tell()
	if err := c.BlockUntil(patience(t), 1); err != nil {
		t.Fatal(err)
	}
	if !draining.Load() {
		t.Error("it takes itself for ready")
	}
	c.Advance(59 * time.Second)
	select {
	case err := <-done:
		t.Fatalf("it left early: %v", err)
	default:
	}
	c.Advance(time.Second)
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := lameDuck(t.Context(), ended, time.Minute, &draining, c); !errors.Is(err, context.Canceled) {
		t.Errorf("a server that has ended is waited for: %v", err)
	}
}

func TestRepliesAreCounted(t *testing.T) {
	r := prometheus.NewRegistry()
	count := countAnswers(r)
	for _, reply := range []dns.Reply{{Type: wire.TypeA}, {Type: wire.TypeA, Truncated: true}, {Type: 65280, Code: wire.RcodeRefused}} {
		count(dns.UDP, reply)
	}
	count(dns.TCP, dns.Reply{Type: wire.TypeSRV, Code: wire.RcodeNameError})
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetCounter().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"hanse_dns_replies_total NOERROR udp A": 2, "hanse_dns_replies_total REFUSED udp other": 1,
		"hanse_dns_replies_total NXDOMAIN tcp SRV": 1, "hanse_dns_truncated_total": 1,
	} {
		if got[name] != want {
			t.Errorf("%s is %v of %v", name, got[name], got)
		}
	}
}
