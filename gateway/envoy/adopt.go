package envoy

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"
)

// adopt returns the Envoy that was started from the same folder and can go on, or nil. One that can not go on is stopped: a second
// Envoy beside it would share its ports.
func (p *Process) adopt(ctx context.Context) *instance {
	pid := p.readPid()
	if pid == 0 {
		return nil
	}
	in, err := watch(ctx, pid, p.bootstrapPath())
	if err != nil {
		p.cfg.Logger.Info("the last Envoy has ended", "reason", err)
		return nil
	}
	in.since = p.cfg.Clock.Now()
	info, err := p.awaitAdmin(ctx, in)
	switch {
	case err != nil:
		p.cfg.Logger.Error("the running Envoy does not answer; replacing it", "pid", pid, "error", err)
		err = p.terminate(in)
	case p.stopping():
		p.cfg.Logger.Warn("the running Envoy was being stopped, which can not be taken back; replacing it", "pid", pid)
		err = p.terminate(in)
	case !p.sameBootstrap():
		p.cfg.Logger.Info("the running Envoy has another bootstrap; replacing it", "pid", pid)
		err = p.stop(ctx, in)
	default:
		p.cfg.Logger.Info("took over the running Envoy", "pid", pid, "version", info.Release())
		return in
	}
	if err != nil {
		p.cfg.Logger.Error("the old Envoy goes on beside the new one", "pid", pid, "error", err)
	}
	return nil
}

// stopping reports whether the last process that ran this Envoy had begun to stop it. The state that an Envoy shows does not tell: it
// is DRAINING as well while its workload is merely unhealthy.
func (p *Process) stopping() bool {
	_, err := os.Stat(p.stoppingPath())
	return err == nil
}

// readPid returns the process id of the last start, or 0.
func (p *Process) readPid() int {
	text, err := os.ReadFile(p.pidPath())
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return 0
	}
	return pid
}

// awaitAdmin asks until the admin interface answers, the Envoy ends or patience does.
func (p *Process) awaitAdmin(ctx context.Context, in *instance) (ServerInfo, error) {
	patience := p.cfg.Clock.After(adminPatience)
	for {
		info, err := p.serverInfo(ctx)
		if err == nil {
			return info, nil
		}
		select {
		case <-ctx.Done():
			return ServerInfo{}, ctx.Err()
		case <-in.ended:
			return ServerInfo{}, err
		case <-patience:
			return ServerInfo{}, err
		case <-p.cfg.Clock.After(adminPoll):
		}
	}
}

func (p *Process) serverInfo(ctx context.Context) (ServerInfo, error) {
	return bounded(ctx, adminCall, p.admin.ServerInfo)
}

// bounded calls f with a deadline of its own.
func bounded[T any](ctx context.Context, d time.Duration, f func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return f(ctx)
}
