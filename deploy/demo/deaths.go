package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/hanse-mesh/hanse/e2e/fleet"
	"github.com/hanse-mesh/hanse/e2e/load"
)

// The bounds that the story claims for a dead region.
const (
	maxFailedShare = 0.01
	recoveryBound  = 3 * time.Second
	outageSpan     = 65 * time.Second
)

// withdrawn is longer than a site keeps a workload whose proxy has vanished.
const withdrawn = 13 * time.Second

// warmUp is how long load runs before the fault, so that connections are as in steady state.
const warmUp = 3 * time.Second

func (s *story) pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (s *story) killLocalWorkloads(ctx context.Context) error {
	web := s.workloads["web-eu"]
	if err := s.waitReady(ctx, 20*time.Second, s.workloads["cart-eu-2"].health); err != nil {
		return err
	}
	l := startLoad(ctx, web.upstreams[cartHTTP])
	s.pause(ctx, warmUp)
	fault := time.Now()
	for _, name := range []string{"cart-eu-1", "cart-eu-2"} {
		s.killWorkload(s.workloads[name])
	}
	s.say("SIGKILL to cart-eu-1 and cart-eu-2: applications, proxies, Envoys; %d calls/s go on", loadRate)
	// Long enough that the site withdraws them: a workload that is back sooner never failed over, as far as the site knows.
	s.pause(ctx, withdrawn)
	after := l.between(fault, 0)
	s.say("%.0f s after: %s", withdrawn.Seconds(), after)
	s.say("%s", after.Recovery("us"))
	_ = s.check("calls go on, answered from us (the policy's first choice)", elsewhere(after, "us"))
	_ = s.check("at most 1 % of the calls fail, none that starts later than 3 s after", bounded(after))

	back := time.Now()
	for _, name := range []string{"cart-eu-1", "cart-eu-2"} {
		if err := s.startWorkload(ctx, s.workloads[name]); err != nil {
			return err
		}
	}
	err := s.timed("they come back, and so do the calls: step by step, then all", func() error {
		return fleet.Eventually(ctx, 60*time.Second, func() error { return s.answeredFrom(ctx, web.upstreams[cartHTTP], "", "eu", 40) })
	})
	failback := l.between(back, 0)
	l.stop()
	s.say("while failing back: %s", failback)
	_ = s.check("no call fails while failing back", noneFailed(failback))
	return err
}

func (s *story) killRegion(ctx context.Context) error {
	address := s.workloads["web-eu"].upstreams[stockHTTP]
	err := fleet.Eventually(ctx, 20*time.Second, func() error { return s.answeredFrom(ctx, address, "", "us", 20) })
	if err := s.check("web-eu calls stock.shop: answered from us", err); err != nil {
		return err
	}
	l := startLoad(ctx, address)
	s.pause(ctx, warmUp)
	fault := time.Now()
	s.procs.Kill(s.regionProcesses("us")...)
	s.say("SIGKILL to all of us: node, agent, gateway, proxies, Envoys, applications")
	s.pause(ctx, 10*time.Second)
	after := l.between(fault, 10*time.Second)
	l.stop()
	s.say("10 s after: %s", after)
	s.say("%s", after.Recovery("ap"))
	_ = s.check("calls go on, answered from ap", elsewhere(after, "ap"))
	_ = s.check("at most 1 % of the calls fail, none that starts later than 3 s after", bounded(after))
	_ = s.check("two of three nodes still agree: a policy can be written", fleet.Eventually(ctx, 15*time.Second, func() error {
		_, err := s.cli(ctx, "apply", "-f", s.dir+"/policies.yaml")
		return err
	}))
	return nil
}

func (s *story) restoreRegion(ctx context.Context) error {
	address := s.workloads["web-eu"].upstreams[stockHTTP]
	l := startLoad(ctx, address)
	back := time.Now()
	if err := s.startRegion(ctx, "us"); err != nil {
		return err
	}
	_ = s.timed("node-us rejoins from its disk", func() error {
		return fleet.Eventually(ctx, 30*time.Second, func() error { return s.nodesAlive(ctx, 3) })
	})
	err := s.timed("us is back, and web-eu's calls fail back to it", func() error {
		return fleet.Eventually(ctx, 90*time.Second, func() error { return s.answeredFrom(ctx, address, "", "us", 40) })
	})
	failback := l.between(back, 0)
	l.stop()
	s.say("while failing back: %s", failback)
	_ = s.check("no call fails while failing back", noneFailed(failback))
	return err
}

// startRegion starts everything of a region again, from what is on its disks.
func (s *story) startRegion(ctx context.Context, name string) error {
	r := s.regions[name]
	if err := s.startNode(r, ""); err != nil {
		return err
	}
	if err := s.startAgent(r, ""); err != nil {
		return err
	}
	if err := fleet.Eventually(ctx, 20*time.Second, func() error { return s.startGateway(ctx, r) }); err != nil {
		return err
	}
	for _, l := range s.regionWorkloads(name) {
		if err := s.startWorkload(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) killControlPlane(ctx context.Context) error {
	address := s.workloads["web-eu"].upstreams[stockHTTP]
	l := startLoad(ctx, address)
	s.pause(ctx, warmUp)
	fault := time.Now()
	for _, name := range s.order {
		s.procs.Kill("node-"+name, "agent-"+name)
	}
	s.say("SIGKILL to all nodes and agents; %d calls/s from web-eu to stock.shop go on for %s", loadRate, outageSpan)
	s.pause(ctx, 10*time.Second)
	if err := s.disturb(ctx); err != nil {
		return err
	}
	s.pause(ctx, outageSpan-time.Since(fault))
	during := l.between(fault, 0)
	l.stop()
	s.say("%.0f s without control plane: %s", time.Since(fault).Seconds(), during)
	_ = s.check("no call fails", noneFailed(during))
	return nil
}

// disturb restarts a proxy and two Envoys and kills a workload, all without any control plane.
func (s *story) disturb(ctx context.Context) error {
	s.procs.KillOnly("web-eu")
	web := s.workloads["web-eu"]
	if err := s.startProxy(web.name, web.health, web.tokenText, web.proxyArgs()); err != nil {
		return err
	}
	_ = s.check("the proxy of web-eu is killed and started again: its Envoy never stopped", s.waitReady(ctx, 15*time.Second, web.health))
	for _, name := range []string{"stock-us-1", "web-us"} {
		if err := s.restartEnvoy(ctx, name); err != nil {
			return s.check("the Envoys of stock-us-1 and web-us are killed and come back", err)
		}
	}
	_ = s.check("the Envoys of stock-us-1 and web-us are killed and come back, configured from their proxies' disks", nil)
	_ = s.check("calls go on through the restarted Envoy of web-us", fleet.Eventually(ctx, 10*time.Second, func() error {
		return s.answeredFrom(ctx, s.workloads["web-us"].upstreams[stockHTTP], "", "us", 5)
	}))
	s.pause(ctx, 10*time.Second)
	s.killWorkload(s.workloads["stock-us-1"])
	s.say("stock-us-1 is killed: nobody is there to say so")
	return nil
}

// restartEnvoy kills the Envoy of a proxy and waits for its successor.
func (s *story) restartEnvoy(ctx context.Context, name string) error {
	before, err := s.envoyPID(name)
	if err != nil {
		return err
	}
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		return err
	}
	return fleet.Eventually(ctx, 15*time.Second, func() error {
		after, err := s.envoyPID(name)
		if err != nil {
			return err
		}
		if after == before {
			return fmt.Errorf("%s still has the Envoy that was killed", name)
		}
		return ready(ctx, s.workloads[name].health)
	})
}

func (s *story) restoreControlPlane(ctx context.Context) error {
	for _, name := range s.order {
		if err := s.startNode(s.regions[name], ""); err != nil {
			return err
		}
		if err := s.startAgent(s.regions[name], ""); err != nil {
			return err
		}
	}
	err := s.timed("nodes and agents come back from their disks", func() error {
		if err := fleet.Eventually(ctx, 30*time.Second, func() error { return s.nodesAlive(ctx, 3) }); err != nil {
			return err
		}
		return s.waitReady(ctx, 30*time.Second, s.regions["eu"].agentHealth, s.regions["us"].agentHealth, s.regions["ap"].agentHealth)
	})
	if err != nil {
		return err
	}
	if err := s.startWorkload(ctx, s.workloads["stock-us-1"]); err != nil {
		return err
	}
	return s.timed("everything is as before: stock.shop is answered from us", func() error {
		return fleet.Eventually(ctx, 90*time.Second, func() error {
			return s.answeredFrom(ctx, s.workloads["web-eu"].upstreams[stockHTTP], "", "us", 40)
		})
	})
}

// elsewhere wants most answers of the window's end from a region.
func elsewhere(w load.Window, region string) error {
	if w.Regions[region] == 0 {
		return fmt.Errorf("no answer from %s: %s", region, w)
	}
	return nil
}

func bounded(w load.Window) error {
	if share := float64(w.Failed) / float64(max(1, w.Calls)); share > maxFailedShare || w.LastFailed > recoveryBound {
		return fmt.Errorf("%.2f %% failed: %s", 100*share, w)
	}
	return nil
}

func noneFailed(w load.Window) error {
	if w.Failed > 0 {
		return fmt.Errorf("%s", w)
	}
	return nil
}
