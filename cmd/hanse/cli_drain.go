package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/gateway/xds"
	"github.com/hanse-mesh/hanse/internal/clock"
)

const (
	// drainPoll is how often a waiting drain asks, drainQuiet how long nothing must have been under way: callers learn of the drain
	// within a moment, not at once.
	drainPoll  = 200 * time.Millisecond
	drainQuiet = time.Second
	// drainProgress is how often a waiting drain tells how far it is.
	drainProgress = 2 * time.Second
)

func newDrainCommand() *cobra.Command {
	var dir string
	var wait bool
	var timeout time.Duration
	var out output
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Take a workload or a gateway out of rotation; calls under way go on",
		Long: `New calls go elsewhere; no call fails. A workload's Envoy asks its HTTP callers to move on (GOAWAY); a gateway's site tells the other
clusters first, and the gateway passes on what still arrives. TCP sessions stay open until their ends close them. If nothing else
serves, calls come here all the same.

The drain outlives a restart of the proxy; only 'hanse proxy undrain' takes it back. With --wait the command returns once nothing has
been under way for a second, or fails after --timeout and says what is left; the drain then stands.

A proxy that is stopped (SIGTERM) drains by itself, for no longer than its --drain-time. Drain first to give calls more time.`,
		Example: `  hanse proxy drain --wait && systemctl stop hanse-proxy
  hanse proxy drain --wait --timeout 10m --data-dir /var/lib/hanse/gateway`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if timeout <= 0 {
				return usageError("--timeout %s is not a time to wait: give for example 1m", timeout)
			}
			if err := callAdmin(cmd.Context(), "proxy", dir, http.MethodPost, "/v1/drain", nil, nil); err != nil {
				return err
			}
			if !wait {
				return out.print(cmd, drainTold{true}, func(to io.Writer) {
					fmt.Fprintln(to, "drained: calls that are under way go on; 'hanse proxy drain --wait' returns when they are done")
				})
			}
			w := drainWait{ask: askDrain(dir), clock: clock.Real{}, progress: cmd.ErrOrStderr(), timeout: timeout}
			status, err := w.run(cmd.Context())
			if err != nil {
				return err
			}
			return out.print(cmd, status, func(to io.Writer) { fmt.Fprintln(to, "drained: nothing is under way") })
		},
	}
	bindProxyDir(cmd, &dir)
	cmd.Flags().BoolVar(&wait, "wait", false, "return only when no call is under way any more")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long --wait waits")
	out.bind(cmd)
	return cmd
}

func newUndrainCommand() *cobra.Command {
	var dir string
	var out output
	cmd := &cobra.Command{
		Use: "undrain", Short: "Put a drained workload or gateway back into rotation",
		Long:    `Takes 'hanse proxy drain' back. Where the service had died out with the drain, its share comes back in steps: 10, 25, 50, 100 % over 30 s.`,
		Example: "  hanse proxy undrain --data-dir /var/lib/hanse/proxy", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := callAdmin(cmd.Context(), "proxy", dir, http.MethodPost, "/v1/undrain", nil, nil); err != nil {
				return err
			}
			return out.print(cmd, drainTold{false}, func(to io.Writer) { fmt.Fprintln(to, "undrained") })
		},
	}
	bindProxyDir(cmd, &dir)
	out.bind(cmd)
	return cmd
}

// drainTold is what was told to a proxy that was not asked what is under way.
type drainTold struct {
	Draining bool `json:"draining"`
}

func bindProxyDir(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "data-dir", "/var/lib/hanse/proxy", "data folder of the proxy, which holds its admin socket")
}

func askDrain(dir string) func(context.Context) (drainStatus, error) {
	return func(ctx context.Context) (s drainStatus, err error) {
		return s, callAdmin(ctx, "proxy", dir, http.MethodGet, "/v1/drain", nil, &s)
	}
}

// drainWait waits until nothing is under way.
type drainWait struct {
	ask      func(context.Context) (drainStatus, error)
	clock    clock.Clock
	progress io.Writer
	timeout  time.Duration
}

func (w drainWait) run(ctx context.Context) (drainStatus, error) {
	begin := w.clock.Now()
	busy, told := begin, begin
	for {
		s, err := w.ask(ctx)
		if ctx.Err() != nil {
			return s, interruptedDrain(ctx)
		}
		if err != nil {
			return s, err
		}
		now := w.clock.Now()
		if !s.Draining {
			return s, errors.New("somebody has put it back into rotation while this command waited")
		}
		switch {
		case s.None():
			if now.Sub(busy) >= drainQuiet {
				return s, nil
			}
		case now.Sub(begin) >= w.timeout:
			return s, fmt.Errorf("%s still under way after %s; the drain stands: wait again with a longer --timeout, or stop the proxy, which cuts what is left after its --drain-time",
				underWayText(s.UnderWay), w.timeout)
		case now.Sub(told) >= drainProgress:
			told = now
			fmt.Fprintf(w.progress, "waiting: %s under way\n", underWayText(s.UnderWay))
		}
		if !s.None() {
			busy = now
		}
		select {
		case <-ctx.Done():
			return s, interruptedDrain(ctx)
		case <-w.clock.After(drainPoll):
		}
	}
}

func interruptedDrain(ctx context.Context) error {
	return fmt.Errorf("interrupted; the drain stands: wait again, or take it back with 'hanse proxy undrain': %w", ctx.Err())
}

// underWayText says how much is left, such as "1 request and 2 sessions".
func underWayText(u xds.UnderWay) string {
	count := func(n uint64, what string) string {
		if n == 1 {
			return "1 " + what
		}
		return fmt.Sprintf("%d %ss", n, what)
	}
	switch {
	case u.Sessions == 0:
		return count(u.Requests, "request")
	case u.Requests == 0:
		return count(u.Sessions, "session")
	default:
		return count(u.Requests, "request") + " and " + count(u.Sessions, "session")
	}
}
