package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/probe"
	"github.com/hanse-mesh/hanse/cluster-agent/source"
	"github.com/hanse-mesh/hanse/cluster-agent/source/vm"
	"github.com/hanse-mesh/hanse/cluster-agent/uplink"
	"github.com/hanse-mesh/hanse/gateway/publish"
	"github.com/hanse-mesh/hanse/gateway/serve"
	"github.com/hanse-mesh/hanse/gateway/xds"
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
	// authority and siteIdentity are the site's own CA and the agent's certificate of it.
	authority    *ca.Authority
	siteIdentity *identity.Source
	siteAddress  string

	core       *siteCore
	site       *vm.Site
	siteServer *grpc.Server
	cache      *serve.Cache
	publisher  *publish.Publisher
	uplink     *uplink.Uplink
	prober     *probe.Prober
	witness    *witness
}

// siteIdentityTTL is how long the agent's certificate towards its site lives; it is signed anew at each start and when it ages.
const siteIdentityTTL = 30 * 24 * time.Hour

// openSite loads or makes the site's CA, the agent's certificate of it, and the registry.
func (a *agentParts) openSite() error {
	var err error
	a.authority, err = ca.Load(a.opts.dataDir, siteCAName)
	if errors.Is(err, fs.ErrNotExist) {
		if a.authority, err = a.newAuthority(); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	a.siteIdentity = identity.NewSource(a.clock)
	if err := a.certifySelf(); err != nil {
		return err
	}
	if a.siteAddress, err = a.opts.site.dialled(); err != nil {
		return err
	}
	a.site, err = vm.New(vm.Config{
		Dir: filepath.Join(a.opts.dataDir, siteFolder), TrustDomain: a.member.TrustDomain, Cluster: a.member.Cluster,
		Federation: a.member.Federation, Signer: siteSigner{a.authority, a.clock}, Peer: sitePeer,
		Clock: a.clock, Logger: a.logger, SVIDTTL: a.opts.svidTTL, WithdrawTTL: a.opts.withdrawTTL,
	})
	return err
}

func (a *agentParts) newAuthority() (*ca.Authority, error) {
	authority, err := ca.NewRoot(ca.RootOptions{
		TrustDomain: a.member.TrustDomain, CommonName: "Hanse CA of " + a.member.TrustDomain, Now: a.clock.Now(),
	})
	if err != nil {
		return nil, err
	}
	return authority, authority.Save(a.opts.dataDir, siteCAName)
}

// certifySelf gives the agent an identity in its own site, by which proxies know it and gateways answer its probes.
func (a *agentParts) certifySelf() error {
	key, err := identity.LoadOrCreateKey(filepath.Join(a.opts.dataDir, "site.key"))
	if err != nil {
		return err
	}
	chain, err := a.authority.Issue(ca.LeafRequest{
		PublicKey:  key.Public(),
		SPIFFEID:   model.WorkloadID(a.member.TrustDomain, model.SystemNamespace, model.AgentServiceAccount),
		CommonName: "agent", TTL: siteIdentityTTL, Now: a.clock.Now(),
	})
	if err != nil {
		return err
	}
	return setCredentials(a.siteIdentity, key, chain)
}

// siteSigner lets the registry sign with the site's CA.
type siteSigner struct {
	authority *ca.Authority
	clock     clock.Clock
}

// Issue signs a CSR that the registry has checked.
func (s siteSigner) Issue(csr []byte, id, commonName string, ttl time.Duration) ([][]byte, time.Time, error) {
	chain, err := s.authority.Issue(ca.LeafRequest{CSR: csr, SPIFFEID: id, CommonName: commonName, TTL: ttl, Now: s.clock.Now()})
	if err != nil {
		return nil, time.Time{}, err
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, time.Time{}, err
	}
	return chain, leaf.NotAfter, nil
}

// Roots are what the site's workloads trust.
func (s siteSigner) Roots() [][]byte { return [][]byte{s.authority.Root()} }

// sitePeer tells which workload calls, from its certificate.
func sitePeer(ctx context.Context) (workloadID, spiffeID string, keyHash []byte, err error) {
	id, cert, err := identity.PeerID(ctx)
	if err != nil {
		return "", "", nil, err
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return cert.Subject.CommonName, id.String(), sum[:], nil
}

// assemble puts the parts together: what the disk knows is loaded before anything runs.
func (a *agentParts) assemble(ctx context.Context) error {
	a.core = newSiteCore(a.member, a.opts.dataDir, a.clock, a.logger)
	if err := a.core.load(); err != nil {
		return err
	}
	own, err := a.ownBundle()
	if err != nil {
		return err
	}
	a.witness = newWitness(a)
	a.assembleServing(ctx)
	if err := a.assembleUplink(own); err != nil {
		return err
	}
	a.prober = probe.New(probe.Config{Handshake: a.handshake, Resolver: net.DefaultResolver, Clock: a.clock, Logger: a.logger})
	a.core.out = coreOutputs{
		kick: a.publisher.Kick, publish: a.uplink.Publish, complete: a.uplink.SetComplete,
		targets: a.prober.SetTargets, points: a.prober.Points, sight: a.witness.ask, status: a.siteStatus,
	}
	a.measure()
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

// assembleServing makes the xDS server of the site's proxies.
func (a *agentParts) assembleServing(ctx context.Context) {
	a.cache = serve.NewCache()
	a.publisher = publish.New(publish.Config{
		Build: a.core.build, Generate: xds.Generate, Cache: a.cache, Clock: a.clock, Logger: a.logger,
	})
	server := serve.NewServer(ctx, a.cache, serve.Config{ClassOf: a.classOf, Events: siteEvents{a}, Clock: a.clock, Logger: a.logger})
	a.siteServer = newGRPCServer(a.siteIdentity.ServerTLS(identity.ServerOptions{}))
	server.Register(a.siteServer)
	a.site.Register(a.siteServer)
}

// classOf derives an xDS client's target from its certificate: a workload is served its own configuration and nobody else's.
func (a *agentParts) classOf(ctx context.Context) (string, error) {
	id, _, _, err := sitePeer(ctx)
	if err != nil {
		return "", status.Error(codes.Unauthenticated, err.Error())
	}
	return id, nil
}

// siteEvents tells the publisher whose streams are open.
type siteEvents struct{ a *agentParts }

func (e siteEvents) Opened(class string)                   { e.a.publisher.Watch(class) }
func (e siteEvents) Closed(class string)                   { e.a.publisher.Unwatch(class) }
func (siteEvents) Acked(string, string)                    {}
func (siteEvents) Nacked(string, model.Nack)               {}
func (a *agentParts) servers() []string                    { return a.core.servers(a.opts.servers) }
func agentMatch(federation string) func(spiffeid.ID) error { return identity.MatchNode(federation, "") }

func (a *agentParts) dialNode(_ context.Context, address string) (*grpc.ClientConn, error) {
	return dialGRPC(address, a.identity.ClientTLS(agentMatch(a.member.Federation)))
}

// assembleUplink makes the session with the federation.
func (a *agentParts) assembleUplink(own model.SignedBundle) error {
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return err
	}
	a.uplink = uplink.New(uplink.Config{
		Cluster: a.member.Cluster, Instance: hex.EncodeToString(random[:]), AgentVersion: version,
		Servers: a.servers, Dial: a.dialNode,
		Sign:   func(r model.Record) (model.SignedRecord, error) { return records.Sign(a.key, r) },
		Epochs: epochFileStore{filepath.Join(a.opts.dataDir, epochFile)}, Handler: a.core, Clock: a.clock, Logger: a.logger,
	})
	a.uplink.SetBundle(own)
	return nil
}

// runSource feeds the core from the site's registry.
func (a *agentParts) runSource(ctx context.Context) error {
	updates := make(chan source.Update)
	return run.Group(ctx,
		func(ctx context.Context) error { return a.site.Run(ctx, updates) },
		func(ctx context.Context) error {
			for {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case u := <-updates:
					a.core.source(u)
				case <-a.prober.Changed():
					a.core.touch()
				}
			}
		},
		a.witness.run,
		a.tellProblems,
	)
}

// servers are the federation nodes to try: those that the operator named, else those agreed, else those told at the join.
func (c *siteCore) servers(named []string) []string {
	if len(named) > 0 {
		return named
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.view == nil || len(c.view.Nodes) == 0 {
		return c.member.Servers
	}
	var near, far []string
	for _, n := range c.view.NodeList() {
		if n.Region == c.member.Region {
			near = append(near, n.GRPCAddress)
		} else {
			far = append(far, n.GRPCAddress)
		}
	}
	return slices.Concat(near, far)
}

// touch wakes the loop.
func (c *siteCore) touch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed()
}

func (a *agentParts) notReady() []string {
	var missing []string
	if !a.core.known() {
		missing = append(missing, fmt.Sprintf("the federation's state has not arrived yet (%s)", a.uplink.Stats().LastError))
	}
	return missing
}

// known reports whether the agent has enough to serve its site.
func (c *siteCore) known() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sourced && c.view != nil
}
