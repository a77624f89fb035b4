//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/rest"
)

// TestWorkloadsByAPI registers a workload that has no proxy at a node that its site's agent is not connected to: callers get it, other
// clusters are told, it outlives the agent's process, and a proxy of the same name takes it over.
func TestWorkloadsByAPI(t *testing.T) {
	envoy := os.Getenv("HANSE_ENVOY")
	if envoy == "" {
		t.Skip("no Envoy: set HANSE_ENVOY")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	f := newFederation(t, ctx, 2, nil)
	home, other := f.nodes[0], f.nodes[1]
	eu := f.newSite(t, "eu", filepath.Join(f.dir, "eu"),
		f.newToken(ctx, home, rest.NewToken{Kind: model.TokenCluster, Cluster: "eu", ExportNamespaces: []string{"shop"}}), "--api-workloads", "shop")
	ready := func() error {
		if text := eu.get("/readyz"); !strings.HasPrefix(text, "ok") {
			return fmt.Errorf("it says %s", text)
		}
		return nil
	}
	f.eventually(ctx, 30*time.Second, "the agent is ready", ready)
	f.change(ctx, home, http.MethodPut, "/v1/export-rules/shop", map[string]any{
		"spec": policy.ExportRuleSpec{From: []string{policy.Any}, Namespaces: []string{"shop"}, To: []string{policy.Any}},
	})
	register := []string{"workload", "register", "eu/pay-1", "-n", "shop", "--service", "pay", "--service-account", "pay-1", "--address", "127.0.0.9",
		"--inbound-port", "15006", "--port", "name=http,number=80,protocol=http", "--export"}
	f.eventually(ctx, 30*time.Second, "the workload is registered", func() error {
		if out, code := f.hanse(other, register...); code != exitOK {
			return fmt.Errorf("exit code %d: %s", code, out)
		}
		return nil
	})
	if out, code := f.hanse(other, append(register, "-n", "bank")...); code != exitDenied || !strings.Contains(out, "--api-workloads bank") {
		t.Errorf("in a namespace that the site keeps to itself: exit code %d: %s", code, out)
	}
	f.offers(ctx, home, "1 of 1")
	web := freeAddresses(t, 1)
	eu.newProxy(t, envoy, "web-1", "--upstream", "service=pay.shop,bind="+web[0])
	called := func() error {
		out, code := f.hanse(other, "explain", "eu/web-1", "shop/pay", "-o", "json")
		if code != exitOK || !strings.Contains(out, "127.0.0.9") {
			return fmt.Errorf("exit code %d: %s", code, out)
		}
		return nil
	}
	f.eventually(ctx, 60*time.Second, "the caller is given the workload", called)

	eu.proc.kill()
	f.unanswered(ctx, other)
	eu.start(t)
	f.eventually(ctx, 30*time.Second, "the agent is back", ready)
	f.eventually(ctx, 60*time.Second, "the caller still has the workload", called)
	f.offers(ctx, home, "1 of 1")

	a := freeAddresses(t, 1)
	eu.newProxy(t, envoy, "pay-1", "--service", "pay", "--export", "--port", "name=http,number=80,protocol=http,target="+a[0])
	f.eventually(ctx, 60*time.Second, "the proxy takes the workload over", func() error {
		var w rest.WorkloadDetail
		if _, err := other.api.get(ctx, "/v1/workloads/eu/pay-1", &w); err != nil || w.Declared || !w.Connected || w.Registration.Address != "127.0.0.1" {
			return fmt.Errorf("%w: %+v", err, w)
		}
		return nil
	})
	if out, code := f.hanse(other, "workload", "deregister", "eu/pay-1"); code != exitConflict || !strings.Contains(out, "registered by its proxy") {
		t.Errorf("the end of a proxy's registration: exit code %d: %s", code, out)
	}
	f.recorded(other)
}

// offers waits until a node knows how many of shop/pay's workloads are ready in eu.
func (f *federation) offers(ctx context.Context, n *node, want string) {
	f.t.Helper()
	f.eventually(ctx, 30*time.Second, "eu offers shop/pay with "+want+" ready", func() error {
		var s rest.ServiceDetail
		if _, err := n.api.get(ctx, "/v1/services/shop/pay", &s); err != nil || len(s.Offers) != 1 {
			return fmt.Errorf("%w: %+v", err, s)
		}
		ready, total := s.Offers[0].Ready()
		if got := fmt.Sprintf("%d of %d", ready, total); got != want {
			return fmt.Errorf("it is %s", got)
		}
		return nil
	})
}

// unanswered checks what is said while the agent is away: nothing is done, and nobody is told that the request was wrong.
func (f *federation) unanswered(ctx context.Context, n *node) {
	f.t.Helper()
	f.eventually(ctx, 30*time.Second, "the agent is known to be away", func() error {
		r, err := n.api.do(ctx, http.MethodDelete, "/v1/workloads/eu/pay-1", nil)
		if err != nil || r.status != http.StatusServiceUnavailable || !strings.Contains(string(r.body), "the agent of cluster eu is connected to no node") {
			return fmt.Errorf("%w, status %d: %s", err, r.status, r.body)
		}
		return nil
	})
}

// recorded checks that the audit log has the one registration, with what it was.
func (f *federation) recorded(n *node) {
	f.t.Helper()
	var log []model.AuditEntry
	out, code := f.hanse(n, "get", "audit", "--where", "kind=Workload", "-o", "json")
	var list struct{ Items []model.AuditEntry }
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != exitOK {
		f.t.Fatalf("%v, exit code %d: %s", err, code, out)
	}
	if log = list.Items; len(log) != 1 || log[0].Name != "eu/pay-1" || !strings.Contains(string(log[0].After), "127.0.0.9") || log[0].Before != nil {
		f.t.Errorf("audit: %s", out)
	}
}
