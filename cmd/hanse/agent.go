package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/source/vm"
	"github.com/hanse-mesh/hanse/internal/run"
	"github.com/hanse-mesh/hanse/trust/identity"
	"github.com/hanse-mesh/hanse/trust/token"
)

// agentOptions are the flags of "hanse agent".
type agentOptions struct {
	log          logOptions
	dataDir      string
	token        string
	cluster      string
	region       string
	site         endpoint
	healthListen string
	servers      []string
	svidTTL      time.Duration
	withdrawTTL  time.Duration
	declarable   []string
	tokenFile    string
	kube         kubeOptions
	// gateways are what kube's flags say of the gateways' addresses; nil when they say nothing.
	gateways []model.Gateway
}

func newAgentCommand() *cobra.Command {
	var o agentOptions
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run the agent of a site",
		Long: `The agent joins its site to the federation, outbound only, with a one-time token. It is the site's CA, knows its workloads, publishes
what they export, imports what others export, and configures the site's Envoys. It keeps its state on disk and goes on without the
federation, also after a restart.

In a Kubernetes cluster (--kubernetes) it reads Services, EndpointSlices and ServiceExports from the cluster's own API server, writes
ServiceImports with their derived Services there, and keeps its identity in Secrets. One agent of a cluster works at a time.

Ports: 7710 proxies of the site (mutual TLS), 7711 health and metrics (loopback).`,
		Example: `  hanse token create cluster eu --export shop          # on an operator's machine
  hanse agent --cluster eu --region eu --token hanse-cluster-1.…`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runRole(cmd, o.validate, o.log, func(ctx context.Context, logger *slog.Logger) error { return runAgent(ctx, o, logger) })
		},
	}
	f := cmd.Flags()
	o.log.bind(f)
	o.site.flag = ""
	f.StringVar(&o.dataDir, "data-dir", "/var/lib/hanse/agent", "folder for identity, CA, registrations and cache")
	f.StringVar(&o.token, "token", "", "join token; needed once")
	f.StringVar(&o.tokenFile, "token-file", "", "file with the join token; it may come later, and may go once the agent has joined")
	f.StringVar(&o.cluster, "cluster", "", "name of this cluster or site in the federation")
	f.StringVar(&o.region, "region", "", "region of the site")
	f.StringVar(&o.site.listen, "listen", "0.0.0.0:7710", "address to listen on for the site's proxies")
	f.StringVar(&o.site.advertise, "advertise", "", "host:port at which the site's proxies reach the agent (default: the listen address, or this host's name)")
	f.StringVar(&o.healthListen, "health-listen", "127.0.0.1:7711", "address for /healthz, /readyz and /metrics (plain HTTP)")
	f.StringSliceVar(&o.servers, "server", nil, "gRPC address host:port of federation nodes (default: as the federation tells)")
	f.DurationVar(&o.svidTTL, "svid-ttl", 24*time.Hour, "life of workload certificates; they are renewed from a third of it on")
	f.DurationVar(&o.withdrawTTL, "withdraw-ttl", 10*time.Second, "how long a workload stays after its proxy vanished")
	f.StringSliceVar(&o.declarable, "api-workloads", nil, "namespaces in which operators of the federation may register workloads without a proxy; * is all (default: none)")
	f.BoolVar(&o.kube.enabled, "kubernetes", false, "be the agent of the Kubernetes cluster that this pod runs in")
	f.StringVar(&o.kube.kubeconfig, "kubeconfig", "", "file with the way to the API server (default: the pod's own)")
	f.StringSliceVar(&o.kube.gateways, "gateway-address", nil, "host or host:port at which other clusters reach the gateways (default: what Service hanse-gateway says)")
	cmd.AddCommand(newAgentStatusCommand(), newAgentConfirmCommand(), newAgentExplainCommand())
	return cmd
}

func (o *agentOptions) validate() error {
	if err := model.ValidateLabel("--cluster", o.cluster); err != nil {
		return usageError("%w", err)
	}
	if err := model.ValidateLabel("--region", o.region); err != nil {
		return usageError("%w", err)
	}
	if _, _, err := net.SplitHostPort(o.site.listen); err != nil {
		return usageError("--listen %q is not host:port", o.site.listen)
	}
	for _, namespace := range o.declarable {
		if err := model.ValidateLabel("--api-workloads", namespace); err != nil && namespace != vm.AnyNamespace {
			return usageError("%w", err)
		}
	}
	if o.token != "" && o.tokenFile != "" {
		return usageError("--token and --token-file are both given: give one")
	}
	var err error
	if o.gateways, err = o.kube.validate(o.region); err != nil {
		return err
	}
	if o.svidTTL < time.Minute {
		return usageError("--svid-ttl %s is too short: give at least 1m", o.svidTTL)
	}
	return nil
}

// runAgent opens the agent's ports, so that whoever looks is told what it waits for, and lets it live.
func runAgent(ctx context.Context, o agentOptions, logger *slog.Logger) error {
	if err := openDataDir(o.dataDir); err != nil {
		return err
	}
	siteListener, err := listen("listen", o.site.listen)
	if err != nil {
		return err
	}
	health, err := listen("health-listen", o.healthListen)
	if err != nil {
		return err
	}
	a := &agentParts{opts: o, clock: machineClock(), logger: logger, registry: newRegistry()}
	a.waitFor("it has just started")
	if o.kube.enabled {
		if a.kube, err = newKubeParts(o, a.clock, logger); err != nil {
			return err
		}
	}
	return run.Group(ctx,
		func(ctx context.Context) error {
			return serveHTTP(ctx, health, healthHandler(a.notReady, a.registry, a.notes))
		},
		func(ctx context.Context) error { return a.live(ctx, siteListener) },
	)
}

// live wires a site's agent, from the disk outwards: what is known is served to the site before the federation answers.
func (a *agentParts) live(ctx context.Context, siteListener net.Listener) error {
	if a.kube == nil {
		return a.work(ctx, siteListener)
	}
	if err := a.kube.lease.acquire(ctx, a.waitFor); err != nil {
		return err
	}
	return run.Group(ctx, a.kube.lease.keep, func(ctx context.Context) error {
		if err := a.restore(ctx); err != nil {
			return err
		}
		defer a.kube.secrets.flush(ctx)
		return a.work(ctx, siteListener)
	})
}

// work is an agent's life once it may publish.
func (a *agentParts) work(ctx context.Context, siteListener net.Listener) error {
	if err := a.becomeMember(ctx); err != nil {
		return err
	}
	if err := a.openSite(ctx); err != nil {
		return err
	}
	if err := a.assemble(ctx); err != nil {
		return err
	}
	admin, err := listenSocket(filepath.Join(a.opts.dataDir, adminSocketName))
	if err != nil {
		return err
	}
	a.assembled.Store(true)
	a.logger.Info("agent starts", "cluster", a.opts.cluster, "trust_domain", a.member.TrustDomain, "site", a.siteAddress)
	tasks := []func(context.Context) error{
		a.runSource,
		a.core.run,
		a.uplink.Run,
		a.prober.Run,
		a.publisher.Run,
		a.renewMember,
		a.renewSite,
		func(ctx context.Context) error { return a.siteServer.serve(ctx, siteListener) },
		func(ctx context.Context) error { return serveHTTP(ctx, admin, a.adminHandler()) },
	}
	if a.kube != nil {
		tasks = append(tasks, a.kube.secrets.run, a.kube.applier.Run, a.kube.importer.run, a.publishTrust)
	}
	return run.Group(ctx, tasks...)
}

// becomeMember loads who this agent is, or joins with its token.
func (a *agentParts) becomeMember(ctx context.Context) error {
	member, err := loadMember(a.opts.dataDir, a.opts.cluster)
	if errors.Is(err, fs.ErrNotExist) {
		member, err = a.join(ctx)
	}
	if err != nil {
		return err
	}
	a.member = member
	a.identity = identity.NewSource(a.clock)
	if err := loadCredentials(a.identity, filepath.Join(a.opts.dataDir, agentKeyFile), filepath.Join(a.opts.dataDir, agentChainFile)); err != nil {
		return err
	}
	c, _ := a.identity.Get()
	a.key = c.Key
	return nil
}

func (a *agentParts) join(ctx context.Context) (member, error) {
	text, err := a.joinToken(ctx)
	if err != nil {
		return member{}, err
	}
	if text == "" {
		return member{}, usageError("--data-dir %s is empty: give --token, made by 'hanse token create cluster %s'", a.opts.dataDir, a.opts.cluster)
	}
	t, err := token.Parse(text)
	if err != nil {
		return member{}, usageError("--token: %w", err)
	}
	say := func(err error) {
		a.waitFor("the federation has not let this cluster in yet: " + err.Error())
		a.logger.Warn("waiting for the federation to let this cluster in", "error", err)
	}
	var joined member
	err = retryUnavailable(ctx, say, func() error {
		var attempt error
		joined, attempt = joinCluster(ctx, a.opts, t, a.clock.Now(), a.keepKeys)
		return attempt
	})
	return joined, err
}

// joinToken is the token that was given, or what stands in the file for it as soon as there is one.
func (a *agentParts) joinToken(ctx context.Context) (string, error) {
	for a.opts.tokenFile != "" {
		data, err := os.ReadFile(a.opts.tokenFile)
		if text := strings.TrimSpace(string(data)); err == nil && text != "" {
			return text, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", usageError("--token-file: %w", err)
		}
		a.waitFor("--token-file " + a.opts.tokenFile + " has no join token yet: make one with 'hanse token create cluster " + a.opts.cluster + "'")
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-a.clock.After(time.Second):
		}
	}
	return a.opts.token, nil
}

// keepKeys returns when the keys in the data folder would outlive it: before the join token is used, and before the site's CA signs.
func (a *agentParts) keepKeys(ctx context.Context) error {
	if a.kube == nil {
		return nil
	}
	return a.kube.secrets.keepUntilDone(ctx, a.waitFor)
}

// waitFor notes what the agent waits for before it can serve.
func (a *agentParts) waitFor(what string) { a.waiting.Store(&what) }

// listenSocket opens an admin socket that only this user may use. A socket left by a killed process is replaced.
func listenSocket(path string) (net.Listener, error) {
	if len(path) > 107 {
		return nil, fmt.Errorf("the path of the socket %s is longer than 107 bytes: choose a shorter --data-dir", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, err
	}
	return ownUserOnly{l}, nil
}

// pinOf is what a token carries of a root certificate.
func pinOf(root []byte) []byte {
	sum := sha256.Sum256(root)
	return sum[:]
}
