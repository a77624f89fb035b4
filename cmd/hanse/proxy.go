package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/bootstrap"
	"github.com/hanse-mesh/hanse/gateway/enroll"
	"github.com/hanse-mesh/hanse/gateway/envoy"
	"github.com/hanse-mesh/hanse/gateway/relay"
	"github.com/hanse-mesh/hanse/gateway/serve"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/internal/run"
	"github.com/hanse-mesh/hanse/trust/identity"
)

func newProxyCommand() *cobra.Command {
	var o proxyOptions
	cmd := &cobra.Command{
		Use:   "proxy",
		Short: "Run beside an Envoy: a workload's or a gateway's",
		Long: `The proxy keeps the workload's private key, gets its certificate from the site's agent, registers and checks the workload, relays and
caches the Envoy's configuration, and starts and drains the Envoy. Without the agent it goes on with what it has, also after a
restart; the Envoy goes on without the proxy.

A workload whose check fails is out of rotation at once, and back as soon as its check passes. One that fails again and again within
a minute flaps: its check must then pass for a while first, from 1s after its second failure to 30s.

In a pod of Kubernetes it proves itself by the pod's service account in place of a token: --service-account-token names the file of a
projected token with audience hanse, --site-roots the one of the site's roots. The workload is named after the pod, and may serve what the
pod is an endpoint of. Service account gateway of hanse-system runs gateways, service account egress the egress: for the whole cluster in
hanse-system, else for its own namespace.

Ports: 7721 mutual TLS from other Envoys, 7722 gateway, 7720 health and metrics (loopback).`,
		Example: `  hanse token create workload --namespace shop --service-account cart --service cart   # where the agent runs
  hanse proxy --token hanse-workload-1.… --name cart-1 --locality eu/eu-a --address 10.0.0.7 \
    --service cart --port name=http,number=8080,protocol=http,target=127.0.0.1:8080 \
    --check kind=http,target=127.0.0.1:8080,path=/healthz --export \
    --upstream service=payments,port=http,bind=127.0.0.1:9001
  hanse proxy --token hanse-workload-1.… --name gw-1 --locality eu/eu-a --address 10.0.0.8 --gateway
  hanse proxy --service-account-token /var/run/hanse/identity/token --site-roots /var/run/hanse/identity/roots.pem --address 10.1.0.9 --egress`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runRole(cmd, o.validate, o.log, func(ctx context.Context, logger *slog.Logger) error { return runProxy(ctx, o, logger) })
		},
	}
	o.bind(cmd.Flags())
	cmd.AddCommand(newDrainCommand(), newUndrainCommand())
	return cmd
}

// proxyParts is a proxy taken apart.
type proxyParts struct {
	opts     proxyOptions
	clock    clock.Clock
	logger   *slog.Logger
	registry *prometheus.Registry

	identity *identity.Source
	// agent is the address of the site's agent.
	agent    string
	client   *enroll.Client
	relay    *relay.Relay
	cache    *serve.Cache
	xds      *serve.Server
	process  *envoy.Process
	admin    *envoy.Admin
	workload model.Workload
	state    *proxyState
	acks     *acknowledging
}

// The files of a proxy's data folder.
const (
	proxyKeyFile   = "key.pem"
	proxyChainFile = "svid.pem"
	proxyRootsFile = "roots.pem"
	xdsSocketName  = "xds.sock"
	envoyFolder    = "envoy"
	siteTokenFile  = "token"
	// selfClass is the one xDS client that a proxy has: its Envoy.
	selfClass = "self"
)

// runProxy wires a proxy: identity first, then the cached configuration, then Envoy, and last the registration.
func runProxy(ctx context.Context, o proxyOptions, logger *slog.Logger) error {
	binary, err := envoy.Find(o.envoy)
	if err != nil {
		return err
	}
	// The Envoy's configuration names files in it: they must be the same ones wherever the Envoy is started.
	if o.dataDir, err = filepath.Abs(o.dataDir); err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	if err := openDataDir(o.dataDir); err != nil {
		return err
	}
	if o.inPod() {
		if err := o.nameByPod(); err != nil {
			return err
		}
	}
	health, err := listen("health-listen", o.healthListen)
	if err != nil {
		return err
	}
	p := &proxyParts{opts: o, clock: clock.Real{}, logger: logger, registry: newRegistry(), state: newProxyState()}
	p.recallDrain()
	// Health is served from the start: while the proxy waits for its certificate, it says so.
	healthDone := make(chan error, 1)
	healthCtx, stopHealth := context.WithCancel(context.WithoutCancel(ctx))
	go func() { healthDone <- serveHTTP(healthCtx, health, healthHandler(p.notReady, p.registry)) }()
	defer func() { stopHealth(); <-healthDone }()

	if err := p.enrol(ctx); err != nil {
		return err
	}
	if err := p.assemble(binary); err != nil {
		return err
	}
	return p.live(ctx)
}

// enrol gets the certificate: from the disk, or with the token.
func (p *proxyParts) enrol(ctx context.Context) error {
	var err error
	p.identity = identity.NewSource(p.clock)
	if p.client, err = p.newEnrolment(); err != nil {
		return err
	}
	p.state.missing("certificate", "no certificate yet")
	if err := p.client.Ensure(ctx); err != nil {
		return err
	}
	p.state.missing("certificate", "")
	namespace, account, err := workloadIdentity(p.identity.ID())
	if err != nil {
		return err
	}
	if p.workload, err = p.opts.workload(namespace); err != nil {
		return err
	}
	p.workload.ServiceAccount = account
	return nil
}

// assemble puts the parts between agent and Envoy together.
func (p *proxyParts) assemble(binary string) error {
	dir := filepath.Join(p.opts.dataDir, envoyFolder)
	xdsSocket, adminSocket := filepath.Join(p.opts.dataDir, xdsSocketName), filepath.Join(dir, "admin.sock")
	config, err := bootstrap.Build(bootstrap.Config{
		NodeID: p.opts.name, Cluster: p.identity.ID().TrustDomain().Name(),
		XDSSocket: xdsSocket, AdminSocket: adminSocket, Locality: p.workload.Locality,
	})
	if err != nil {
		return err
	}
	p.cache = serve.NewCache()
	p.xds = serve.NewServer(context.Background(), p.cache, serve.Config{
		ClassOf: func(context.Context) (string, error) { return selfClass, nil },
		Events:  envoyEvents{p}, Clock: p.clock, Logger: p.logger,
	})
	p.relay = relay.New(relay.Config{Connect: p.connect, Dir: p.opts.dataDir, Sink: p.state.configured, Clock: p.clock, Logger: p.logger})
	p.acks = &acknowledging{
		wake: make(chan struct{}, 1), following: p.state.following,
		settled: func() bool { return p.cache.Settled(selfClass) }, tell: p.client.SetAcknowledged,
	}
	p.state.onChange = func(r configuration) {
		p.cache.Set(selfClass, r.resources())
		p.acks.poke()
	}
	p.process = envoy.New(envoy.Config{
		Binary: binary, Dir: dir, Bootstrap: config, AdminSocket: adminSocket, LogPath: filepath.Join(dir, "envoy.log"),
		// Zero would be the default of the package, not what the operator asked for.
		Concurrency: p.opts.concurrency, DrainTime: max(p.opts.drainTime, time.Millisecond), Clock: p.clock, Logger: p.logger,
	})
	p.admin = p.process.Admin()
	p.measure()
	return nil
}

// live runs until ctx ends, then drains: the site is told first, the Envoy stops last.
func (p *proxyParts) live(ctx context.Context) error {
	socket, err := listenSocket(filepath.Join(p.opts.dataDir, xdsSocketName))
	if err != nil {
		return err
	}
	admin, err := listenSocket(filepath.Join(p.opts.dataDir, adminSocketName))
	if err != nil {
		return err
	}
	xdsServer := grpc.NewServer(grpc.MaxSendMsgSize(maxGRPCMessage), grpc.MaxRecvMsgSize(maxGRPCMessage))
	p.xds.Register(xdsServer)
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	p.logger.Info("proxy starts", "workload", p.opts.name, "identity", p.identity.ID().String())
	err = run.Group(life,
		func(ctx context.Context) error { return serveGRPC(ctx, xdsServer, socket) },
		func(ctx context.Context) error { return serveHTTP(ctx, admin, p.adminHandler()) },
		p.relay.Run,
		p.process.Run,
		p.watchEnvoy,
		p.runCheck,
		p.acks.run,
		p.client.RunRenewal,
		func(ctx context.Context) error {
			// After a restart the site still holds the workload as it was: saying "not ready" for a moment would move its callers.
			p.waitSettled(ctx)
			return p.client.RunAttach(ctx, p.workload)
		},
		func(life context.Context) error {
			select {
			case <-life.Done():
				return life.Err()
			case <-ctx.Done():
			}
			p.leave()
			end()
			return nil
		},
	)
	if life.Err() != nil && (errors.Is(err, context.Canceled) || err == nil) {
		return nil
	}
	return err
}

// settlePatience is how long the registration waits for the workload's first check and the Envoy.
const settlePatience = 3 * time.Second

func (p *proxyParts) waitSettled(ctx context.Context) {
	enough := p.clock.After(settlePatience)
	for !p.state.settled(p.relay.Cached()) {
		select {
		case <-ctx.Done():
			return
		case <-enough:
			return
		case <-p.clock.After(10 * time.Millisecond):
		}
	}
}
