//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/gateway/explain"
)

// hanse runs an operator's command against one node and returns its output and exit code.
func (f *federation) hanse(n *node, args ...string) (string, int) {
	f.t.Helper()
	cmd := exec.Command(f.binary, append(args, "--operator-token-file", f.operatorFile, "--server", n.rest)...)
	cmd.Env = environment(f.t)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		f.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// newProxy starts a proxy of a site with a real Envoy.
func (s *site) newProxy(t *testing.T, envoy, name string, args ...string) *process {
	t.Helper()
	mint := []string{"token", "create", "workload", "--data-dir", s.dir, "--namespace", "shop", "--service-account", name, "--service", "pay"}
	cmd := exec.Command(s.f.binary, mint...)
	cmd.Env = environment(t)
	token, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderrOf(err))
	}
	a := freeAddresses(t, 2)
	_, inbound, _ := strings.Cut(a[1], ":")
	dir := filepath.Join(s.f.dir, name)
	// Envoys outlive their proxies.
	t.Cleanup(func() { _ = syscall.Kill(s.f.envoyOf(name), syscall.SIGKILL) })
	return spawn(t, dir+".log", append([]string{
		s.f.binary, "proxy", "--data-dir", dir, "--name", name, "--token", strings.TrimSpace(string(token)), "--envoy", envoy, "--concurrency", "1",
		"--locality", "r1", "--address", "127.0.0.1", "--inbound-port", inbound, "--health-listen", a[0],
	}, args...)...)
}

// TestWaitAndExplain asks at a node that the agent is not connected to, with real Envoys: who follows a change, and why calls go where they go.
// A frozen Envoy follows nothing, and says so by name.
func TestWaitAndExplain(t *testing.T) {
	envoy := os.Getenv("HANSE_ENVOY")
	if envoy == "" {
		t.Skip("no Envoy: set HANSE_ENVOY")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	f := newFederation(t, ctx, 2, nil)
	home, other := f.nodes[0], f.nodes[1]
	eu := f.newSite(t, "eu", filepath.Join(f.dir, "eu"), f.newToken(ctx, home, rest.NewToken{Kind: model.TokenCluster, Cluster: "eu", ExportNamespaces: []string{"shop"}}))
	f.eventually(ctx, 30*time.Second, "the agent is ready", func() error {
		if text := eu.get("/readyz"); !strings.HasPrefix(text, "ok") {
			return fmt.Errorf("it says %s", text)
		}
		return nil
	})
	a := freeAddresses(t, 2)
	eu.newProxy(t, envoy, "pay-1", "--service", "pay", "--export", "--port", "name=http,number=80,protocol=http,target="+a[0])
	eu.newProxy(t, envoy, "web-1", "--upstream", "service=pay.shop,bind="+a[1])
	f.eventually(ctx, 60*time.Second, "two proxies follow", func() error {
		var got rest.Acknowledgement
		out, code := f.hanse(other, "wait", "-o", "json", "--timeout", "1s")
		if err := json.Unmarshal([]byte(out), &got); code != exitOK || err != nil || len(got.Clusters) != 1 || got.Clusters[0].Proxies != 2 {
			return fmt.Errorf("exit code %d, %v: %s", code, err, out)
		}
		return nil
	})
	f.change(ctx, home, http.MethodPut, "/v1/export-rules/shop", map[string]any{
		"spec": policy.ExportRuleSpec{From: []string{policy.Any}, Namespaces: []string{"shop"}, To: []string{policy.Any}},
	})
	if out, code := f.hanse(other, "wait", "--timeout", "30s"); code != exitOK || !strings.Contains(out, "acknowledged by all 2 connected proxies of 1 clusters") {
		t.Errorf("wait: exit code %d: %s", code, out)
	}
	f.explained(other, eu)

	frozen := f.envoyOf("pay-1")
	if err := syscall.Kill(frozen, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// The rule lets a new member in: those who serve must admit one trust domain more, and nothing changes for who only calls.
	newMember(t, ctx, f, "us", home)
	out, code := f.hanse(other, "wait", "--cluster", "eu", "--timeout", "3s")
	if code != exitDifferences || !strings.Contains(out, "pay-1") || strings.Contains(out, "web-1") {
		t.Errorf("while an Envoy is frozen: exit code %d: %s", code, out)
	}
	if err := syscall.Kill(frozen, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if out, code := f.hanse(other, "wait", "--cluster", "eu", "--timeout", "30s"); code != exitOK {
		t.Errorf("after it went on: exit code %d: %s", code, out)
	}
	out, code = f.hanse(other, "wait", "--timeout", "2s")
	if code != exitDifferences || !strings.Contains(out, "the agent of cluster us is connected to no node") || strings.Contains(out, "pay-1") {
		t.Errorf("with a member whose agent never came: exit code %d: %s", code, out)
	}
}

// change has a node write something.
func (f *federation) change(ctx context.Context, n *node, method, path string, in any) {
	f.t.Helper()
	if r, err := n.api.do(ctx, method, path, in); err != nil || r.status >= 300 {
		f.t.Fatalf("%s %s: %v, status %d: %s", method, path, err, r.status, r.body)
	}
}

// envoyOf is the process of a proxy's Envoy.
func (f *federation) envoyOf(name string) int {
	f.t.Helper()
	text, err := os.ReadFile(filepath.Join(f.dir, name, "envoy", "envoy.pid"))
	if err != nil {
		f.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.Fields(string(text))[0])
	if err != nil {
		f.t.Fatal(err)
	}
	return pid
}

// explained checks what both the federation and the agent itself say of the one service.
func (f *federation) explained(n *node, eu *site) {
	f.t.Helper()
	local := exec.Command(f.binary, "agent", "explain", "web-1", "shop/pay", "-o", "json", "--data-dir", eu.dir)
	local.Env = environment(f.t)
	here, err := local.Output()
	if err != nil {
		f.t.Fatalf("%v: %s", err, stderrOf(err))
	}
	there, code := f.hanse(n, "explain", "eu/web-1", "shop/pay", "-o", "json")
	if code != exitOK {
		f.t.Fatalf("explain: exit code %d: %s", code, there)
	}
	for _, text := range []string{string(here), there} {
		var e explain.Explanation
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			f.t.Fatalf("%v: %s", err, text)
		}
		if len(e.Priorities) == 0 || e.InForce == nil || e.InForce.Acknowledged < e.InForce.Derived || !e.InForce.Newest || e.Index == 0 {
			f.t.Errorf("explained: %s", text)
		}
	}
}
