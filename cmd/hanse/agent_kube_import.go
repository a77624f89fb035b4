package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/hanse-mesh/hanse/cluster-agent/mcs"
	"github.com/hanse-mesh/hanse/cluster-agent/source/kube"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// The importer's pace. The first change after quiet is written at once but for importPause, in which the sources of one change meet.
const (
	importPause    = 20 * time.Millisecond
	importRest     = 2 * time.Second
	importRetry    = time.Second
	importRetryMax = 30 * time.Second
	importTimeout  = 2 * time.Minute
	// importLook is how often the importer looks whether it knows enough.
	importLook = time.Second
)

// planWriter makes the API server say what a plan says.
type planWriter interface {
	Apply(ctx context.Context, p mcs.Plan) error
	Changed() <-chan struct{}
}

// importer makes the cluster's API server say what the federation offers, and says at each ServiceExport how it fares.
type importer struct {
	core *siteCore
	// facts are what the API server says, factsChanged when they are others.
	facts        func() (kube.Facts, bool)
	factsChanged <-chan struct{}
	writer       planWriter
	clock        clock.Clock
	logger       *slog.Logger

	// trouble is why the API server does not say what it should; empty when it does.
	trouble atomic.Pointer[string]
}

// run writes whenever something has changed, and again after failures, until ctx ends.
func (i *importer) run(ctx context.Context) error {
	retry := importRetry
	timer := i.clock.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C():
		case <-i.factsChanged:
		case <-i.writer.Changed():
		case <-i.core.heard:
		}
		if err := i.sleep(ctx, importPause); err != nil {
			return err
		}
		began := i.clock.Now()
		done, err := i.pass(ctx)
		i.report(ctx, err)
		if err != nil {
			timer.Reset(retry)
			retry = min(2*retry, importRetryMax)
			continue
		}
		retry = importRetry
		if timer.Stop(); !done {
			timer.Reset(importLook)
		}
		// Under churn most of the time is left to others.
		if err := i.sleep(ctx, min(importRest, 4*i.clock.Now().Sub(began))); err != nil {
			return err
		}
	}
}

// pass derives the plan and writes it; it reports false while too little is known.
func (i *importer) pass(ctx context.Context) (bool, error) {
	here, ok := i.facts()
	if !ok {
		return false, nil
	}
	now := i.clock.Now()
	there, ok := i.core.abroad(here.Families, now)
	if !ok {
		return false, nil
	}
	f := mcs.Facts{
		Cluster: i.core.member.Cluster, Namespaces: here.Namespaces, Exports: i.exports(here, there), Remotes: there.remotes,
		Derived: here.Derived, Egress: here.Egress, EndpointSlices: true, Families: here.Families,
	}
	ports, short := i.core.allotEgress(mcs.WantedPorts(f))
	f.Ports = ports
	ctx, cancel := context.WithTimeout(ctx, importTimeout)
	defer cancel()
	if err := i.writer.Apply(ctx, mcs.Make(f, now)); err != nil {
		return true, err
	}
	return true, short
}

// exports adds the federation's refusals. An export that the core has not seen is not judged yet: a condition would say too much.
func (i *importer) exports(here kube.Facts, there abroad) []mcs.LocalExport {
	out := make([]mcs.LocalExport, 0, len(here.Exports))
	for _, e := range here.Exports {
		if e.Invalid == "" && !there.known[e.Service] {
			e.Refused = "the agent has not published it yet"
		}
		if why, refused := there.refusals[e.Service]; refused {
			e.Refused = why
		}
		out = append(out, e)
	}
	return out
}

// report logs a trouble when it begins and when it ends.
func (i *importer) report(ctx context.Context, err error) {
	was := deref(i.trouble.Load())
	switch {
	case ctx.Err() != nil:
	case err != nil:
		text := fmt.Sprintf("the API server does not say what it should of imported services: %v", err)
		i.trouble.Store(&text)
		if text != was {
			i.logger.Warn("ServiceImports and conditions are written later", "error", err)
		}
	case was != "":
		none := ""
		i.trouble.Store(&none)
		i.logger.Info("ServiceImports and conditions are written again")
	}
}

func (i *importer) sleep(ctx context.Context, d time.Duration) error {
	t := i.clock.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C():
		return nil
	}
}
