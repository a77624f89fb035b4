package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/hanse-mesh/hanse/internal/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type verdict struct {
	ready  bool
	reason string
}

// watch runs a checker on a fake clock until the test ends.
func watch(t *testing.T, s Spec) (verdicts <-chan verdict, tick func()) {
	t.Helper()
	c := clock.NewFake(time.Unix(0, 0))
	checker, err := New(s, c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	out, done := make(chan verdict, 16), make(chan error, 1)
	go func() { done <- checker.Run(ctx, func(ready bool, reason string) { out <- verdict{ready, reason} }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
	return out, func() {
		t.Helper()
		if err := c.BlockUntil(ctx, 1); err != nil {
			t.Fatal("the checker never paused")
		}
		c.Advance(time.Second)
	}
}

func want(t *testing.T, verdicts <-chan verdict, ready bool, says string) {
	t.Helper()
	select {
	case v := <-verdicts:
		if v.ready != ready || !strings.Contains(v.reason, says) || ready && v.reason != "" {
			t.Fatalf("got %+v, want ready %v that says %q", v, ready, says)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("no verdict arrived")
	}
}

func TestHTTPReportsOnlyTransitions(t *testing.T) {
	answers := make(chan int)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ready" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		status := <-answers
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
	}))
	defer server.Close()
	verdicts, tick := watch(t, Spec{Kind: HTTP, Target: server.Listener.Addr().String(), Path: "/ready", Timeout: time.Minute, HealthyThreshold: 2})
	answers <- 200
	want(t, verdicts, true, "")
	for _, status := range []int{204, 302, 503} {
		tick()
		answers <- status
	}
	want(t, verdicts, false, "/ready: status 503")
	for _, status := range []int{200, 500, 404, 200, 200} {
		tick()
		answers <- status
	}
	want(t, verdicts, true, "")
	if n := len(verdicts); n != 0 {
		t.Errorf("%d further verdicts were reported", n)
	}
}

func TestTCP(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	verdicts, tick := watch(t, Spec{Kind: TCP, Target: listener.Addr().String(), Timeout: time.Minute})
	want(t, verdicts, true, "")
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	tick()
	want(t, verdicts, false, "refused")
}

func TestGRPC(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, service := grpc.NewServer(), health.NewServer()
	grpc_health_v1.RegisterHealthServer(server, service)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	defer func() {
		server.Stop()
		<-done
	}()
	verdicts, tick := watch(t, Spec{Kind: GRPC, Target: listener.Addr().String(), Service: "pay.v1", Timeout: time.Minute})
	want(t, verdicts, false, "unknown service")
	service.SetServingStatus("pay.v1", grpc_health_v1.HealthCheckResponse_SERVING)
	tick()
	want(t, verdicts, true, "")
	service.SetServingStatus("pay.v1", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	tick()
	want(t, verdicts, false, `"pay.v1" says NOT_SERVING`)
}

func TestCommand(t *testing.T) {
	flag := filepath.Join(t.TempDir(), "up")
	verdicts, tick := watch(t, Spec{Kind: Command, Command: []string{"cat", flag}, Timeout: time.Minute})
	want(t, verdicts, false, "No such file")
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tick()
	want(t, verdicts, true, "")
}

func TestCommandThatCannotStart(t *testing.T) {
	verdicts, _ := watch(t, Spec{Kind: Command, Command: []string{"/nowhere/check"}})
	want(t, verdicts, false, "/nowhere/check")
}

// A command that hangs takes everything that it started with it.
func TestHangingCommandIsKilledWithItsChildren(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	script := fmt.Sprintf("sleep 1000 & echo $! > %s.new; mv %s.new %s; wait", file, file, file)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	checked, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- checkCommand(checked, Spec{Command: []string{"sh", "-c", script}}) }()
	var child int
	for child == 0 && ctx.Err() == nil {
		if data, err := os.ReadFile(file); err == nil {
			_, _ = fmt.Sscan(string(data), &child)
		}
		runtime.Gosched()
	}
	stop()
	if err := <-done; err == nil {
		t.Error("the hanging command passed")
	}
	if child == 0 {
		t.Fatal("the command did not start")
	}
	// The orphan is dead at once but leaves the table only when its new parent reaps it.
	for alive(child) {
		if ctx.Err() != nil {
			t.Fatal("the command's child lives on")
		}
		runtime.Gosched()
	}
}

func alive(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || !strings.Contains(string(data), ") Z ")
}

func TestTimeoutIsNamed(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	// Connections are accepted by the kernel and never answered.
	verdicts, _ := watch(t, Spec{Kind: HTTP, Target: listener.Addr().String(), Timeout: 10 * time.Millisecond})
	want(t, verdicts, false, "took longer than 10ms")
}

func TestNoneIsReady(t *testing.T) {
	verdicts, _ := watch(t, Spec{})
	want(t, verdicts, true, "")
}

// An interrupted check must not take the workload out of rotation while the proxy stops.
func TestEndOfRunReportsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Checker{spec: Spec{Kind: TCP}.WithDefaults(), clock: clock.Real{}, check: func(ctx context.Context, _ Spec) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}}
	if err := c.Run(ctx, func(bool, string) { t.Error("an interrupted check was reported") }); err != nil {
		t.Error(err)
	}
}

func TestTalkativeCommandIsCut(t *testing.T) {
	var h head
	for range 100 {
		if n, err := h.Write([]byte("0123456789")); n != 10 || err != nil {
			t.Fatal(n, err)
		}
	}
	if len(h) != 256 {
		t.Errorf("kept %d bytes", len(h))
	}
}
