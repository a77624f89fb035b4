package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hanse-mesh/hanse/e2e/fleet"
)

// caller is the proxy in the second cluster that knows all services.
const caller = "caller-c2"

// settled is how long nothing changes before an account of what the agents use is taken.
const settled = 15 * time.Second

// benchmark raises two clusters with as many services each, changes those of the first and watches an Envoy of the second, and then adds a
// third.
func (w *world) benchmark(ctx context.Context, o options) error {
	if err := w.raiseFederation(ctx); err != nil {
		return err
	}
	first, second := load{"first", o.services, o.endpoints}, load{"second", o.services, o.endpoints}
	one, err := w.raiseCluster(ctx, 1)
	if err != nil {
		return err
	}
	two, err := w.raiseCluster(ctx, 2)
	if err != nil {
		return err
	}
	if err := w.startGateway(ctx, one); err != nil {
		return err
	}
	if err := w.startCaller(ctx, two); err != nil {
		return err
	}
	w.account(ctx, "empty", one, two)

	fmt.Printf("%d services of %d endpoints in each of two clusters, all exported\n", o.services, o.endpoints)
	began := time.Now()
	if err := two.fill(ctx, second); err != nil {
		return err
	}
	if err := one.fill(ctx, first); err != nil {
		return err
	}
	if err := w.awaitAll(ctx, one, two, first, 2*o.services); err != nil {
		return err
	}
	fmt.Printf("  created, known to the Envoy and imported after %.1f s\n", time.Since(began).Seconds())
	if err := w.quiet(ctx, one, two); err != nil {
		return err
	}
	if err := w.changes(ctx, o, one, two, first); err != nil {
		return err
	}
	return w.third(ctx, o, two)
}

// raiseCluster starts a cluster with its agent.
func (w *world) raiseCluster(ctx context.Context, i int) (*plane, error) {
	p, err := w.raisePlane(ctx, i)
	if err != nil {
		return nil, err
	}
	if err := p.prepare(ctx); err != nil {
		return nil, err
	}
	return p, w.startAgent(ctx, p)
}

// awaitAll waits until the caller's Envoy can call every service of a load through its cluster's gateway, and until the cluster of that Envoy
// has an import for each of so many: what is still being written would be in all figures that follow.
func (w *world) awaitAll(ctx context.Context, from, to *plane, l load, imports int) error {
	envoy, healthy := w.envoyOf(caller), "::"+from.gateway+"::health_flags::healthy"
	return fleet.Eventually(ctx, 15*time.Minute, func() error {
		text, err := get(ctx, envoy, "http://envoy/clusters?filter="+l.prefix+"-")
		if err != nil {
			return err
		}
		if n := strings.Count(text, healthy); n < l.services {
			return fmt.Errorf("the Envoy of %s can call %d of %d services in %s", to.name, n, l.services, from.name)
		}
		list, err := to.mcs.MulticlusterV1beta1().ServiceImports("").List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		done := 0
		for i := range list.Items {
			if len(list.Items[i].Spec.IPs) > 0 {
				done++
			}
		}
		if done < imports {
			return fmt.Errorf("%d of %d ServiceImports in %s have an address", done, imports, to.name)
		}
		return nil
	})
}

// changes measures quiet, then while other changes are made.
func (w *world) changes(ctx context.Context, o options, one, two *plane, l load) error {
	envoy := w.envoyOf(caller)
	quiet, err := arrivals(ctx, one, l, envoy, o.changes)
	if err != nil {
		return err
	}
	fmt.Println("EndpointSlice in c1 → Envoy in c2")
	fmt.Printf("  quiet                  %s\n", line(quiet))
	before, err := w.costs(ctx, one, two)
	if err != nil {
		return err
	}
	var churned []time.Duration
	began := time.Now()
	made, err := churn(ctx, one, l, o.rate, func() (err error) {
		churned, err = arrivals(ctx, one, l, envoy, o.changes)
		return err
	})
	if err != nil {
		return err
	}
	fmt.Printf("  %3.0f others a second     %s\n", float64(made)/time.Since(began).Seconds(), line(churned))
	after, err := w.costs(ctx, one, two)
	if err != nil {
		return err
	}
	fmt.Printf("agents meanwhile: c1 %.0f %% and c2 %.0f %% of a processor\n", after[0].since(before[0]), after[1].since(before[1]))
	w.account(ctx, "after the changes", one, two)
	aim("p99 quiet", quantile(quiet, 0.99) < 60*time.Millisecond, "under 60 ms")
	aim("p99 while others change", quantile(churned, 0.99) < 250*time.Millisecond, "under 250 ms")
	return nil
}

// third adds a cluster of the same size, and shows what that costs the second's agent.
func (w *world) third(ctx context.Context, o options, two *plane) error {
	before, err := w.agentCost(ctx, two)
	if err != nil {
		return err
	}
	three, err := w.raiseCluster(ctx, 3)
	if err != nil {
		return err
	}
	if err := w.startGateway(ctx, three); err != nil {
		return err
	}
	l := load{"first", o.services, o.endpoints}
	if err := three.fill(ctx, l); err != nil {
		return err
	}
	if err := w.awaitAll(ctx, three, two, l, 2*o.services); err != nil {
		return err
	}
	if err := pause(ctx, settled); err != nil {
		return err
	}
	after, err := w.agentCost(ctx, two)
	if err != nil {
		return err
	}
	more := after.live - before.live
	fmt.Printf("a third cluster that exports what the first does: c2's agent keeps %.1f MiB more\n", mebibytes(more))
	aim("a further remote cluster", more < 2<<20, "under 2 MiB more")
	return nil
}

// quiet accounts for agents that have nothing to do.
func (w *world) quiet(ctx context.Context, planes ...*plane) error {
	before, err := w.costs(ctx, planes...)
	if err != nil {
		return err
	}
	if err := pause(ctx, settled); err != nil {
		return err
	}
	after, err := w.costs(ctx, planes...)
	if err != nil {
		return err
	}
	w.account(ctx, "full", planes...)
	for i, p := range planes {
		fmt.Printf("  %s idle: %.1f %% of a processor\n", p.name, after[i].since(before[i]))
		aim(p.name+"'s agent", after[i].resident < 150<<20, "under 150 MiB")
	}
	return nil
}

func (w *world) costs(ctx context.Context, planes ...*plane) ([]cost, error) {
	var out []cost
	for _, p := range planes {
		c, err := w.agentCost(ctx, p)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// account prints the agents' memory.
func (w *world) account(ctx context.Context, when string, planes ...*plane) {
	for _, p := range planes {
		if c, err := w.agentCost(ctx, p); err == nil {
			fmt.Printf("  %s's agent, %s: %.1f MiB resident (at most %.1f), %.1f MiB of it live; %.1f s of a processor\n",
				p.name, when, mebibytes(c.resident), mebibytes(c.peak), mebibytes(c.live), c.cpu.Seconds())
		}
	}
}

// aim says whether a figure is as wanted. A machine that does other things at once may miss one: that is no error.
func aim(what string, met bool, wanted string) {
	verdict := "met"
	if !met {
		verdict = "MISSED"
	}
	fmt.Printf("  aim %s: %s, %s\n", what, wanted, verdict)
}
