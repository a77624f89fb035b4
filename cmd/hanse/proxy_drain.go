package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/hanse-mesh/hanse/gateway/xds"
	"github.com/hanse-mesh/hanse/internal/atomicfile"
)

// drainedFile marks a proxy that an operator has drained: a restart does not undo it.
const drainedFile = "drained"

// drainStatus is what an operator is told of a drain.
type drainStatus struct {
	Draining bool `json:"draining"`
	xds.UnderWay
}

// adminHandler serves the proxy's own socket.
func (p *proxyParts) adminHandler() http.Handler {
	mux := http.NewServeMux()
	set := func(on bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if err := p.setDrained(r.Context(), on); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		}
	}
	mux.HandleFunc("POST /v1/drain", set(true))
	mux.HandleFunc("POST /v1/undrain", set(false))
	mux.HandleFunc("GET /v1/drain", func(w http.ResponseWriter, r *http.Request) {
		status, err := p.drainStatus(r.Context())
		if err != nil {
			http.Error(w, "the Envoy does not tell what is under way: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		writeJSON(w, status)
	})
	return mux
}

// setDrained takes an operator's word. It counts even if it cannot be written down.
func (p *proxyParts) setDrained(ctx context.Context, on bool) error {
	path := filepath.Join(p.opts.dataDir, drainedFile)
	var err error
	if on {
		err = atomicfile.Write(path, nil, 0o600)
	} else if err = os.Remove(path); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	switch was := p.state.draining(); {
	case on && !was:
		p.logger.Info("drained by an operator", "workload", p.opts.name)
	case was && !on:
		p.logger.Info("put back into rotation by an operator", "workload", p.opts.name)
	}
	p.state.drain(on)
	p.applyHealth(ctx)
	if err != nil {
		return fmt.Errorf("done, but a restart of the proxy would undo it: %w", err)
	}
	return nil
}

// recallDrain drains a proxy that was drained when it last ran.
func (p *proxyParts) recallDrain() {
	if _, err := os.Stat(filepath.Join(p.opts.dataDir, drainedFile)); err != nil {
		return
	}
	p.state.drain(true)
	p.logger.Warn("still drained, as an operator said before the restart: 'hanse proxy undrain' takes it back", "workload", p.opts.name)
}

func (p *proxyParts) drainStatus(ctx context.Context) (drainStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	stats, err := p.admin.Stats(ctx, xds.UnderWayFilter)
	if err != nil {
		return drainStatus{}, err
	}
	return drainStatus{Draining: p.state.draining(), UnderWay: xds.CountUnderWay(p.workload, stats)}, nil
}

// leave takes the workload out of rotation and gives callers a moment to learn of it, before the Envoy is drained and stopped.
func (p *proxyParts) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), p.opts.drainTime+2*time.Second)
	defer cancel()
	p.logger.Info("draining", "drain_time", p.opts.drainTime)
	p.state.drain(true)
	p.applyHealth(ctx)
	select {
	case <-ctx.Done():
	case <-p.clock.After(min(time.Second, p.opts.drainTime)):
	}
	if !p.client.Attached() {
		return
	}
	if err := p.client.Withdraw(ctx); err != nil {
		p.logger.Warn("the agent did not confirm the withdrawal; it will notice by itself", "error", err)
	}
}
