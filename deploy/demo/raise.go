package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/e2e/fleet"
	"github.com/hanse-mesh/hanse/federation/rest"
)

// policies is what the demo's operator decides: shop is called from everywhere, ledger from eu only; eu falls back on us, then ap.
const policies = `kind: ExportRule
name: shop-everywhere
spec:
  from: ["*"]
  namespaces: [shop]
  to: ["*"]
---
kind: ExportRule
name: ledger-for-eu
spec:
  from: [us]
  namespaces: [bank]
  services: [ledger]
  to: [eu]
---
kind: FailoverPolicy
name: default
spec:
  failover:
    - {from: eu, to: [us, ap]}
    - {from: us, to: [eu, ap]}
    - {from: ap, to: [us, eu]}
`

func (s *story) raiseFederation(ctx context.Context) error {
	tokens, err := s.initFederation(ctx)
	if err := s.check("hanse server init makes the federation, its root key and the first tokens", err); err != nil {
		return err
	}
	if len(tokens) < 2 {
		return fmt.Errorf("server init printed %d node tokens, want 2", len(tokens))
	}
	for i, name := range s.order {
		token := ""
		if i > 0 {
			token = tokens[i-1]
		}
		if err := s.startNode(s.regions[name], token); err != nil {
			return err
		}
		if i == 0 {
			if err := s.waitReady(ctx, 20*time.Second, s.regions[name].nodeHealth); err != nil {
				return err
			}
		}
	}
	return s.timed("three voters, one leader, all alive", func() error {
		return fleet.Eventually(ctx, 30*time.Second, func() error { return s.nodesAlive(ctx, 3) })
	})
}

// nodesAlive checks that n nodes are alive and one leads.
func (s *story) nodesAlive(ctx context.Context, n int) error {
	var st rest.Status
	if err := s.cliJSON(ctx, &st, "status"); err != nil {
		return err
	}
	alive := 0
	for _, node := range st.Nodes {
		if node.Alive && ready(ctx, s.regions[strings.TrimPrefix(node.Name, "node-")].nodeHealth) == nil {
			alive++
		}
	}
	if alive != n || st.Leader == "" {
		return fmt.Errorf("%d of %d nodes alive, leader %q", alive, n, st.Leader)
	}
	return nil
}

func (s *story) joinSites(ctx context.Context) error {
	exports := map[string]string{"eu": "shop,hidden", "us": "shop,bank", "ap": "shop"}
	tokens := map[string]string{}
	for _, name := range s.order {
		text, err := s.cli(ctx, "token", "create", "cluster", name, "--export", exports[name])
		if err != nil {
			return err
		}
		tokens[name] = strings.TrimSpace(text)
		if err := s.startAgent(s.regions[name], tokens[name]); err != nil {
			return err
		}
	}
	err := s.timed("the agents of eu, us and ap join outbound, each with its token", func() error {
		return s.waitReady(ctx, 30*time.Second, s.regions["eu"].agentHealth, s.regions["us"].agentHealth, s.regions["ap"].agentHealth)
	})
	if err != nil {
		return err
	}
	_ = s.check("a used token is refused to anybody else", s.joinRefused(ctx, "thief", "eu", tokens["eu"], "used"))
	spare, err := s.cli(ctx, "token", "create", "cluster", "sa")
	if err != nil {
		return err
	}
	_ = s.check("a token for cluster sa lets no other name in", s.joinRefused(ctx, "scope", "moon", strings.TrimSpace(spare), "sa"))
	_ = s.check("a mistyped token is told from a wrong one", s.joinRefused(ctx, "typo", "sa", strings.TrimSpace(spare)[:60], "token"))
	return s.applyPolicies(ctx)
}

// joinRefused runs an agent that must end with an error that contains want.
func (s *story) joinRefused(ctx context.Context, dir, cluster, token, want string) error {
	a := s.ports.addresses(2)
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	_, err := s.cli(ctx, "agent", "--data-dir", s.data("agent-"+dir), "--cluster", cluster, "--region", "eu",
		"--listen", a[0], "--health-listen", a[1], "--token", token)
	switch {
	case err == nil:
		return errors.New("the agent joined")
	case ctx.Err() != nil:
		return errors.New("the agent was not refused within 15 s")
	case !strings.Contains(err.Error(), want):
		return fmt.Errorf("the error does not say %q: %w", want, err)
	}
	return nil
}

func (s *story) applyPolicies(ctx context.Context) error {
	path := filepath.Join(s.dir, "policies.yaml")
	if err := os.WriteFile(path, []byte(policies), 0o644); err != nil {
		return err
	}
	_, err := s.cli(ctx, "apply", "-f", path)
	return s.check("hanse apply writes two export rules and a failover policy", err)
}

// The upstreams that the demo's callers declare.
const (
	cartHTTP    = "cart.shop:http"
	cartLines   = "cart.shop:lines"
	stockHTTP   = "stock.shop:http"
	ledgerHTTP  = "ledger.bank:http"
	ledgerLines = "ledger.bank:lines"
)

func (s *story) startEverything(ctx context.Context) error {
	for _, name := range s.order {
		if err := s.startGateway(ctx, s.regions[name]); err != nil {
			return err
		}
	}
	for _, l := range s.cast() {
		if err := s.startWorkload(ctx, s.define(l)); err != nil {
			return err
		}
	}
	var addresses []string
	for _, name := range s.order {
		addresses = append(addresses, s.regions[name].gatewayHealth)
		for _, l := range s.regionWorkloads(name) {
			addresses = append(addresses, l.health)
		}
	}
	return s.timed(fmt.Sprintf("%d proxies are enrolled, their Envoys configured, their workloads healthy", len(addresses)), func() error {
		return s.waitReady(ctx, 60*time.Second, addresses...)
	})
}

// cast is the demo's workloads: cart everywhere, stock in us and ap, ledger in us alone, and a caller in each region.
func (s *story) cast() []*workload {
	bind := func(targets ...string) map[string]string {
		out := map[string]string{}
		for i, a := range s.ports.addresses(len(targets)) {
			out[targets[i]] = a
		}
		return out
	}
	return []*workload{
		{name: "cart-eu-1", region: "eu", namespace: "shop", service: "cart", export: true},
		{name: "web-eu", region: "eu", namespace: "shop", upstreams: bind(cartHTTP, cartLines, stockHTTP, ledgerHTTP, ledgerLines), openHTTP: s.ports.addresses(1)[0], vips: true},
		{name: "cart-us-1", region: "us", namespace: "shop", service: "cart", export: true},
		{name: "stock-us-1", region: "us", namespace: "shop", service: "stock", export: true},
		{name: "ledger-us-1", region: "us", namespace: "bank", service: "ledger", export: true},
		{name: "web-us", region: "us", namespace: "shop", upstreams: bind(cartHTTP, stockHTTP)},
		{name: "cart-ap-1", region: "ap", namespace: "shop", service: "cart", export: true},
		{name: "stock-ap-1", region: "ap", namespace: "shop", service: "stock", export: true},
		{name: "web-ap", region: "ap", namespace: "shop", upstreams: bind(cartHTTP, stockHTTP)},
	}
}
