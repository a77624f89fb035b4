package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// commandGrace is how long the output of a command that has ended or was killed is waited for.
const commandGrace = time.Second

// checkHTTP opens a connection of its own each time: a workload that no longer accepts is not ready. It never uses a proxy of
// the environment.
func checkHTTP(ctx context.Context, s Spec) error {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{}).DialContext, MaxResponseHeaderBytes: 64 << 10}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Target+s.Path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "hanse-health/1")
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode < 200 || res.StatusCode > 399 {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return nil
}

func checkTCP(ctx context.Context, s Spec) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Target)
	if err != nil {
		return err
	}
	return conn.Close()
}

func checkGRPC(ctx context.Context, s Spec) error {
	conn, err := grpc.NewClient("passthrough:///"+s.Target,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(), grpc.WithDisableServiceConfig())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	res, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: s.Service})
	if err != nil {
		return fmt.Errorf("%s: %s", status.Code(err), status.Convert(err).Message())
	}
	if got := res.GetStatus(); got != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("service %q says %s", s.Service, got)
	}
	return nil
}

// checkCommand runs the command in a process group of its own, and ends the whole group when its time is up: children that it
// started must not pile up.
func checkCommand(ctx context.Context, s Spec) error {
	cmd := exec.CommandContext(ctx, s.Command[0], s.Command[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = commandGrace
	var said head
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		// It ended well but left a child that holds its output.
		_ = cmd.Cancel()
		return nil
	}
	if text := strings.TrimSpace(strings.ToValidUTF8(string(said), "")); err != nil && text != "" {
		return fmt.Errorf("%w: %s", err, text)
	}
	return err
}

// head keeps the first part of what is written to it, for a reason that operators can read.
type head []byte

var _ io.Writer = (*head)(nil)

// Write keeps what fits and drops the rest; it never fails, so that a talkative command is not stopped by it.
func (h *head) Write(p []byte) (int, error) {
	const most = 256
	*h = append(*h, p[:min(len(p), most-len(*h))]...)
	return len(p), nil
}
