package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/e2e/fleet"
)

// initFederation makes the federation at the first region's node and returns the tokens that add the other two.
func (w *world) initFederation(ctx context.Context) ([]string, error) {
	first := w.regions[w.order[0]]
	args := append([]string{
		"server", "init", "--federation", federationName,
		"--operator-token-file", w.operatorTokenFile(), "--root-key-file", filepath.Join(w.dir, "root.key"), "-o", "json",
	}, w.serverArgs(first)...)
	text, err := w.cli(ctx, args...)
	if err != nil {
		return nil, err
	}
	var made struct {
		NodeTokens []string `json:"nodeTokens"`
	}
	if err := json.Unmarshal([]byte(text), &made); err != nil {
		return nil, fmt.Errorf("output of server init: %w", err)
	}
	return made.NodeTokens, nil
}

func (w *world) serverArgs(r *region) []string {
	return []string{
		"--data-dir", w.data("node-" + r.name), "--name", "node-" + r.name, "--region", r.name,
		"--listen", r.grpc, "--rest-listen", r.rest, "--raft-listen", r.raft, "--gossip-listen", r.gossip,
		"--health-listen", r.nodeHealth,
	}
}

// startNode starts a region's federation node; token is empty for a node that is a member already.
func (w *world) startNode(r *region, token string) error {
	argv := append([]string{w.hanse, "server"}, w.serverArgs(r)...)
	if token != "" {
		argv = append(argv, "--join", token)
	}
	return w.start("node-"+r.name, argv...)
}

// startAgent starts a region's agent; token is empty for a cluster that is a member already.
func (w *world) startAgent(r *region, token string) error {
	argv := []string{
		w.hanse, "agent", "--data-dir", w.data("agent-" + r.name), "--cluster", r.name, "--region", r.name,
		"--listen", r.site, "--health-listen", r.agentHealth,
	}
	if token != "" {
		argv = append(argv, "--token", token)
	}
	return w.start("agent-"+r.name, argv...)
}

// workloadToken asks a site's agent for a token.
func (w *world) workloadToken(ctx context.Context, region string, args ...string) (string, error) {
	text, err := w.cli(ctx, append([]string{"token", "create", "workload", "--data-dir", w.data("agent-" + region)}, args...)...)
	return strings.TrimSpace(text), err
}

func (w *world) startGateway(ctx context.Context, r *region) error {
	token, err := w.workloadToken(ctx, r.name, "--gateway")
	if err != nil {
		return err
	}
	return w.startProxy("gateway-"+r.name, r.gatewayHealth, token, []string{
		"--gateway", "--gateway-listen", r.gateway, "--locality", r.name + "/" + r.name + "-a",
	})
}

func (w *world) startProxy(name, health, token string, args []string) error {
	argv := append([]string{
		w.hanse, "proxy", "--data-dir", w.data(name), "--name", name, "--token", token,
		"--envoy", w.envoy, "--concurrency", "1", "--health-listen", health, "--address", "127.0.0.1",
	}, args...)
	return w.start(name, argv...)
}

// define gives a workload its ports and keeps it.
func (w *world) define(l *workload) *workload {
	a := w.ports.addresses(4)
	l.http, l.tcp, l.health = a[0], a[1], a[2]
	_, port, _ := net.SplitHostPort(a[3])
	l.inbound, _ = strconv.Atoi(port)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.workloads[l.name] = l
	return l
}

// startWorkload starts the application, if it serves anything, and its proxy; the first time it asks for a token.
func (w *world) startWorkload(ctx context.Context, l *workload) error {
	if l.tokenText == "" {
		args := []string{"--namespace", l.namespace, "--service-account", l.account()}
		if l.service != "" {
			args = append(args, "--service", l.service)
		}
		token, err := w.workloadToken(ctx, l.region, args...)
		if err != nil {
			return err
		}
		l.tokenText = token
	}
	if err := w.startApp(l); err != nil {
		return err
	}
	return w.startProxy(l.name, l.health, l.tokenText, l.proxyArgs())
}

func (w *world) startApp(l *workload) error {
	if l.service == "" {
		return nil
	}
	return w.start("app-"+l.name, w.self, "app",
		"-service", l.service, "-instance", l.name, "-region", l.region, "-http", l.http, "-tcp", l.tcp)
}

func (l *workload) account() string {
	if l.serviceAccount != "" {
		return l.serviceAccount
	}
	if l.service != "" {
		return l.service
	}
	return "web"
}

func (l *workload) proxyArgs() []string {
	args := []string{"--locality", l.region + "/" + l.zoneName(), "--inbound-port", strconv.Itoa(l.inbound)}
	if l.service != "" {
		args = append(args, "--service", l.service,
			"--port", fmt.Sprintf("name=http,number=%d,protocol=http,target=%s", httpPort, l.http),
			"--port", fmt.Sprintf("name=lines,number=%d,protocol=tcp,target=%s", tcpPort, l.tcp),
			"--check", "kind=http,target="+l.http+",path=/healthz,interval=250ms,timeout=1s")
	}
	if l.export {
		args = append(args, "--export")
	}
	for _, target := range sortedKeys(l.upstreams) {
		service, port, _ := strings.Cut(target, ":")
		args = append(args, "--upstream", fmt.Sprintf("service=%s,port=%s,bind=%s", service, port, l.upstreams[target]))
	}
	if l.openHTTP != "" {
		args = append(args, "--open-http", l.openHTTP)
	}
	if l.vips {
		args = append(args, "--vips")
	}
	return args
}

func (l *workload) zoneName() string {
	if l.zone != "" {
		return l.zone
	}
	return l.region + "-a"
}

// killWorkload kills an application, its proxy and its Envoy.
func (w *world) killWorkload(l *workload) { w.procs.Kill("app-"+l.name, l.name) }

// regionProcesses are the names of all processes of a region.
func (w *world) regionProcesses(name string) []string {
	out := []string{"node-" + name, "agent-" + name, "gateway-" + name}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.workloads {
		if l.region == name {
			out = append(out, l.name, "app-"+l.name)
		}
	}
	return out
}

func (w *world) regionWorkloads(name string) []*workload {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*workload
	for _, l := range w.workloads {
		if l.region == name {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b *workload) int { return strings.Compare(a.name, b.name) })
	return out
}

// envoyPID reads the process id of the Envoy beside a proxy.
func (w *world) envoyPID(proxy string) (int, error) {
	data, err := os.ReadFile(filepath.Join(w.data(proxy), "envoy", "envoy.pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}

// waitReady waits for a workload's or gateway's proxy.
func (w *world) waitReady(ctx context.Context, patience time.Duration, addresses ...string) error {
	for _, a := range addresses {
		if err := fleet.Eventually(ctx, patience, func() error { return ready(ctx, a) }); err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
