package envoy

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/hanse-mesh/hanse/internal/atomicfile"
)

// maxLog is the size in bytes from which a log is set aside.
const maxLog = 10 << 20

// instance is an Envoy that was started or taken over.
type instance struct {
	pid    int
	since  time.Time
	signal func(os.Signal) error
	// ended is closed when the process has ended.
	ended <-chan struct{}
	// exit says how it ended, once it has.
	exit func() string
}

// start starts an Envoy in a process group of its own, with a log file instead of pipes, so that neither a signal to our group nor our
// death reaches it.
func (p *Process) start() (*instance, error) {
	log, err := openLog(p.cfg.LogPath)
	if err != nil {
		return nil, fmt.Errorf("open Envoy's log: %w", err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(p.cfg.Binary, p.args()...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start Envoy: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	if err := os.Remove(p.stoppingPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		p.cfg.Logger.Warn("a file of an ended Envoy stays behind", "error", err)
	}
	if err := atomicfile.Write(p.pidPath(), []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o600); err != nil {
		p.cfg.Logger.Error("this Envoy can not be taken over after a restart", "error", err)
	}
	p.cfg.Logger.Info("Envoy started", "pid", cmd.Process.Pid, "binary", p.cfg.Binary)
	return &instance{
		pid: cmd.Process.Pid, since: p.cfg.Clock.Now(), signal: cmd.Process.Signal, ended: ended,
		exit: func() string { return cmd.ProcessState.String() },
	}, nil
}

func (p *Process) args() []string {
	args := []string{"--disable-hot-restart", "--log-level", "warning", "-c", p.bootstrapPath()}
	if p.cfg.Concurrency > 0 {
		args = append(args, "--concurrency", strconv.Itoa(p.cfg.Concurrency))
	}
	return append(args, p.cfg.ExtraArgs...)
}

func openLog(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
}
