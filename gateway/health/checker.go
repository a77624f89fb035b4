// Package health owns the checks of the workload beside a proxy: whether calls may be sent to it.
//
// Step, the thresholds and the damping of flaps, is pure; Checker runs the checks.
package health

import (
	"context"
	"fmt"

	"github.com/hanse-mesh/hanse/internal/clock"
)

// Checker checks one workload.
type Checker struct {
	spec  Spec
	clock clock.Clock
	check func(ctx context.Context, s Spec) error
}

// New returns a checker for a valid spec.
func New(spec Spec, c clock.Clock) (*Checker, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	spec = spec.WithDefaults()
	return &Checker{spec: spec, clock: c, check: checks[spec.Kind]}, nil
}

var checks = map[Kind]func(context.Context, Spec) error{
	HTTP: checkHTTP, TCP: checkTCP, GRPC: checkGRPC, Command: checkCommand,
	None: func(context.Context, Spec) error { return nil },
}

// Run checks until ctx ends, which is no error. The first result is reported at once, then every change of the verdict; reason says
// why a workload is not ready. report is called by one goroutine and should not block.
func (c *Checker) Run(ctx context.Context, report func(ready bool, reason string)) error {
	if c.spec.Kind == None {
		report(true, "")
		<-ctx.Done()
		return nil
	}
	thresholds := Thresholds{Healthy: c.spec.HealthyThreshold, Unhealthy: c.spec.UnhealthyThreshold}
	var state State
	for {
		result := c.once(ctx)
		if ctx.Err() != nil {
			// The end of Run interrupted the check: its result says nothing of the workload.
			return nil
		}
		var changed bool
		if state, changed = Step(thresholds, state, result, c.clock.Now()); changed {
			report(state.Ready, state.Reason)
		}
		if !c.pause(ctx) {
			return nil
		}
	}
}

func (c *Checker) once(ctx context.Context) Result {
	ctx, cancel := context.WithTimeout(ctx, c.spec.Timeout)
	defer cancel()
	err := c.check(ctx, c.spec)
	switch {
	case err == nil:
		return Result{OK: true}
	case ctx.Err() != nil:
		return Result{Reason: fmt.Sprintf("%s check of %s took longer than %v", c.spec.Kind, c.subject(), c.spec.Timeout)}
	default:
		return Result{Reason: fmt.Sprintf("%s check of %s: %v", c.spec.Kind, c.subject(), err)}
	}
}

func (c *Checker) subject() string {
	if c.spec.Kind == Command {
		return c.spec.Command[0]
	}
	return c.spec.Target + c.spec.Path
}

func (c *Checker) pause(ctx context.Context) bool {
	timer := c.clock.NewTimer(c.spec.Interval)
	defer timer.Stop()
	select {
	case <-timer.C():
		return true
	case <-ctx.Done():
		return false
	}
}
