//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/rest"
)

// site is a real agent of a cluster.
type site struct {
	f                    *federation
	cluster, dir, health string
	args                 []string
	proc                 *process
}

// newSite starts a cluster's agent on a folder; token is empty when the folder has been used.
func (f *federation) newSite(t *testing.T, cluster, dir, token string, flags ...string) *site {
	t.Helper()
	a := freeAddresses(t, 2)
	s := &site{f: f, cluster: cluster, dir: dir, health: a[1], args: []string{
		f.binary, "agent", "--cluster", cluster, "--region", "r1", "--data-dir", dir, "--listen", a[0], "--health-listen", a[1],
	}}
	s.args = append(s.args, flags...)
	argv := s.args
	if token != "" {
		argv = append(slices.Clone(argv), "--token", token)
	}
	s.proc = spawn(t, dir+".log", argv...)
	return s
}

func (s *site) start(t *testing.T) {
	t.Helper()
	s.proc = spawn(t, s.dir+".log", s.args...)
}

// get reads a page of the agent's health port.
func (s *site) get(path string) string {
	client := http.Client{Timeout: time.Second}
	resp, err := client.Get("http://" + s.health + path)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(resp.Body)
	return string(text)
}

// imports is what the agent holds of a cluster.
type imports struct {
	Cluster      string `json:"cluster"`
	Services     int    `json:"services"`
	HeldServices int    `json:"heldServices"`
}

// agentView is what "hanse agent status" says.
type agentView struct {
	Instance     string    `json:"instance"`
	Epoch        uint64    `json:"epoch"`
	SupersededBy string    `json:"supersededBy"`
	Imports      []imports `json:"imports"`
}

func (s *site) status() (v agentView, err error) {
	cmd := exec.Command(s.f.binary, "agent", "status", "-o", "json", "--data-dir", s.dir)
	cmd.Env = environment(s.f.t)
	out, err := cmd.Output()
	if err != nil {
		return v, fmt.Errorf("%w: %s", err, stderrOf(err))
	}
	return v, json.Unmarshal(out, &v)
}

// imports waits until the agent has so many services of a cluster, so many of them held.
func (s *site) imports(ctx context.Context, patience time.Duration, of string, services, held int) {
	s.f.t.Helper()
	s.f.eventually(ctx, patience, fmt.Sprintf("%s imports %d services of %s, %d of them held", s.cluster, services, of, held), func() error {
		v, err := s.status()
		if err != nil {
			return err
		}
		for _, i := range v.Imports {
			if i.Cluster == of && i.Services == services && i.HeldServices == held {
				return nil
			}
		}
		return fmt.Errorf("it imports %+v", v.Imports)
	})
}

func (n *node) feed(ctx context.Context, cluster string) (*rest.Feed, error) {
	var c rest.ClusterView
	if _, err := n.api.get(ctx, "/v1/clusters/"+cluster, &c); err != nil {
		return nil, err
	}
	if c.Feed == nil {
		return nil, errors.New("it has published nothing")
	}
	return c.Feed, nil
}

// problem waits until a node names a problem.
func (f *federation) problem(ctx context.Context, n *node, text string) {
	f.t.Helper()
	f.eventually(ctx, 15*time.Second, n.name+" says "+text, func() error {
		var st rest.Status
		if _, err := n.api.get(ctx, "/v1/status", &st); err != nil {
			return err
		}
		if !slices.ContainsFunc(st.Problems, func(p string) bool { return strings.Contains(p, text) }) {
			return fmt.Errorf("it says %q", st.Problems)
		}
		return nil
	})
}

// TestTwoAgentsOnCopiesOfOneFolder runs an agent and a copy of it: exactly one publishes, all see it, and the other one takes over when
// that one is gone or frozen, and not before.
func TestTwoAgentsOnCopiesOfOneFolder(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	f := newFederation(t, ctx, 1, nil)
	n := f.nodes[0]
	dir := filepath.Join(f.dir, "eu")
	first := f.newSite(t, "eu", dir, f.newToken(ctx, n, rest.NewToken{Kind: model.TokenCluster, Cluster: "eu"}))
	publishes := func(s *site, rivals int, patience time.Duration) (v agentView) {
		t.Helper()
		f.eventually(ctx, patience, fmt.Sprintf("the agent on %s publishes, with %d rivals", filepath.Base(s.dir), rivals), func() error {
			feed, err := n.feed(ctx, "eu")
			if err != nil {
				return err
			}
			if v, err = s.status(); err != nil {
				return err
			}
			if feed.Instance != v.Instance || len(feed.Rivals) != rivals || v.SupersededBy != "" {
				return fmt.Errorf("the feed is %+v, the agent's status %+v", feed, v)
			}
			return nil
		})
		return v
	}
	publishes(first, 0, 30*time.Second)
	copied := filepath.Join(f.dir, "copy")
	copyFolder(t, dir, copied)
	second := f.newSite(t, "eu", copied, "")
	publishes(second, 1, 15*time.Second)
	f.problem(ctx, n, "two agents publish as cluster eu")
	f.eventually(ctx, 5*time.Second, "the first one says so", func() error {
		if ready, metrics := first.get("/readyz"), first.get("/metrics"); !strings.Contains(ready, "another agent publishes as cluster eu") || !strings.Contains(metrics, "hanse_uplink_superseded 1") {
			return fmt.Errorf("it says %q", ready)
		}
		return nil
	})
	before, err := n.feed(ctx, "eu")
	if err != nil {
		t.Fatal(err)
	}
	sleep(ctx, 15*time.Second)
	if after, err := n.feed(ctx, "eu"); err != nil || after.Instance != before.Instance || after.Epoch != before.Epoch {
		t.Fatalf("they take the feed from each other: %+v, then %+v (%v)", before, after, err)
	}
	began := time.Now()
	if err := second.proc.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	f.eventually(ctx, 20*time.Second, "the first one takes over from the frozen one", func() error {
		v, err := first.status()
		if err == nil && v.SupersededBy != "" {
			err = errors.New("it waits")
		}
		return err
	})
	t.Logf("the first one took over %v after the second was frozen", time.Since(began).Round(100*time.Millisecond))
	if err := second.proc.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	publishes(first, 1, 20*time.Second)
	second.proc.kill()
	publishes(first, 0, 40*time.Second)
}

// copyFolder copies an agent's folder, without its socket.
func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		case !entry.Type().IsRegular():
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), data, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAMassRemovalIsHeldElsewhere has a cluster withdraw most of its services at once: another cluster's agent keeps them for a while,
// also when it is killed meanwhile, and lets them go at once when the removal is confirmed.
func TestAMassRemovalIsHeldElsewhere(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	f := newFederation(t, ctx, 1, nil)
	n := f.nodes[0]
	all := []string{policy.Any}
	rule := rest.ExportRule{Spec: policy.ExportRuleSpec{From: all, Namespaces: all, To: all}}
	if r, err := n.api.do(ctx, http.MethodPut, "/v1/export-rules/all", rule); err != nil || r.status >= 300 {
		t.Fatalf("the rule: status %d: %s, %v", r.status, r.body, err)
	}
	us := startPublisher(t, ctx, f, "us", 0)
	eu := f.newSite(t, "eu", filepath.Join(f.dir, "eu"), f.newToken(ctx, n, rest.NewToken{Kind: model.TokenCluster, Cluster: "eu"}))
	offer, withdraw := us.services(0, 20)
	us.uplink.Publish(offer, nil)
	eu.imports(ctx, 30*time.Second, "us", 21, 0)

	us.uplink.Publish(nil, withdraw)
	eu.imports(ctx, 5*time.Second, "us", 21, 20)
	f.problem(ctx, n, "cluster eu: 20 of 21 services of cluster us vanished at once")
	if err := us.uplink.ConfirmRemovals(ctx); err != nil {
		t.Fatal(err)
	}
	eu.imports(ctx, 5*time.Second, "us", 1, 0)

	us.uplink.Publish(offer, nil)
	eu.imports(ctx, 5*time.Second, "us", 21, 0)
	us.uplink.Publish(nil, withdraw)
	eu.imports(ctx, 5*time.Second, "us", 21, 20)
	began := time.Now()
	sleep(ctx, 3*time.Second)
	eu.proc.kill()
	eu.start(t)
	eu.imports(ctx, 10*time.Second, "us", 21, 20)
	sleep(ctx, time.Until(began.Add(25*time.Second)))
	eu.imports(ctx, time.Second, "us", 21, 20)
	eu.imports(ctx, 15*time.Second, "us", 1, 0)

	// The command of the operator: it publishes a new epoch.
	v, err := eu.status()
	if err != nil {
		t.Fatal(err)
	}
	(invocation{args: []string{"agent", "confirm-removals", "--data-dir", eu.dir}, code: exitOK}).check(t, f.binary)
	if after, err := eu.status(); err != nil || after.Epoch != v.Epoch+1 {
		t.Errorf("epoch %d, then %d: %v", v.Epoch, after.Epoch, err)
	}
	(invocation{args: []string{"agent", "confirm-removals", "--data-dir", f.dir}, code: exitUnavailable, says: []string{"--data-dir"}}).check(t, f.binary)
}

// services are some of a publisher's, and their keys.
func (p *publisher) services(first, last int) (list []model.Record, keys []string) {
	for i := first; i < last; i++ {
		r := model.Record{Cluster: p.cluster.Name, Service: &model.ServiceRecord{
			Service:    model.ServiceKey{Namespace: publishedNamespace, Name: fmt.Sprint("s", i)},
			Ports:      []model.Port{{Name: "http", Number: 80, Protocol: model.ProtocolHTTP}},
			Identities: []string{"spiffe://" + p.cluster.TrustDomain + "/ns/" + publishedNamespace + "/sa/web"},
			Capacity:   []model.Capacity{{Locality: model.Locality{Region: "r1"}, Ready: 1, Total: 1}},
		}}
		list, keys = append(list, r), append(keys, r.Key())
	}
	return list, keys
}
