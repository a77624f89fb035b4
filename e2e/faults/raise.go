//go:build e2e

package faults

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// certificateLife is how long the certificates of ap's proxies count.
const certificateLife = time.Minute

// shopRule lets clusters call shop; failoverPolicy says where eu turns.
func shopRule(namespace, to string) string {
	return fmt.Sprintf("kind: ExportRule\nname: shop\nspec: {from: [\"*\"], namespaces: [%s], to: [%s]}\n", namespace, to)
}

func failoverPolicy(second string) string {
	return fmt.Sprintf("kind: FailoverPolicy\nname: default\nspec:\n  failover:\n  - {from: eu-west, to: [%s, ap-south]}\n", second)
}

var wellRules = shopRule("shop", `"*"`) + "---\n" + failoverPolicy("us-east")

// proxy is a workload or a gateway.
type proxy struct {
	name, site, service string
	gateway             bool
	// protocol is what its port speaks; upstream is where it calls cart, empty for nowhere.
	protocol, upstream            string
	token, health, listen, target string
}

// cast is who is there when nothing is wrong.
func cast() []*proxy {
	return []*proxy{
		{name: "gw-us-1", site: "us", gateway: true},
		{name: "gw-us-2", site: "us", gateway: true},
		{name: "gw-ap-1", site: "ap", gateway: true},
		{name: "cart-us-1", site: "us", service: "cart", protocol: "http"},
		{name: "parts-ap-1", site: "ap", service: "parts", protocol: "http"},
		{name: "web-eu-1", site: "eu", upstream: "free"},
	}
}

// raise starts everything.
func (w *world) raise(ctx context.Context) error {
	if err := w.raiseNodes(ctx); err != nil {
		return fmt.Errorf("raise the nodes: %w", err)
	}
	for _, site := range sites {
		if err := w.joinSite(ctx, site); err != nil {
			return fmt.Errorf("join %s: %w", site, err)
		}
	}
	if err := w.apply(ctx, wellRules); err != nil {
		return err
	}
	var health []string
	for _, p := range cast() {
		if err := w.introduce(ctx, p); err != nil {
			return err
		}
		health = append(health, p.health)
	}
	return ready(ctx, health...)
}

func (w *world) raiseNodes(ctx context.Context) error {
	for _, site := range sites {
		w.nodes[site] = nodeAddresses{w.ports.address(), w.ports.address(), w.ports.address(), w.ports.address(), w.ports.address()}
	}
	text, err := w.cli(ctx, append([]string{
		"server", "init", "--federation", federationName, "-o", "json",
		"--operator-token-file", w.operatorFile(), "--root-key-file", filepath.Join(w.dir, "root.key"),
	}, w.nodeArgs(sites[0])...)...)
	if err != nil {
		return err
	}
	var made struct {
		NodeTokens []string `json:"nodeTokens"`
	}
	if err := decode(text, &made); err != nil {
		return err
	}
	for i, site := range sites {
		argv := append([]string{w.skewed, "server"}, w.nodeArgs(site)...)
		if i > 0 {
			argv = append(argv, "--join", made.NodeTokens[i-1])
		}
		if err := w.start("node-"+site, w.clockOf("node-"+site), argv...); err != nil {
			return err
		}
		if err := ready(ctx, w.nodes[site].health); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) clockOf(name string) []string { return []string{clockVariable + "=" + w.clock(name)} }

func (w *world) nodeArgs(site string) []string {
	a := w.nodes[site]
	return []string{
		"--data-dir", w.data("node-" + site), "--name", "node-" + site, "--region", regionOf(site),
		"--listen", a.grpc, "--rest-listen", a.rest, "--raft-listen", a.raft, "--gossip-listen", a.gossip, "--health-listen", a.health,
	}
}

// joinSite starts a site's agent. What its proxies leave behind stays for the time of the suite, so that their faults can be looked at; at
// ap certificates live for certificateLife.
func (w *world) joinSite(ctx context.Context, site string) error {
	token, err := w.cli(ctx, "token", "create", "cluster", site, "--export", "shop")
	if err != nil {
		return err
	}
	a := agentAddresses{w.ports.address(), w.ports.address()}
	w.agents[site] = a
	argv := []string{
		w.skewed, "agent", "--data-dir", w.data("agent-" + site), "--cluster", site, "--region", regionOf(site),
		"--listen", a.site, "--health-listen", a.health, "--token", token, "--withdraw-ttl", "10m",
	}
	if site == "ap" {
		argv = append(argv, "--svid-ttl", certificateLife.String())
	}
	if err := w.start("agent-"+site, w.clockOf("agent-"+site), argv...); err != nil {
		return err
	}
	return ready(ctx, a.health)
}

// introduce gets a proxy its token and its ports, and starts it.
func (w *world) introduce(ctx context.Context, p *proxy) error {
	args := []string{"token", "create", "workload", "--data-dir", w.data("agent-" + p.site)}
	switch {
	case p.gateway:
		args = append(args, "--gateway")
	case p.service == "":
		args = append(args, "--namespace", "shop", "--service-account", "web")
	default:
		args = append(args, "--namespace", "shop", "--service-account", p.service, "--service", p.service)
	}
	token, err := w.cli(ctx, args...)
	if err != nil {
		return err
	}
	p.token, p.health, p.listen, p.target = token, w.ports.address(), w.ports.address(), w.ports.address()
	if p.upstream == "free" {
		p.upstream = w.ports.address()
	}
	w.proxies[p.name] = p
	if p.service != "" {
		err := w.start("app-"+p.name, []string{roleVariable + "=app"}, w.self, "-service", p.service, "-instance", p.name, "-region", regionOf(p.site), "-http", p.target)
		if err != nil {
			return err
		}
	}
	return w.startProxy(p)
}

func (w *world) startProxy(p *proxy) error {
	argv := []string{
		w.hanse, "proxy", "--data-dir", w.data(p.name), "--name", p.name, "--token", p.token, "--envoy", w.envoy, "--concurrency", "1",
		"--health-listen", p.health, "--address", "127.0.0.1", "--locality", regionOf(p.site) + "/" + p.site + "-a",
	}
	_, port, err := net.SplitHostPort(p.listen)
	if err != nil {
		return err
	}
	switch {
	case p.gateway:
		argv = append(argv, "--gateway", "--gateway-listen", p.listen)
	case p.service != "":
		argv = append(argv, "--inbound-port", port, "--service", p.service, "--export",
			"--port", fmt.Sprintf("name=main,number=8080,protocol=%s,target=%s", p.protocol, p.target),
			"--check", "kind=http,target="+p.target+",path=/healthz,interval=250ms,timeout=1s")
	default:
		argv = append(argv, "--inbound-port", port)
	}
	if p.upstream != "" {
		argv = append(argv, "--upstream", "service=cart,port=main,bind="+p.upstream)
	}
	return w.start(p.name, nil, argv...)
}

// stop ends a proxy in order, with its application: its site forgets it at once.
func (w *world) stop(name string) error {
	if err := w.fleet.Signal(name, syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-w.fleet.Done(name):
	case <-time.After(20 * time.Second):
		return fmt.Errorf("%s did not end within 20 s of SIGTERM", name)
	}
	if w.fleet.Running("app-" + name) {
		w.fleet.Kill("app-" + name)
	}
	return nil
}

// join is a list as it stands in a document.
func join(list ...string) string { return strings.Join(slices.Clone(list), ", ") }
