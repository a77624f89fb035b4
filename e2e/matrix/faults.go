//go:build e2e

package matrix

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/hanse-mesh/hanse/e2e/fleet"
	"github.com/hanse-mesh/hanse/e2e/wan"
	"github.com/hanse-mesh/hanse/federation/rest"
)

// fault is something that breaks and is mended. prepare, which may be nil, is called before the calls are counted.
type fault struct {
	prepare, strike, mend func(context.Context, *world) error
}

func (w *world) proxy(name string) *proxy {
	for _, s := range w.sites {
		for _, p := range s.proxies {
			if p.name == name {
				return p
			}
		}
	}
	panic("no proxy " + name)
}

// processes are all of a region, or those of one proxy with its application, by what is named.
func (w *world) processes(names ...string) []string {
	var out []string
	for _, name := range names {
		s := w.sites[name]
		if s == nil {
			out = append(out, name)
			if w.fleet.Running("app-" + name) {
				out = append(out, "app-"+name)
			}
			continue
		}
		out = append(out, "node-"+name, "agent-"+name)
		for _, p := range s.proxies {
			out = append(out, w.processes(p.name)...)
		}
	}
	return out
}

// killed kills what is named — regions, proxies with their Envoys and applications, nodes, agents — and starts it again.
func killed(names ...string) fault {
	return fault{
		strike: func(_ context.Context, w *world) error { w.fleet.Kill(w.processes(names...)...); return nil },
		mend:   func(_ context.Context, w *world) error { return w.restart(names...) },
	}
}

// restart starts what was killed.
func (w *world) restart(names ...string) error {
	for _, name := range names {
		role, region, _ := strings.Cut(name, "-")
		var err error
		switch {
		case w.sites[name] != nil:
			if err = w.restart("node-"+name, "agent-"+name); err == nil {
				for _, p := range w.sites[name].proxies {
					if err = w.restart(p.name); err != nil {
						break
					}
				}
			}
		case role == "node":
			err = w.startNode(region)
		case role == "agent":
			err = w.startAgent(region)
		default:
			p := w.proxy(name)
			if !w.fleet.Running("app-" + name) {
				err = w.startApp(p)
			}
			if err == nil {
				err = w.startProxy(p)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// frozen stops what is named without ending it, and lets it go on.
func frozen(names ...string) fault {
	return fault{
		strike: func(_ context.Context, w *world) error { w.fleet.Freeze(w.processes(names...)...); return nil },
		mend:   func(_ context.Context, w *world) error { w.fleet.Thaw(w.processes(names...)...); return nil },
	}
}

// appFrozen stops a workload's application alone.
func appFrozen(name string) fault {
	return fault{
		strike: func(_ context.Context, w *world) error { w.fleet.Freeze("app-" + name); return nil },
		mend:   func(_ context.Context, w *world) error { w.fleet.Thaw("app-" + name); return nil },
	}
}

// sidecarKilled kills a workload's proxy and Envoy; the application goes on.
func sidecarKilled(name string) fault {
	return fault{
		strike: func(_ context.Context, w *world) error { w.fleet.Kill(name); return nil },
		mend:   func(_ context.Context, w *world) error { return w.startProxy(w.proxy(name)) },
	}
}

// proxyKilled kills a workload's proxy; its Envoy and the application go on.
func proxyKilled(name string) fault {
	return fault{
		strike: func(_ context.Context, w *world) error { w.fleet.KillOnly(name); return nil },
		mend:   func(_ context.Context, w *world) error { return w.startProxy(w.proxy(name)) },
	}
}

// unhealthy makes a workload's check fail; it goes on answering all else.
func unhealthy(name string) fault {
	return fault{
		strike: func(_ context.Context, w *world) error { return w.fleet.Signal("app-"+name, syscall.SIGUSR1) },
		mend:   func(_ context.Context, w *world) error { return w.fleet.Signal("app-"+name, syscall.SIGUSR2) },
	}
}

// drained takes a proxy out of rotation and, when stop is set, ends it in order a moment later.
func drained(name string, stop bool) fault {
	return fault{
		strike: func(ctx context.Context, w *world) error {
			if _, err := w.cli(ctx, w.proxy(name).region, "proxy", "drain", "--data-dir", w.data(name)); err != nil || !stop {
				return err
			}
			pause(ctx, 5*time.Second)
			if err := w.fleet.Signal(name, syscall.SIGTERM); err != nil {
				return err
			}
			select {
			case <-w.fleet.Done(name):
				return nil
			case <-time.After(20 * time.Second):
				return fmt.Errorf("%s did not end within 20 s of SIGTERM", name)
			}
		},
		mend: func(ctx context.Context, w *world) error {
			if stop {
				if err := w.startProxy(w.proxy(name)); err != nil {
					return err
				}
				// A drain outlives a restart. The proxy's own socket is there once the old one has been replaced.
				return fleet.Eventually(ctx, 20*time.Second, func() error {
					_, err := w.cli(ctx, w.proxy(name).region, "proxy", "undrain", "--data-dir", w.data(name))
					return err
				})
			}
			_, err := w.cli(ctx, w.proxy(name).region, "proxy", "undrain", "--data-dir", w.data(name))
			return err
		},
	}
}

// flapping makes a workload's check fail and pass again each half second, for a minute.
func flapping(name string) fault {
	return fault{
		strike: func(ctx context.Context, w *world) error {
			for i := range 120 {
				signal := syscall.SIGUSR1
				if i%2 == 1 {
					signal = syscall.SIGUSR2
				}
				if err := w.fleet.Signal("app-"+name, signal); err != nil {
					return err
				}
				pause(ctx, 500*time.Millisecond)
			}
			return nil
		},
		mend: func(context.Context, *world) error { return nil },
	}
}

// path changes the ways between regions, given as from and to in turn.
func path(change func(wan.Conditions) wan.Conditions, pairs ...string) fault {
	return fault{
		strike: func(_ context.Context, w *world) error {
			for i := 0; i < len(pairs); i += 2 {
				w.net.Set(pairs[i], pairs[i+1], change(w.net.Conditions(pairs[i], pairs[i+1])))
			}
			return nil
		},
		mend: func(_ context.Context, w *world) error { w.restoreNetwork(); return nil },
	}
}

func cut(c wan.Conditions) wan.Conditions { c.Cut = true; return c }

// lossyAndFar loses 5 % of the frames each way and takes 300 ms there and back.
func lossyAndFar(c wan.Conditions) wan.Conditions {
	c.Loss, c.Delay = 0.05, 150*time.Millisecond
	return c
}

// leaderFrozen freezes the region of the Raft leader, which must not be the callers'.
func leaderFrozen() fault {
	region := ""
	return fault{
		prepare: func(ctx context.Context, w *world) (err error) {
			region, err = w.leadElsewhere(ctx)
			return err
		},
		strike: func(_ context.Context, w *world) error { w.fleet.Freeze(w.processes(region)...); return nil },
		mend:   func(_ context.Context, w *world) error { w.fleet.Thaw(w.processes(region)...); return nil },
	}
}

// leadElsewhere makes the second region's node the leader, or after some attempts the third's, and returns its region.
func (w *world) leadElsewhere(ctx context.Context) (string, error) {
	leader, err := w.leader(ctx, "")
	for attempt := 0; err == nil && leader != "us" && (leader == order[0] || attempt < 4); attempt++ {
		if attempt == 10 {
			return "", fmt.Errorf("the leader stays in %s", leader)
		}
		old := leader
		w.fleet.Kill("node-" + old)
		leader, err = w.leader(ctx, old)
		if err := w.startNode(old); err != nil {
			return "", err
		}
		if err == nil {
			err = fleet.Eventually(ctx, 30*time.Second, func() error { return w.whole(ctx) })
		}
	}
	return leader, err
}

// leader waits until a node leads that is not the given region's, and returns its region.
func (w *world) leader(ctx context.Context, not string) (leader string, err error) {
	err = fleet.Eventually(ctx, 30*time.Second, func() error {
		var st rest.Status
		for _, region := range order {
			if region == not || w.cliJSON(ctx, region, &st, "status", "--server", w.at(region, restPort)) != nil {
				continue
			}
			if leader = strings.TrimPrefix(st.Leader, "node-"); leader != "" && leader != not {
				return nil
			}
		}
		return fmt.Errorf("%q leads", leader)
	})
	return leader, err
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
