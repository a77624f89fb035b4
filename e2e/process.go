//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary returns the path of the binary under test.
func binary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("HANSE_BINARY")
	if path == "" {
		path = filepath.Join("..", "bin", "hanse")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.IsDir() || info.Mode().Perm()&0o111 == 0 {
		t.Fatalf("there is no binary at %s: run `make build`, or name one in HANSE_BINARY", path)
	}
	return path
}

// process is a program in the background, in a process group of its own, with its log in a file.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
	// err is how it ended; it is valid once done is closed.
	err error
}

// spawn starts a program; it is killed when the test ends.
func spawn(t *testing.T, log string, argv ...string) *process {
	t.Helper()
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), log: log, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Env = out, out, environment(t)
	if err := startTied(p.cmd); err != nil {
		t.Fatalf("start %s: %v", argv[0], err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(p.kill)
	return p
}

// environment is this process's without what would configure the binary, and with a home of the test's own.
func environment(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "HANSE_") && !strings.HasPrefix(pair, "HOME=") && !strings.HasPrefix(pair, "XDG_") {
			out = append(out, pair)
		}
	}
	return append(out, "HOME="+t.TempDir())
}

var tied struct {
	once  sync.Once
	start chan func()
}

// startTied starts a program that the kernel kills when this process ends, however it ends. The kernel watches the thread that
// forked, so one thread that lives as long as the process forks them all.
func startTied(cmd *exec.Cmd) error {
	tied.once.Do(func() {
		tied.start = make(chan func())
		go func() {
			runtime.LockOSThread()
			for start := range tied.start {
				start()
			}
		}()
	})
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	result := make(chan error)
	tied.start <- func() { result <- cmd.Start() }
	return <-result
}

// kill ends the process and its group at once, as a power cut would.
func (p *process) kill() {
	select {
	case <-p.done:
		return
	default:
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// stop asks the process to end, and fails the test if it does not or ends badly.
func (p *process) stop(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if !p.ends(20 * time.Second) {
		t.Fatalf("the process did not end within 20 s of SIGTERM:\n%s", p.tail())
	}
	if p.err != nil {
		t.Fatalf("the process ended with %v after SIGTERM:\n%s", p.err, p.tail())
	}
}

// ends waits until the process has ended by itself, and reports false when it has not.
func (p *process) ends(patience time.Duration) bool {
	select {
	case <-p.done:
		return true
	case <-time.After(patience):
		return false
	}
}

// said reports whether the process's log contains the text.
func (p *process) said(t *testing.T, text string) bool {
	t.Helper()
	data, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(data, []byte(text))
}

// tail is the end of the process's log.
func (p *process) tail() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	lines = lines[max(0, len(lines)-15):]
	return fmt.Sprintf("--- %s\n%s", filepath.Base(p.log), bytes.Join(lines, []byte("\n")))
}
