package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net"
	"path/filepath"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/probe"
	"github.com/hanse-mesh/hanse/cluster-agent/source"
	"github.com/hanse-mesh/hanse/cluster-agent/source/vm"
	"github.com/hanse-mesh/hanse/cluster-agent/uplink"
	"github.com/hanse-mesh/hanse/gateway/publish"
	"github.com/hanse-mesh/hanse/gateway/serve"
	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/internal/run"
	"github.com/hanse-mesh/hanse/trust/bundle"
	"github.com/hanse-mesh/hanse/trust/ca"
	"github.com/hanse-mesh/hanse/trust/identity"
	"github.com/hanse-mesh/hanse/trust/records"
)

// agentParts is a site's agent taken apart.
type agentParts struct {
	opts     agentOptions
	clock    clock.Clock
	logger   *slog.Logger
	registry *prometheus.Registry

	// member, identity and key are who the agent is in the federation.
	member   member
	identity *identity.Source
	key      crypto.Signer
	// instance is random: it tells this process from others that run as the same cluster's agent.
	instance string
	// authority and siteIdentity are the site's own CA and the agent's certificate of it.
	authority    *ca.Authority
	siteIdentity *identity.Source
	siteAddress  string

	core       *siteCore
	site       *vm.Site
	siteServer *byCertificate
	cache      *serve.Cache
	publisher  *publish.Publisher
	uplink     *uplink.Uplink
	prober     *probe.Prober
	witness    *witness
	// kube is nil at a site that is no Kubernetes cluster.
	kube *kubeParts

	// waiting is what the agent waits for until it is assembled.
	waiting   atomic.Pointer[string]
	assembled atomic.Bool
}

// assemble puts the parts together: what the disk knows is loaded before anything runs.
func (a *agentParts) assemble(ctx context.Context) error {
	sources := []origin{fromProxies}
	if a.kube != nil {
		sources = append(sources, fromKubernetes)
	}
	a.core = newSiteCore(a.member, a.opts.dataDir, a.clock, a.logger, sources...)
	if err := a.core.load(); err != nil {
		return err
	}
	own, err := a.ownBundle()
	if err != nil {
		return err
	}
	a.witness = newWitness(witnessConfig{
		Servers: a.witnesses, Member: a.core.isMember, Shown: a.shownBy, Introduce: a.core.introduce, Clock: a.clock, Logger: a.logger,
	})
	a.assembleServing(ctx)
	if err := a.assembleUplink(own); err != nil {
		return err
	}
	a.prober = probe.New(probe.Config{Dial: dialGateway, Greet: a.greetGateway, Resolver: net.DefaultResolver, Clock: a.clock, Logger: a.logger})
	a.core.out = coreOutputs{
		kick: a.publisher.Kick, publish: a.uplink.Publish, complete: a.uplink.SetComplete,
		targets: a.prober.SetTargets, points: a.prober.Points, suspect: a.prober.SetSuspicious, status: a.siteStatus,
		node: func() string { return a.uplink.Stats().Address }, resync: a.uplink.Resync, sight: a.witness.ask,
	}
	a.measure()
	if a.kube != nil {
		return a.assembleImporter(ctx)
	}
	return nil
}

// ownBundle makes sure that the site's own bundle is held, and returns it signed.
func (a *agentParts) ownBundle() (model.SignedBundle, error) {
	for _, e := range a.core.bundles.Entries() {
		if e.Bundle.TrustDomain == a.member.TrustDomain {
			return e.Signed, nil
		}
	}
	own := model.Bundle{TrustDomain: a.member.TrustDomain, Sequence: 1, Roots: [][]byte{a.authority.Root()}}
	signed, err := bundle.Sign(own, a.authority.Signer())
	if err != nil {
		return model.SignedBundle{}, err
	}
	return signed, a.core.introduce(signed, false, false)
}

// assembleUplink makes the session with the federation.
func (a *agentParts) assembleUplink(own model.SignedBundle) error {
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return err
	}
	a.instance = hex.EncodeToString(random[:])
	a.uplink = uplink.New(uplink.Config{
		Cluster: a.member.Cluster, Instance: a.instance, AgentVersion: version,
		Servers: a.servers, Dial: a.dialNode,
		Sign:   func(r model.Record) (model.SignedRecord, error) { return records.Sign(a.key, r) },
		Epochs: epochFileStore{filepath.Join(a.opts.dataDir, epochFile)}, Handler: a.core, Answer: a.answer, Clock: a.clock, Logger: a.logger,
	})
	a.uplink.SetBundle(own)
	return nil
}

// dialNode connects to a federation node as this agent.
func (a *agentParts) dialNode(_ context.Context, address string) (*grpc.ClientConn, error) {
	return dialGRPC(address, a.identity.ClientTLS(identity.MatchNode(a.member.Federation, "")))
}

func (a *agentParts) servers() []string { return a.core.servers(a.opts.servers) }

// runSource feeds the core from the site's sources.
func (a *agentParts) runSource(ctx context.Context) error {
	tasks := []func(context.Context) error{
		func(ctx context.Context) error { return a.feed(ctx, fromProxies, a.site) },
		func(ctx context.Context) error {
			for {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-a.prober.Changed():
					a.core.touch()
				}
			}
		},
		a.witness.run,
		a.tellProblems,
	}
	if a.kube != nil {
		tasks = append(tasks, func(ctx context.Context) error { return a.feed(ctx, fromKubernetes, a.kube.source) })
	}
	return run.Group(ctx, tasks...)
}

// feed hands the core what a source tells.
func (a *agentParts) feed(ctx context.Context, from origin, s source.Source) error {
	updates := make(chan source.Update)
	return run.Group(ctx,
		func(ctx context.Context) error { return s.Run(ctx, updates) },
		func(ctx context.Context) error {
			for {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case u := <-updates:
					if from == fromKubernetes && a.opts.gateways != nil {
						u.Gateways = a.opts.gateways
					}
					a.core.source(from, u)
				}
			}
		},
	)
}
