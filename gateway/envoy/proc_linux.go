package envoy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// pollMillis is how long one look at a process lasts, so that the end of a context is noticed.
const pollMillis = 200

// watch observes an Envoy that was started with the bootstrap file and need not be our child, until it ends or ctx does. The pidfd is
// taken before the look at the process, so that it can not come to mean another one.
func watch(ctx context.Context, pid int, bootstrap string) (*instance, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("watch process %d: %w", pid, err)
	}
	proc, err := os.FindProcess(pid)
	if err == nil && !isEnvoy(pid, bootstrap) {
		err = errors.New("it is not the Envoy that was started")
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("watch process %d: %w", pid, err)
	}
	ended := make(chan struct{})
	go func() {
		defer func() { _ = unix.Close(fd) }()
		if waitPidfd(ctx, fd) {
			close(ended)
		}
	}()
	return &instance{pid: pid, signal: proc.Signal, ended: ended, exit: func() string { return "unknown" }}, nil
}

// isEnvoy reports whether a process runs Envoy with the bootstrap file. A zombie has no arguments and is none.
func isEnvoy(pid int, bootstrap string) bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil || !strings.Contains(filepath.Base(exe), "envoy") {
		return false
	}
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && slices.Contains(strings.Split(string(args), "\x00"), bootstrap)
}

// waitPidfd reports whether the process has ended; if not, ctx has.
func waitPidfd(ctx context.Context, fd int) bool {
	for ctx.Err() == nil {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, pollMillis)
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return true
		}
	}
	return false
}
