package envoy

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hanse-mesh/hanse/internal/clock"
)

const patience = 30 * time.Second

// abandonedDir makes the test binary a process that runs an Envoy from a folder until it is killed.
const abandonedDir = "HANSE_TEST_ABANDONED_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(abandonedDir); dir != "" {
		_ = New(realConfig(os.Getenv("HANSE_ENVOY"), dir)).Run(context.Background())
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// running is a Process whose Run is under way.
type running struct {
	*Process
	t      *testing.T
	cancel context.CancelFunc
	done   chan error
}

func run(t *testing.T, cfg Config) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Process: New(cfg), t: t, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- r.Run(ctx) }()
	return r
}

// wait waits for the end of Run.
func (r *running) wait() error {
	r.t.Helper()
	select {
	case err := <-r.done:
		return err
	case <-time.After(patience):
		r.t.Fatal("Run does not return")
		return nil
	}
}

// script stands for an Envoy.
func script(t *testing.T, text string) Config {
	t.Helper()
	dir := t.TempDir()
	return Config{
		Binary: file(t, filepath.Join(dir, "fake"), "#!/bin/sh\ncd "+dir+"\n"+text, 0o755), Dir: filepath.Join(dir, "run"),
		Bootstrap: []byte("{}"), AdminSocket: filepath.Join(dir, "none"), LogPath: filepath.Join(dir, "log"), Logger: quiet(),
	}
}

func timers(t *testing.T, c *clock.Fake, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.BlockUntil(ctx, n); err != nil {
		t.Fatal(err)
	}
}

func TestRestartAtOnceThenWithPauses(t *testing.T) {
	cfg, fake := script(t, "echo started\nexit 1\n"), clock.NewFake(time.Unix(0, 0))
	cfg.Clock = fake
	r := run(t, cfg)
	for _, want := range []int{2, 3, 4} {
		timers(t, fake, 1)
		text, err := os.ReadFile(cfg.LogPath)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(string(text), "started\n"); got != want {
			t.Fatalf("at the pause it was started %d times, want %d", got, want)
		}
		fake.Advance(maxPause)
	}
	timers(t, fake, 1)
	r.cancel()
	if err := r.wait(); err != nil {
		t.Fatal(err)
	}
}

func TestAnEnvoyThatIgnoresSIGTERMIsKilled(t *testing.T) {
	cfg, fake := script(t, "trap '' TERM\necho up > fifo\nexec sleep 1000\n"), clock.NewFake(time.Unix(0, 0))
	cfg.Clock = fake
	fifo := filepath.Join(filepath.Dir(cfg.Binary), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(fifo, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r := run(t, cfg)
	if err := f.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process id", func() bool { return r.Pid() != 0 })
	pid := r.Pid()
	r.cancel()
	// The timers of the drain and of SIGTERM; the kernel needs none to obey SIGKILL.
	timers(t, fake, 2)
	if !alive(pid) {
		t.Fatal("the stand-in does not ignore SIGTERM")
	}
	fake.Advance(killAfter)
	if err := r.wait(); err != nil {
		t.Fatal(err)
	}
	if alive(pid) {
		t.Fatal("it runs on after Run")
	}
	if _, err := os.Stat(filepath.Join(cfg.Dir, "envoy.pid")); !os.IsNotExist(err) {
		t.Fatalf("the pid file of an ended process is still there: %v", err)
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestFirstStartMustWork(t *testing.T) {
	cfg := script(t, "")
	cfg.Binary, cfg.Clock = "/nonexistent/envoy", clock.Real{}
	if err := run(t, cfg).wait(); err == nil || !strings.Contains(err.Error(), "/nonexistent/envoy") {
		t.Fatalf("Run returned %v, want that the binary is missing", err)
	}
}

// A pid file that has come to mean another process must not have that process taken over or ended.
func TestForeignProcessIsLeftAlone(t *testing.T) {
	cfg := script(t, "exec sleep 1000\n")
	cfg.Clock = clock.Real{}
	other, err := os.StartProcess("/bin/sleep", []string{"sleep", "1000"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Kill(); _, _ = other.Wait() }()
	for _, text := range []string{itoa(other.Pid), "1", "-1", "junk", ""} {
		file(t, filepath.Join(cfg.Dir, "envoy.pid"), text, 0o600)
		r := run(t, cfg)
		eventually(t, "a start", func() bool { return r.Pid() != 0 })
		if r.Pid() == other.Pid || !alive(other.Pid) {
			t.Fatal("a foreign process was taken for ours")
		}
		r.cancel()
		if err := r.wait(); err != nil {
			t.Fatal(err)
		}
	}
	if !alive(other.Pid) {
		t.Fatal("a foreign process was ended")
	}
}

func TestBigLogIsSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.Truncate(file(t, path, "", 0o600), maxLog+1); err != nil {
		t.Fatal(err)
	}
	f, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	old, errOld := os.Stat(path + ".1")
	now, errNow := os.Stat(path)
	if errOld != nil || errNow != nil || old.Size() != maxLog+1 || now.Size() != 0 {
		t.Fatalf("after a start: %v, %v", errOld, errNow)
	}
}
