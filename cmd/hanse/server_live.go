package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"path/filepath"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/catalog"
	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/federation/server"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/trust/bundle"
	"github.com/hanse-mesh/hanse/trust/oidc"
	"github.com/hanse-mesh/hanse/trust/token"
)

func (p *serverParts) restAPI() *rest.API {
	others := &forwarder{identity: p.identity, federation: p.own.Federation, logger: p.logger}
	return rest.New(rest.Config{
		Node: p.node.Name, Version: version, Consensus: p.consensus, Catalog: p.store, Live: liveView{p}, Agents: p.server,
		Forward: others.forward, Mint: p.mint, BundleRule: bundle.Accept, Clock: p.clock, Logger: p.logger,
		Limits: p.opts.limits, Certificates: restCertificates{p.identity, p.issuing}, Providers: oidc.New(oidc.Config{Clock: p.clock, Logger: p.logger}),
	})
}

// tokenAddresses is how many nodes a token names. Whoever joins is told all of them.
const tokenAddresses = 8

// mint makes a token that carries addresses at which it can be used: voters first, as there may be more nodes than a token can name.
func (p *serverParts) mint(kind model.TokenKind, v *state.View) (model.Token, string, error) {
	nodes := v.NodeList()
	slices.SortStableFunc(nodes, func(a, b model.Node) int { return cmp.Compare(boolGauge(a.Replica), boolGauge(b.Replica)) })
	addresses := []string{}
	for _, n := range nodes[:min(len(nodes), tokenAddresses)] {
		if kind == model.TokenOperator {
			addresses = append(addresses, n.RESTAddress)
		} else {
			addresses = append(addresses, n.GRPCAddress)
		}
	}
	t, err := token.New(kind, rand.Reader, v.Federation, pinOf(v.Root), addresses)
	if err != nil {
		return model.Token{}, "", err
	}
	return model.Token{ID: t.ID, Kind: kind, SecretHash: token.Hash(t.Secret)}, t.String(), nil
}

// liveView is what this node sees of others at this moment.
type liveView struct{ p *serverParts }

func (l liveView) Connected() map[model.ClusterName]bool {
	out := map[model.ClusterName]bool{}
	for _, s := range l.p.server.Sessions() {
		out[s.Cluster] = true
	}
	return out
}

func (l liveView) Alive() map[string]bool {
	out := map[string]bool{l.p.node.Name: true}
	for _, peer := range l.p.mesh.Peers() {
		out[peer.Name] = peer.Alive
	}
	return out
}

func (l liveView) Refused(cluster model.ClusterName) []string {
	var out []string
	for _, r := range l.p.server.Refusals(cluster) {
		out = append(out, r.Key+": "+r.Reason)
	}
	return out
}

// Feed says how a cluster's feed comes to this node.
func (l liveView) Feed(o catalog.Origin) rest.LiveFeed {
	f := l.p.server.Feed(o)
	return rest.LiveFeed{Age: f.Age, Rivals: f.Rivals, SlowedDown: f.SlowedDown}
}

// Age is how long this node has not heard of its leader.
func (l liveView) Age() (time.Duration, bool) {
	at, known := l.p.consensus.LeaderContact()
	return max(0, l.p.clock.Now().Sub(at)), known
}

// dismiss takes a node that the state has forgotten out of the Raft group. The barrier makes sure that the state has not just got to know it.
func (p *serverParts) dismiss(ctx context.Context, name string) error {
	if err := p.consensus.Barrier(ctx); err != nil {
		return err
	}
	if _, known := p.consensus.View().Nodes[name]; known {
		return nil
	}
	return p.consensus.RemoveServer(ctx, name)
}

// group is the Raft group as this node knows it.
func (p *serverParts) group() map[string]server.GroupMember {
	out := map[string]server.GroupMember{}
	for _, peer := range p.consensus.Status().Peers {
		out[peer.Name] = server.GroupMember{Address: peer.Address, Voter: peer.Voter}
	}
	return out
}

// announce keeps this node's own entry in the replicated state true: it may have changed with its flags or with an upgrade.
func (p *serverParts) announce(ctx context.Context) error {
	for {
		_, changed := p.consensus.Watch()
		if err := p.server.Announce(ctx); err != nil && ctx.Err() == nil {
			p.logger.Warn("could not announce this node's addresses and version yet; trying again", "error", plainStatus(err))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-p.clock.After(5 * time.Second):
		}
	}
}

// renewCertificate signs this node's certificate anew when two thirds of its life are over, or when its flags give it names that the
// certificate lacks.
func (p *serverParts) renewCertificate(ctx context.Context) error {
	for {
		if left := p.identity.Expiry().Sub(p.clock.Now()); left < server.NodeTTL/3 || !p.certifiedNames() {
			if err := p.issueAnew(); err != nil {
				p.logger.Error("could not renew this node's certificate", "error", err, "left", left)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.clock.After(time.Hour):
		}
	}
}

// certifiedNames reports whether this node's certificate is valid for every name by which the node is dialled.
func (p *serverParts) certifiedNames() bool {
	own, ok := p.identity.Get()
	if !ok {
		return false
	}
	leaf, err := x509.ParseCertificate(own.Chain[0])
	if err != nil {
		return false
	}
	names, ips := hostNames(p.node)
	for _, ip := range ips {
		names = append(names, ip.String())
	}
	return !slices.ContainsFunc(names, func(name string) bool { return leaf.VerifyHostname(name) != nil })
}

func (p *serverParts) issueAnew() error {
	dir := p.opts.dataDir
	if err := issueOwnCertificate(dir, p.issuing, p.own.Federation, p.node, p.clock.Now()); err != nil {
		return err
	}
	return loadCredentials(p.identity, filepath.Join(dir, nodeKeyFile), filepath.Join(dir, nodeChainFile))
}

// measure registers what an operator watches on a federation node.
func (p *serverParts) measure() {
	gauge(p.registry, "raft_is_leader", "1 on the leader", func() float64 { return boolGauge(p.consensus.IsLeader()) })
	gauge(p.registry, "raft_applied_index", "Raft index of the last applied entry", func() float64 { return float64(p.consensus.View().Index) })
	gauge(p.registry, "agents_connected", "agents with a session at this node", func() float64 { return float64(len(p.server.Sessions())) })
	gauge(p.registry, "catalog_records", "records held in the catalog", func() float64 {
		n := 0
		for _, o := range p.store.Origins() {
			n += o.Records
		}
		return float64(n)
	})
	p.registry.MustRegister(gossipMetrics{stats: p.mesh.Stats, peers: p.mesh.Peers, charges: p.store.Charges})
	p.registry.MustRegister(feedMetrics{view: p.consensus.View, origins: p.store.Origins, feed: p.server.Feed})
	gauge(p.registry, "certificate_expiry_seconds", "time until this node's certificate ends", func() float64 {
		return p.identity.Expiry().Sub(p.clock.Now()).Seconds()
	})
}

func boolGauge(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
