// Package envoy owns one Envoy process: finding its binary, starting it so that it outlives us, taking it over again, restarting it
// when it dies, draining it when it must go, and its admin interface.
package envoy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hanse-mesh/hanse/internal/atomicfile"
	"github.com/hanse-mesh/hanse/internal/backoff"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// Pauses and patience of a Process.
const (
	// stable is how long an Envoy must have run for its death to count as the first.
	stable   = 10 * time.Second
	minPause = 200 * time.Millisecond
	maxPause = 10 * time.Second

	defaultDrain = 5 * time.Second
	// killAfter is how long each of SIGTERM and SIGKILL may take.
	killAfter = 5 * time.Second
	// adminPatience is how long a running Envoy's admin interface may be silent before the process counts as hung.
	adminPatience = 5 * time.Second
	adminPoll     = 50 * time.Millisecond
	adminCall     = time.Second
	drainPoll     = 100 * time.Millisecond
)

// Config is what a Process needs.
type Config struct {
	// Binary is the real Envoy, as Find returns it.
	Binary string
	// Dir is a folder of this Envoy alone, for its bootstrap and pid files; it is made if need be. An Envoy that was started from the
	// same folder and still runs is taken over.
	Dir       string
	Bootstrap []byte
	// AdminSocket is the Unix socket that the bootstrap names.
	AdminSocket string
	// LogPath receives Envoy's output. A file of more than 10 MiB is set aside as LogPath.1 at a start.
	LogPath string
	// Concurrency is the number of worker threads; 0 leaves it to Envoy.
	Concurrency int
	ExtraArgs   []string
	// DrainTime is how long connections may take to end by themselves; 0 is five seconds.
	DrainTime time.Duration
	Clock     clock.Clock
	Logger    *slog.Logger
}

// Process keeps one Envoy running. Run must be called once; the other methods are safe for concurrent use.
type Process struct {
	cfg   Config
	admin *Admin
	pid   atomic.Int64
}

// New returns a Process that does nothing until Run.
func New(cfg Config) *Process {
	if cfg.DrainTime == 0 {
		cfg.DrainTime = defaultDrain
	}
	return &Process{cfg: cfg, admin: NewAdmin(cfg.AdminSocket)}
}

// Pid is the process id of the Envoy that runs now, or 0.
func (p *Process) Pid() int { return int(p.pid.Load()) }

// Admin is the client of the Envoy's admin interface.
func (p *Process) Admin() *Admin { return p.admin }

// Run takes over the Envoy that already runs from the same folder, or starts one, and restarts it when it dies: at once the first
// time, then with growing pauses. When ctx ends it drains and stops the Envoy, in bounded time. An Envoy outlives the death of the
// process that runs it. Run fails if the first Envoy can not be started.
func (p *Process) Run(ctx context.Context) error {
	if err := p.prepare(); err != nil {
		return err
	}
	// What the end of ctx sets off must itself not be cut short.
	rest := context.WithoutCancel(ctx)
	watching, cancel := context.WithCancel(rest)
	defer cancel()
	in := p.adopt(watching)
	if err := atomicfile.Write(p.bootstrapPath(), p.cfg.Bootstrap, 0o600); err != nil {
		return fmt.Errorf("write Envoy's bootstrap: %w", err)
	}
	if in == nil {
		var err error
		if in, err = p.start(); err != nil {
			return err
		}
	}
	return p.supervise(ctx, in)
}

// supervise restarts the Envoy until ctx ends; in is the one that runs.
func (p *Process) supervise(ctx context.Context, in *instance) error {
	pause := backoff.Backoff{Min: minPause, Max: maxPause}
	deaths := 0
	for {
		if in != nil {
			p.pid.Store(int64(in.pid))
			select {
			case <-ctx.Done():
				return p.stop(context.WithoutCancel(ctx), in)
			case <-in.ended:
			}
			p.pid.Store(0)
			if p.cfg.Clock.Now().Sub(in.since) >= stable {
				deaths = 0
				pause.Reset()
			}
			p.cfg.Logger.Error("Envoy died", "pid", in.pid, "exit", in.exit(), "log", p.cfg.LogPath)
		}
		if deaths++; deaths > 1 {
			select {
			case <-ctx.Done():
			case <-p.cfg.Clock.After(pause.Next()):
			}
		}
		if ctx.Err() != nil {
			p.forget()
			return nil
		}
		var err error
		if in, err = p.start(); err != nil {
			p.cfg.Logger.Error("Envoy could not be started again", "error", err)
		}
	}
}

func (p *Process) prepare() error {
	if err := CheckSocketPath(p.cfg.AdminSocket); err != nil {
		return err
	}
	if err := os.MkdirAll(p.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("make Envoy's folder: %w", err)
	}
	return nil
}

func (p *Process) bootstrapPath() string { return filepath.Join(p.cfg.Dir, "bootstrap.json") }
func (p *Process) pidPath() string       { return filepath.Join(p.cfg.Dir, "envoy.pid") }
func (p *Process) stoppingPath() string  { return filepath.Join(p.cfg.Dir, "envoy.stopping") }

// forget removes what would lead to an Envoy that has ended.
func (p *Process) forget() {
	p.pid.Store(0)
	for _, path := range []string{p.pidPath(), p.stoppingPath(), p.cfg.AdminSocket} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			p.cfg.Logger.Warn("a file of an ended Envoy stays behind", "error", err)
		}
	}
}

// sameBootstrap reports whether the file of the last start says what ours says.
func (p *Process) sameBootstrap() bool {
	old, err := os.ReadFile(p.bootstrapPath())
	return err == nil && bytes.Equal(old, p.cfg.Bootstrap)
}
