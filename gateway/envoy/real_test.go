package envoy

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/internal/clock"
)

func itoa(n int) string { return strconv.Itoa(n) }

// realEnvoy returns the Envoy to test with, or skips.
func realEnvoy(t *testing.T) string {
	t.Helper()
	path, err := Find(os.Getenv("HANSE_ENVOY"))
	if err != nil {
		t.Skipf("set HANSE_ENVOY or put envoy on PATH: %v", err)
	}
	return path
}

// realConfig is an Envoy with a TCP listener that leads to the socket "up" in its folder.
func realConfig(binary, dir string) Config {
	socket := filepath.Join(dir, "admin")
	bootstrap := fmt.Sprintf(`{"admin": {"address": {"pipe": {"path": %q}}}, "static_resources": {
 "clusters": [{"name": "up", "type": "STATIC", "load_assignment": {"cluster_name": "up",
  "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": %q}}}}]}]}}],
 "listeners": [{"name": "l", "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
  "filter_chains": [{"filters": [{"name": "tcp", "typed_config": {
   "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "l", "cluster": "up"}}]}]}]}}`,
		socket, filepath.Join(dir, "up"))
	return Config{
		Binary: binary, Dir: dir, Bootstrap: []byte(bootstrap), AdminSocket: socket, LogPath: filepath.Join(dir, "log"),
		Concurrency: 1, Clock: clock.Real{}, Logger: quiet(),
	}
}

// shortDir is a folder whose path is short enough for Unix sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "envoy")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// eventually looks again and again: the other side is a process that tells us nothing by itself.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline, tick := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not seen", what)
		}
	}
}

func (r *running) live() {
	r.t.Helper()
	eventually(r.t, "a live Envoy", func() bool {
		info, err := r.Admin().ServerInfo(context.Background())
		return err == nil && info.State == StateLive && r.Pid() != 0
	})
}

func (r *running) stopAndWait() {
	r.t.Helper()
	pid := r.Pid()
	r.cancel()
	if err := r.wait(); err != nil {
		r.t.Fatal(err)
	}
	if pid != 0 && serving(pid) {
		r.t.Fatal("Envoy runs on after Run")
	}
}

// serving reports whether a process runs and is no zombie.
func serving(pid int) bool {
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && len(args) > 0
}

func TestKilledEnvoyIsRestarted(t *testing.T) {
	r := run(t, realConfig(realEnvoy(t), shortDir(t)))
	r.live()
	first := r.Pid()
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another process", func() bool { return r.Pid() != 0 && r.Pid() != first })
	r.live()
	r.stopAndWait()
}

// abandon starts an Envoy through another process and kills that process, as a crash would.
func abandon(t *testing.T, cfg Config) (pid int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), abandonedDir+"="+cfg.Dir, "HANSE_ENVOY="+cfg.Binary)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	admin, p := NewAdmin(cfg.AdminSocket), New(cfg)
	eventually(t, "the abandoned Envoy", func() bool {
		info, err := admin.ServerInfo(context.Background())
		pid = p.readPid()
		return err == nil && info.State == StateLive && pid != 0
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	t.Cleanup(func() {
		if serving(pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return pid
}

func TestAbandonedEnvoyIsTakenOver(t *testing.T) {
	cfg := realConfig(realEnvoy(t), shortDir(t))
	pid := abandon(t, cfg)
	r := run(t, cfg)
	r.live()
	if r.Pid() != pid {
		t.Fatalf("process %d runs, want the abandoned %d", r.Pid(), pid)
	}
	// The one that was taken over is restarted like one's own.
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another process", func() bool { return r.Pid() != 0 && r.Pid() != pid })
	r.live()
	r.stopAndWait()
}

func TestEnvoyThatWasTakenOverIsStopped(t *testing.T) {
	cfg := realConfig(realEnvoy(t), shortDir(t))
	pid := abandon(t, cfg)
	r := run(t, cfg)
	r.live()
	r.stopAndWait()
	if serving(pid) {
		t.Fatal("the Envoy that was taken over runs on after Run")
	}
}

// An Envoy fails its health check while its workload is unhealthy; that is no reason to lose its connections.
func TestEnvoyOfAnUnhealthyWorkloadIsTakenOver(t *testing.T) {
	cfg := realConfig(realEnvoy(t), shortDir(t))
	pid := abandon(t, cfg)
	if err := NewAdmin(cfg.AdminSocket).FailHealthcheck(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := run(t, cfg)
	eventually(t, "a process", func() bool { return r.Pid() != 0 })
	if r.Pid() != pid {
		t.Fatalf("Envoy %d was replaced by %d", pid, r.Pid())
	}
	r.stopAndWait()
}

func TestEnvoyThatCanNotGoOnIsReplaced(t *testing.T) {
	tests := map[string]func(t *testing.T, cfg *Config, pid int){
		"another bootstrap": func(_ *testing.T, cfg *Config, _ int) { cfg.Bootstrap = append(cfg.Bootstrap, '\n') },
		"half stopped": func(t *testing.T, cfg *Config, _ int) {
			if err := os.WriteFile(New(*cfg).stoppingPath(), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"hung": func(t *testing.T, _ *Config, pid int) {
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := realConfig(realEnvoy(t), shortDir(t))
			pid := abandon(t, cfg)
			spoil(t, &cfg, pid)
			r := run(t, cfg)
			eventually(t, "a process", func() bool { return r.Pid() != 0 })
			if r.Pid() == pid || serving(pid) {
				t.Fatal("the old Envoy goes on")
			}
			r.live()
			r.stopAndWait()
		})
	}
}

// through opens a connection through the Envoy to an upstream that echoes.
func (r *running) through() net.Conn {
	r.t.Helper()
	lis, err := net.Listen("unix", filepath.Join(r.cfg.Dir, "up"))
	if err != nil {
		r.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c, err := lis.Accept(); err == nil {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}
	}()
	r.t.Cleanup(func() { _ = lis.Close(); <-done })
	text, err := r.Admin().call(context.Background(), "GET", "/listeners")
	if err != nil {
		r.t.Fatal(err)
	}
	_, address, _ := strings.Cut(strings.TrimSpace(string(text)), "::")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	echo(r.t, conn)
	return conn
}

func echo(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

func TestStopWaitsForConnections(t *testing.T) {
	cfg := realConfig(realEnvoy(t), shortDir(t))
	cfg.DrainTime = time.Hour
	r := run(t, cfg)
	r.live()
	conn := r.through()
	r.cancel()
	eventually(t, "draining", func() bool {
		info, err := r.Admin().ServerInfo(context.Background())
		return err == nil && info.State == StateDraining
	})
	echo(t, conn)
	_ = conn.Close()
	if err := r.wait(); err != nil {
		t.Fatal(err)
	}
}

func TestStopWaitsNoLongerThanTheDrainTime(t *testing.T) {
	cfg := realConfig(realEnvoy(t), shortDir(t))
	cfg.DrainTime = 200 * time.Millisecond
	r := run(t, cfg)
	r.live()
	r.through()
	r.stopAndWait()
}
