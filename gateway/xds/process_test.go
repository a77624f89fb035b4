package xds

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/gateway/bootstrap"
)

// process is one real Envoy with the server of its resources.
type process struct {
	*ads
	run   *os.Process
	admin *http.Client
}

func findEnvoy(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("HANSE_ENVOY"); path != "" {
		return path
	}
	path, err := exec.LookPath("envoy")
	if err != nil {
		t.Skip("no Envoy: set HANSE_ENVOY or put envoy on the PATH")
	}
	return path
}

// startEnvoy runs an Envoy until the test ends, and then fails the test if it refused any resource.
func startEnvoy(t *testing.T, binary, name string, set Resources) *process {
	t.Helper()
	// t.TempDir may be longer than a socket's path may be.
	dir, err := os.MkdirTemp("", "hx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &process{ads: serveADS(t, filepath.Join(dir, "x"), set), admin: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, "a"))
		},
	}}}
	t.Cleanup(p.admin.CloseIdleConnections)
	text, err := bootstrap.Build(bootstrap.Config{
		NodeID: name, Cluster: "test", XDSSocket: filepath.Join(dir, "x"), AdminSocket: filepath.Join(dir, "a"), Locality: here,
	})
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "c.json")
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-c", config, "--disable-hot-restart", "--concurrency", "1", "--drain-time-s", "1", "--log-level", "warning")
	said, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = said.Close() }()
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.run = cmd.Process
	t.Cleanup(func() {
		if t.Failed() {
			a, err := call(p.admin, "GET", "http://admin/clusters", "")
			t.Logf("%s saw (%v):\n%s", name, err, a.body)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		said, _ := os.ReadFile(said.Name())
		for _, line := range strings.Split(string(said), "\n") {
			// The stream ends with the test, and of the two ways to lead datagrams to a cluster one is new and the other goes.
			expected := strings.Contains(line, "DeltaAggregatedResources") || strings.Contains(line, "UdpProxyConfig.matcher")
			if strings.Contains(line, "[warning]") && !expected {
				t.Errorf("%s warns: %s", name, line)
			}
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", name, said)
		}
		for _, n := range p.refusals() {
			t.Errorf("%s refused %s", name, n)
		}
	})
	return p
}

// eventually repeats a check until it holds: what real processes agree on takes a moment.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-tick.C:
		}
	}
}

func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func loopback(port uint16) string { return fmt.Sprint("127.0.0.1:", port) }
