//go:build e2e

package matrix

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/e2e/fleet"
	"github.com/hanse-mesh/hanse/e2e/load"
)

// policies let everybody call shop; eu falls back on us, then ap.
const policies = `kind: ExportRule
name: shop-everywhere
spec:
  from: ["*"]
  namespaces: [shop]
  to: ["*"]
---
kind: FailoverPolicy
name: default
spec:
  failover:
    - {from: eu, to: [us, ap]}
`

// The ports of every region's address. Gateways and workloads add their index to theirs.
const (
	grpcPort, restPort, raftPort, gossipPort = 7700, 7701, 7702, 7703
	sitePort                                 = 7710
	gatewayPort, inboundPort                 = 7740, 7760
)

// The ports of every region's loopback.
const (
	nodeHealth   = "127.0.0.1:7704"
	agentHealth  = "127.0.0.1:7711"
	healthPort   = 7800
	appHTTPPort  = 8100
	appGRPCPort  = 8200
	appLinesPort = 8300
)

// upstreams is where the callers' Envoy offers the service.
var upstreams = map[string]string{HTTP: "127.0.0.1:9001", GRPC: "127.0.0.1:9002", TCP: "127.0.0.1:9003"}

// servicePorts are the service's ports by protocol.
var servicePorts = map[string]struct {
	name, protocol string
	number, target int
}{
	HTTP: {"http", "http", 8080, appHTTPPort},
	GRPC: {"rpc", "grpc", 8081, appGRPCPort},
	TCP:  {"lines", "tcp", 9000, appLinesPort},
}

// cast is what runs in the regions beside nodes and agents.
func cast() []*proxy {
	return []*proxy{
		{name: "gw-us-1", region: "us", gateway: true},
		{name: "gw-us-2", region: "us", gateway: true},
		{name: "gw-ap-1", region: "ap", gateway: true},
		{name: "cart-us-1", region: "us", service: "cart"},
		{name: "cart-us-2", region: "us", service: "cart"},
		{name: "cart-us-3", region: "us", service: "cart"},
		{name: "cart-ap-1", region: "ap", service: "cart"},
		{name: "cart-ap-2", region: "ap", service: "cart"},
		{name: "web-eu", region: "eu"},
	}
}

// raise starts everything and waits until it works.
func (w *world) raise(ctx context.Context) error {
	if err := w.raiseFederation(ctx); err != nil {
		return fmt.Errorf("raise the federation: %w", err)
	}
	if err := w.joinSites(ctx); err != nil {
		return fmt.Errorf("join the sites: %w", err)
	}
	for _, p := range cast() {
		s := w.sites[p.region]
		p.index = len(s.proxies) + 1
		p.health = "127.0.0.1:" + strconv.Itoa(healthPort+p.index)
		s.proxies = append(s.proxies, p)
		if err := w.introduce(ctx, p); err != nil {
			return fmt.Errorf("start %s: %w", p.name, err)
		}
	}
	return fleet.Eventually(ctx, time.Minute, func() error { return w.whole(ctx) })
}

func (w *world) raiseFederation(ctx context.Context) error {
	text, err := w.cli(ctx, order[0], append([]string{
		"server", "init", "--federation", federationName, "-o", "json",
		"--operator-token-file", w.operatorTokenFile(), "--root-key-file", filepath.Join(w.dir, "root.key"),
	}, w.nodeArgs(order[0])...)...)
	if err != nil {
		return err
	}
	var made struct {
		NodeTokens []string `json:"nodeTokens"`
	}
	if err := json.Unmarshal([]byte(text), &made); err != nil {
		return fmt.Errorf("output of server init: %w", err)
	}
	for i, name := range order {
		var join []string
		if i > 0 {
			join = []string{"--join", made.NodeTokens[i-1]}
		}
		if err := w.startNode(name, join...); err != nil {
			return err
		}
		if err := fleet.Eventually(ctx, 30*time.Second, func() error { return w.ready(ctx, name, nodeHealth) }); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) nodeArgs(region string) []string {
	return []string{
		"--data-dir", w.data("node-" + region), "--name", "node-" + region, "--region", region,
		"--listen", w.at(region, grpcPort), "--rest-listen", w.at(region, restPort),
		"--raft-listen", w.at(region, raftPort), "--gossip-listen", w.at(region, gossipPort), "--health-listen", nodeHealth,
	}
}

func (w *world) startNode(region string, extra ...string) error {
	return w.start(region, "node-"+region, nil, append(append([]string{w.hanse, "server"}, w.nodeArgs(region)...), extra...)...)
}

func (w *world) startAgent(region string, extra ...string) error {
	return w.start(region, "agent-"+region, nil, append([]string{
		w.hanse, "agent", "--data-dir", w.data("agent-" + region), "--cluster", region, "--region", region,
		"--listen", w.at(region, sitePort), "--health-listen", agentHealth,
	}, extra...)...)
}

func (w *world) joinSites(ctx context.Context) error {
	for _, name := range order {
		token, err := w.cli(ctx, order[0], "token", "create", "cluster", name, "--export", "shop")
		if err != nil {
			return err
		}
		if err := w.startAgent(name, "--token", strings.TrimSpace(token)); err != nil {
			return err
		}
		if err := fleet.Eventually(ctx, 30*time.Second, func() error { return w.ready(ctx, name, agentHealth) }); err != nil {
			return err
		}
	}
	path := filepath.Join(w.dir, "policies.yaml")
	if err := os.WriteFile(path, []byte(policies), 0o644); err != nil {
		return err
	}
	_, err := w.cli(ctx, order[0], "apply", "-f", path)
	return err
}

// introduce gets a proxy its token and starts it.
func (w *world) introduce(ctx context.Context, p *proxy) error {
	args := []string{"token", "create", "workload", "--data-dir", w.data("agent-" + p.region)}
	switch {
	case p.gateway:
		args = append(args, "--gateway")
	case p.service == "":
		args = append(args, "--namespace", "shop", "--service-account", "web")
	default:
		args = append(args, "--namespace", "shop", "--service-account", p.service, "--service", p.service)
	}
	text, err := w.cli(ctx, p.region, args...)
	if err != nil {
		return err
	}
	p.token = strings.TrimSpace(text)
	if err := w.startApp(p); err != nil {
		return err
	}
	return w.startProxy(p)
}

func (w *world) startProxy(p *proxy) error {
	argv := []string{
		w.hanse, "proxy", "--data-dir", w.data(p.name), "--name", p.name, "--token", p.token, "--envoy", w.envoy, "--concurrency", "1",
		"--health-listen", p.health, "--address", w.sites[p.region].region.Address.String(), "--locality", p.region + "/" + p.region + "-a",
	}
	switch {
	case p.gateway:
		argv = append(argv, "--gateway", "--gateway-listen", w.at(p.region, gatewayPort+p.index))
	case p.service == "":
		for _, protocol := range Protocols {
			argv = append(argv, "--upstream", fmt.Sprintf("service=cart,port=%s,bind=%s", servicePorts[protocol].name, upstreams[protocol]))
		}
	default:
		argv = append(argv, "--service", p.service, "--export", "--inbound-port", strconv.Itoa(inboundPort+p.index),
			"--check", "kind=http,target="+p.app(HTTP)+",path=/healthz,interval=250ms,timeout=500ms")
		for _, protocol := range Protocols {
			sp := servicePorts[protocol]
			argv = append(argv, "--port", fmt.Sprintf("name=%s,number=%d,protocol=%s,target=%s", sp.name, sp.number, sp.protocol, p.app(protocol)))
		}
	}
	return w.start(p.region, p.name, nil, argv...)
}

// app is where the application behind a proxy serves a protocol.
func (p *proxy) app(protocol string) string {
	return "127.0.0.1:" + strconv.Itoa(servicePorts[protocol].target+p.index)
}

func (w *world) startApp(p *proxy) error {
	if p.service == "" {
		return nil
	}
	return w.start(p.region, "app-"+p.name, []string{roleVariable + "=app"}, w.self, "-service", p.service, "-instance", p.name, "-region", p.region,
		"-http", p.app(HTTP), "-grpc", p.app(GRPC), "-tcp", p.app(TCP))
}

// makeCalls makes the calls of a pass, and ends those of the pass before.
func (w *world) makeCalls(protocols []string) error {
	for _, protocol := range w.protocols {
		w.fleet.Kill("load-" + protocol)
	}
	w.protocols = protocols
	for _, protocol := range protocols {
		if err := w.startLoad(protocol); err != nil {
			return err
		}
	}
	return nil
}

// startLoad makes a protocol's calls from the callers' region, until the end.
func (w *world) startLoad(protocol string) error {
	record := &load.Record{}
	w.records[protocol] = record
	socket := filepath.Join(w.dir, protocol+".sock")
	if err := collect(socket, record); err != nil {
		return err
	}
	return w.start(order[0], "load-"+protocol, []string{roleVariable + "=load"}, w.self, protocol, upstreams[protocol], socket)
}
