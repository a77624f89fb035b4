package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/hanse-mesh/hanse/e2e/fleet"
)

// startAgent joins a cluster.
func (w *world) startAgent(ctx context.Context, p *plane) error {
	token, err := w.cli(ctx, "token", "create", "cluster", p.name, "--export", "*")
	if err != nil {
		return err
	}
	err = w.start("agent-"+p.name, w.hanse, "agent", "--data-dir", w.data("agent-"+p.name), "--cluster", p.name, "--region", p.region,
		"--listen", p.site, "--health-listen", p.health, "--token", token, "--kubernetes", "--kubeconfig", p.kubeconfig)
	if err != nil {
		return err
	}
	return fleet.Eventually(ctx, time.Minute, func() error { return ready(ctx, p.health) })
}

// agentCost is what a cluster's agent has used.
func (w *world) agentCost(ctx context.Context, p *plane) (cost, error) {
	c, err := costOf(w.procs.Pid("agent-" + p.name))
	if err != nil {
		return c, err
	}
	c.live, err = liveHeap(ctx, p.health)
	return c, err
}

// startGateway starts a cluster's gateway with an Envoy: a cluster whose gateways do not answer is one that nobody is sent to.
func (w *world) startGateway(ctx context.Context, p *plane) error {
	p.gateway = w.address()
	token, err := w.cli(ctx, "token", "create", "workload", "--data-dir", w.data("agent-"+p.name), "--gateway")
	if err != nil {
		return err
	}
	return w.startProxy(ctx, "gateway-"+p.name, "--token", token, "--gateway", "--gateway-listen", p.gateway, "--locality", p.region)
}

func (w *world) startProxy(ctx context.Context, name string, args ...string) error {
	health := w.address()
	argv := append([]string{
		w.hanse, "proxy", "--data-dir", w.data(name), "--name", name, "--envoy", w.envoy, "--concurrency", "1", "--health-listen", health,
		"--address", loopback,
	}, args...)
	if err := w.start(name, argv...); err != nil {
		return err
	}
	return fleet.Eventually(ctx, time.Minute, func() error {
		if err := ready(ctx, health); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

// envoyOf speaks to the admin interface of a proxy's Envoy.
func (w *world) envoyOf(proxy string) *http.Client {
	socket := filepath.Join(w.data(proxy), "envoy", "admin.sock")
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
}

// startCaller starts a proxy that knows every service of every cluster.
func (w *world) startCaller(ctx context.Context, p *plane) error {
	token, err := w.cli(ctx, "token", "create", "workload", "--data-dir", w.data("agent-"+p.name), "--namespace", "team-0")
	if err != nil {
		return err
	}
	return w.startProxy(ctx, caller, "--token", token, "--locality", p.region, "--open-http", w.address())
}
