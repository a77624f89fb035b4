package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/cluster-agent/dns/serve"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/internal/run"
)

// dnsOptions are the flags of "hanse dns".
type dnsOptions struct {
	log          logOptions
	kube         kubeAccess
	listen       string
	healthListen string
	drainTime    time.Duration
}

func newDNSCommand() *cobra.Command {
	var o dnsOptions
	cmd := &cobra.Command{
		Use:   "dns",
		Short: "Answer for clusterset.local in a Kubernetes cluster",
		Long: `The DNS server answers the names of the Multi-Cluster Services API from the ServiceImports and EndpointSlices of its own cluster's API
server. While the API server is away, the last answers stay.

  SERVICE.NAMESPACE.svc.clusterset.local                    A and AAAA: the ClusterSetIP, or a headless service's ready endpoints
  HOSTNAME.CLUSTER.SERVICE.NAMESPACE.svc.clusterset.local   A and AAAA: one endpoint of a headless service
  _PORT._PROTOCOL.SERVICE.NAMESPACE.svc.clusterset.local    SRV
  dns-version.clusterset.local                              TXT

The cluster's own DNS asks it for these names. With CoreDNS, that is one more block in the ConfigMap coredns of kube-system, where ADDRESS
is the ClusterIP of the Service hanse-dns (kubectl -n hanse-system get service hanse-dns):

  clusterset.local:53 {
      errors
      forward . ADDRESS
  }

CoreDNS can answer for itself instead, from the same objects: 'multicluster clusterset.local' within its block 'kubernetes cluster.local
clusterset.local', and leave to list and watch ServiceImports.

Ports: 8053 queries (UDP, TCP), 8054 health and metrics (loopback).`,
		Example: `  hanse dns                                                         # in a pod
  hanse dns --kubeconfig admin.kubeconfig --listen 127.0.0.1:5353   # elsewhere
  dig @127.0.0.1 -p 5353 payments.shop.svc.clusterset.local`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runRole(cmd, o.validate, o.log, func(ctx context.Context, logger *slog.Logger) error { return runDNS(ctx, o, logger) })
		},
	}
	f := cmd.Flags()
	o.log.bind(f)
	o.kube.bind(f)
	f.StringVar(&o.listen, "listen", ":8053", "address to listen on for queries, over UDP and TCP")
	f.StringVar(&o.healthListen, "health-listen", "127.0.0.1:8054", "address for /healthz, /readyz and /metrics (plain HTTP)")
	f.DurationVar(&o.drainTime, "drain-time", 5*time.Second, "how long queries are answered after the process was told to stop: callers learn of that later")
	return cmd
}

// maxDNSDrain keeps a mistyped drain from holding a pod up.
const maxDNSDrain = 10 * time.Minute

func (o *dnsOptions) validate() error {
	if _, _, err := net.SplitHostPort(o.listen); err != nil {
		return usageError("--listen %q is not host:port", o.listen)
	}
	if o.drainTime < 0 || o.drainTime > maxDNSDrain {
		return usageError("--drain-time %s is not from 0s to %s", o.drainTime, maxDNSDrain)
	}
	return nil
}

// runDNS wires the DNS server. It answers from the first moment on: SERVFAIL, which callers try again, until it knows what there is.
func runDNS(ctx context.Context, o dnsOptions, logger *slog.Logger) error {
	config, err := o.kube.config("dns", logger)
	if err != nil {
		return err
	}
	core, mcs, err := kubeClients(config)
	if err != nil {
		return err
	}
	udp, tcp, err := listenDNS(o.listen)
	if err != nil {
		return err
	}
	health, err := listen("health-listen", o.healthListen)
	if err != nil {
		return err
	}
	registry := newRegistry()
	server := serve.New(serve.Config{
		Client: core, MCS: mcs, UDP: []net.PacketConn{udp}, TCP: []net.Listener{tcp}, Answered: countAnswers(registry), Logger: logger,
	})
	measureDNS(registry, server.Stats)
	var draining atomic.Bool
	ready := func() []string {
		if draining.Load() {
			return []string{"draining"}
		}
		return server.NotReady()
	}
	logger.Info("DNS server starts", "listen", tcp.Addr().String(), "api_server", config.Host)
	return run.Group(context.WithoutCancel(ctx),
		server.Run,
		func(ctx context.Context) error {
			return serveHTTP(ctx, health, healthHandler(ready, registry, server.Notes))
		},
		func(life context.Context) error { return lameDuck(ctx, life, o.drainTime, &draining, clock.Real{}) },
	)
}

// lameDuck ends the server some time after it was told to stop: who has its address learns of that only later.
func lameDuck(told, life context.Context, patience time.Duration, draining *atomic.Bool, c clock.Clock) error {
	select {
	case <-life.Done():
		return life.Err()
	case <-told.Done():
	}
	draining.Store(true)
	select {
	case <-life.Done():
		return life.Err()
	case <-c.After(patience):
		return told.Err()
	}
}

// listenDNS opens both sockets at one port, also when the system chooses it.
func listenDNS(address string) (net.PacketConn, net.Listener, error) {
	tcp, err := listen("listen", address)
	if err != nil {
		return nil, nil, err
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		_ = tcp.Close()
		return nil, nil, fmt.Errorf("--listen %s: %w", address, err)
	}
	return udp, tcp, nil
}

// measureDNS registers what an operator watches of a DNS server.
func measureDNS(r *prometheus.Registry, stats func() serve.Stats) {
	gauge(r, "dns_services", "services that have a name", func() float64 { return float64(stats().Services) })
	gauge(r, "dns_tcp_connections", "connections of callers over TCP", func() float64 { return float64(stats().Connections) })
	gauge(r, "dns_failing_watches", "kinds that cannot be read from the API server at the moment; the last answers stay", func() float64 {
		return float64(stats().Failing)
	})
}
