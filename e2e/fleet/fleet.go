// Package fleet owns real processes that a suite or a demo starts, kills, freezes and thaws, and sees to it that none of them, nor any of
// their children, outlives it.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Fleet starts processes by name. Its methods are safe for concurrent use.
type Fleet struct {
	mu   sync.Mutex
	live map[string]*process
}

// process is one started program.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// Program is what to run.
type Program struct {
	// Name is the process's name in the fleet; a later process of the same name takes its place.
	Name string
	Argv []string
	// Env is added to the environment of this process.
	Env []string
	// Log is a file that the output is appended to.
	Log string
	// Within, which may be nil, runs what starts the process, for example in a namespace.
	Within func(start func() error) error
}

// New makes this process the one that orphans fall to, so that an Envoy whose proxy was killed is still found.
func New() (*Fleet, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become subreaper: %w", err)
	}
	return &Fleet{live: map[string]*process{}}, nil
}

// Start runs a program in the background.
func (f *Fleet) Start(p Program) error {
	if err := os.MkdirAll(filepath.Dir(p.Log), 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(p.Argv[0], p.Argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), p.Env...)
	// A group of its own: Ctrl-C goes to this process alone, which then ends everything in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	start := cmd.Start
	if p.Within != nil {
		start = func() error { return p.Within(cmd.Start) }
	}
	if err := start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	started := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(started.done)
	}()
	f.mu.Lock()
	f.live[p.Name] = started
	f.mu.Unlock()
	return nil
}

func (f *Fleet) get(name string) *process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.live[name]
}

// Pid is the process identifier of a program that was started; 0 for a name that was not.
func (f *Fleet) Pid(name string) int {
	if p := f.get(name); p != nil {
		return p.cmd.Process.Pid
	}
	return 0
}

// Done is closed when the named process has ended, which must have been started.
func (f *Fleet) Done(name string) <-chan struct{} { return f.get(name).done }

// Running reports whether the named process was started and has not ended.
func (f *Fleet) Running(name string) bool {
	p := f.get(name)
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// pids are the named processes that run, each followed by everything that it started.
func (f *Fleet) pids(names []string) []int {
	var pids []int
	for _, name := range names {
		if f.Running(name) {
			pid := f.get(name).cmd.Process.Pid
			pids = append(append(pids, pid), Descendants(pid)...)
		}
	}
	return pids
}

// Kill ends the named processes at once, as a power cut would, with everything that they started, and waits until they are gone.
func (f *Fleet) Kill(names ...string) {
	pids := f.pids(names)
	KillAll(pids)
	for _, name := range names {
		if p := f.get(name); p != nil {
			<-p.done
		}
	}
	f.Await(pids)
}

// KillAll sends SIGKILL to each process.
func KillAll(pids []int) { signalAll(pids, syscall.SIGKILL) }

func signalAll(pids []int, signal syscall.Signal) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, signal)
	}
}

// Await waits until killed processes are gone. An Envoy is its proxy's child: it is gone, and its ports are free, only when it has been
// reaped here.
func (f *Fleet) Await(pids []int) {
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		f.reap()
		if !slices.ContainsFunc(pids, exists) {
			return
		}
	}
}

func exists(pid int) bool { return syscall.Kill(pid, 0) == nil }

// KillOnly ends one process at once and leaves its children alone.
func (f *Fleet) KillOnly(name string) {
	if p := f.get(name); p != nil {
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// Signal sends a signal to one process and leaves its children alone.
func (f *Fleet) Signal(name string, signal os.Signal) error {
	p := f.get(name)
	if p == nil {
		return fmt.Errorf("%s was never started", name)
	}
	return p.cmd.Process.Signal(signal)
}

// Freeze stops the named processes and everything that they started: they keep their sockets and say nothing.
func (f *Fleet) Freeze(names ...string) { signalAll(f.pids(names), syscall.SIGSTOP) }

// Thaw lets frozen processes go on.
func (f *Fleet) Thaw(names ...string) { signalAll(f.pids(names), syscall.SIGCONT) }

// Close ends everything that is left: first everybody is asked, then killed. It returns how many processes had to be killed.
func (f *Fleet) Close() int {
	left := Descendants(os.Getpid())
	signalAll(left, syscall.SIGCONT)
	signalAll(left, syscall.SIGTERM)
	deadline := time.Now().Add(3 * time.Second)
	for len(Descendants(os.Getpid())) > 0 && time.Now().Before(deadline) {
		f.reap()
		time.Sleep(50 * time.Millisecond)
	}
	left = Descendants(os.Getpid())
	for len(Descendants(os.Getpid())) > 0 {
		KillAll(Descendants(os.Getpid()))
		f.reap()
		time.Sleep(20 * time.Millisecond)
	}
	return len(left)
}

// reap collects orphans that have ended. Children of exec.Cmd are waited for by their own goroutines.
func (f *Fleet) reap() {
	f.mu.Lock()
	own := map[int]bool{}
	for _, p := range f.live {
		own[p.cmd.Process.Pid] = true
	}
	f.mu.Unlock()
	for _, pid := range Descendants(os.Getpid()) {
		if !own[pid] {
			var status syscall.WaitStatus
			_, _ = syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
		}
	}
}

// Eventually polls until check returns nil or patience ends; it returns the last error.
func Eventually(ctx context.Context, patience time.Duration, check func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("still after %s: %w", patience, err)
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
