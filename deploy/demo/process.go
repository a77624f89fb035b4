package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// supervisor starts processes and sees to it that none of them, nor any of their children, outlives the demo.
type supervisor struct {
	mu   sync.Mutex
	live map[string]*process
}

// process is one started program; its log is a file.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// newSupervisor makes this process the one that orphans fall to, so that an Envoy whose proxy was killed is still found.
func newSupervisor() (*supervisor, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become subreaper: %w", err)
	}
	return &supervisor{live: map[string]*process{}}, nil
}

// start runs a program in the background under a name; its output goes to logs/NAME.log.
func (s *supervisor) start(dir, name string, env []string, argv ...string) (*process, error) {
	logPath := filepath.Join(dir, name+".log")
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), env...)
	// A group of its own: Ctrl-C goes to the demo alone, which then ends everything in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, cmd: cmd, log: logPath, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(p.done)
	}()
	s.mu.Lock()
	s.live[name] = p
	s.mu.Unlock()
	return p, nil
}

func (s *supervisor) get(name string) *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live[name]
}

// kill9 ends the named processes at once, as a power cut would, with everything that they started.
func (s *supervisor) kill9(names ...string) {
	var pids []int
	for _, name := range names {
		if p := s.get(name); p != nil {
			pids = append(pids, p.cmd.Process.Pid)
			pids = append(pids, descendants(p.cmd.Process.Pid)...)
		}
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, name := range names {
		if p := s.get(name); p != nil {
			<-p.done
		}
	}
	// An Envoy is its proxy's child: it is gone, and its ports are free, only when it has been reaped here.
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		s.reap()
		if !slices.ContainsFunc(pids, exists) {
			return
		}
	}
}

func exists(pid int) bool { return syscall.Kill(pid, 0) == nil }

// kill9Only ends one process and leaves its children alone.
func (s *supervisor) kill9Only(name string) {
	if p := s.get(name); p != nil {
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// close ends everything that is left: first everybody is asked, then killed. It returns how many processes had to be killed.
func (s *supervisor) close() int {
	for _, pid := range descendants(os.Getpid()) {
		_ = syscall.Kill(pid, syscall.SIGTERM)
	}
	deadline := time.Now().Add(3 * time.Second)
	for len(descendants(os.Getpid())) > 0 && time.Now().Before(deadline) {
		s.reap()
		time.Sleep(50 * time.Millisecond)
	}
	left := descendants(os.Getpid())
	for len(descendants(os.Getpid())) > 0 {
		for _, pid := range descendants(os.Getpid()) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		s.reap()
		time.Sleep(20 * time.Millisecond)
	}
	return len(left)
}

// reap collects orphans that have ended. Children of exec.Cmd are waited for by their own goroutines.
func (s *supervisor) reap() {
	s.mu.Lock()
	own := map[int]bool{}
	for _, p := range s.live {
		own[p.cmd.Process.Pid] = true
	}
	s.mu.Unlock()
	for _, pid := range descendants(os.Getpid()) {
		if !own[pid] {
			var status syscall.WaitStatus
			_, _ = syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
		}
	}
}

// descendants lists the processes below pid, zombies excepted when they are not ours to wait for.
func descendants(pid int) []int {
	children := map[int][]int{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if parent, ok := parentOf(child); ok {
			children[parent] = append(children[parent], child)
		}
	}
	var out []int
	queue := []int{pid}
	for len(queue) > 0 {
		next := children[queue[0]]
		queue = append(queue[1:], next...)
		out = append(out, next...)
	}
	slices.Sort(out)
	return out
}

// parentOf reads a process's parent from /proc/PID/stat, whose second field may hold spaces and brackets.
func parentOf(pid int) (int, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	text := string(data)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 2 {
		return 0, false
	}
	parent, err := strconv.Atoi(fields[1])
	return parent, err == nil
}

// eventually polls until check returns nil or patience ends; it returns the last error.
func eventually(ctx context.Context, patience time.Duration, check func() error) error {
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
