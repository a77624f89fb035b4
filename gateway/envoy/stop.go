package envoy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/hanse-mesh/hanse/internal/atomicfile"
)

// stop drains an Envoy and ends it. The signals end it even if draining is of no use.
func (p *Process) stop(ctx context.Context, in *instance) error {
	// Written first: whoever finds this Envoy half drained must not go on with it.
	if err := atomicfile.Write(p.stoppingPath(), nil, 0o600); err != nil {
		p.cfg.Logger.Warn("could not note that Envoy is being stopped", "error", err)
	}
	if err := p.drain(ctx, in); err != nil {
		p.cfg.Logger.Warn("Envoy ends without draining", "pid", in.pid, "error", err)
	}
	return p.terminate(in)
}

// drain asks clients to go elsewhere and waits until none is left, or until the time for it is over.
func (p *Process) drain(ctx context.Context, in *instance) error {
	enough := p.cfg.Clock.After(p.cfg.DrainTime)
	for _, ask := range []func(context.Context) error{p.admin.FailHealthcheck, p.admin.Drain} {
		if _, err := bounded(ctx, adminCall, func(ctx context.Context) (struct{}, error) { return struct{}{}, ask(ctx) }); err != nil {
			return err
		}
	}
	for {
		active, err := bounded(ctx, adminCall, p.admin.Active)
		if err != nil {
			return err
		}
		if active == 0 {
			return nil
		}
		select {
		case <-in.ended:
			return nil
		case <-enough:
			p.cfg.Logger.Warn("Envoy ends with connections open", "pid", in.pid, "connections", active)
			return nil
		case <-p.cfg.Clock.After(drainPoll):
		}
	}
}

// terminate ends an Envoy by SIGTERM, and by SIGKILL if that is not enough.
func (p *Process) terminate(in *instance) error {
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := in.signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("send %v to Envoy %d: %w", sig, in.pid, err)
		}
		select {
		case <-in.ended:
			p.forget()
			p.cfg.Logger.Info("Envoy ended", "pid", in.pid, "signal", sig)
			return nil
		case <-p.cfg.Clock.After(killAfter):
			p.cfg.Logger.Warn("Envoy does not end", "pid", in.pid, "signal", sig)
		}
	}
	return fmt.Errorf("envoy %d survives SIGKILL", in.pid)
}
