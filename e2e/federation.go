//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/federation/rest"
)

// federationName is the trust domain of the federations under test.
const federationName = "e2e.test"

// federation is some nodes on this machine.
type federation struct {
	t      *testing.T
	binary string
	dir    string
	nodes  []*node
	// flags are given to every node in addition to its own.
	flags []string
	// operator is the operator's token, operatorFile the file that "server init" wrote it to.
	operator, operatorFile string
}

// node is one federation node; proc is its newest process.
type node struct {
	name, region, dir, log           string
	grpc, rest, raft, gossip, health string
	api                              *api
	proc                             *process
}

// newFederation makes a federation and starts its nodes; each is a voter when it returns. place, which may be nil, is called with each
// node before anything is written to its data folder.
func newFederation(t *testing.T, ctx context.Context, size int, place func(i int, n *node), flags ...string) *federation {
	t.Helper()
	f := &federation{t: t, binary: binary(t), dir: t.TempDir(), flags: flags}
	f.operatorFile = filepath.Join(f.dir, "operator.token")
	for i := range size {
		n := f.newNode(fmt.Sprintf("n%d", i+1), fmt.Sprintf("r%d", i+1))
		if place != nil {
			place(i, n)
		}
		f.nodes = append(f.nodes, n)
	}
	t.Cleanup(f.explain)
	tokens := f.init()
	for i, n := range f.nodes {
		var err error
		if n.api, err = newAPI(n.rest, f.operator); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			f.start(n)
		} else {
			f.start(n, "--join", tokens[i-1])
		}
		f.waitReady(ctx, n)
	}
	return f
}

// newNode makes a node that has not started, with a folder and addresses of its own.
func (f *federation) newNode(name, region string) *node {
	f.t.Helper()
	a := freeAddresses(f.t, 5)
	return &node{
		name: name, region: region, dir: filepath.Join(f.dir, name), log: filepath.Join(f.dir, name+".log"),
		grpc: a[0], rest: a[1], raft: a[2], gossip: a[3], health: a[4],
	}
}

// init makes the federation on its first node and returns the tokens for the others.
func (f *federation) init() []string {
	f.t.Helper()
	args := append([]string{
		"server", "init", "-o", "json", "--federation", federationName,
		"--operator-token-file", f.operatorFile, "--root-key-file", filepath.Join(f.dir, "root.key"),
	}, f.nodes[0].args()...)
	cmd := exec.Command(f.binary, args...)
	cmd.Env = environment(f.t)
	out, err := cmd.Output()
	if err != nil {
		f.t.Fatalf("server init: %v: %s", err, stderrOf(err))
	}
	var made struct {
		NodeTokens []string `json:"nodeTokens"`
	}
	if err := json.Unmarshal(out, &made); err != nil {
		f.t.Fatalf("server init printed %q: %v", out, err)
	}
	text, err := os.ReadFile(f.operatorFile)
	if err != nil {
		f.t.Fatal(err)
	}
	f.operator = strings.TrimSpace(string(text))
	return made.NodeTokens
}

func stderrOf(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(exit.Stderr)
	}
	return ""
}

// args are the flags that make the binary this node.
func (n *node) args() []string {
	return []string{
		"--data-dir", n.dir, "--name", n.name, "--region", n.region,
		"--listen", n.grpc, "--rest-listen", n.rest, "--raft-listen", n.raft, "--gossip-listen", n.gossip, "--health-listen", n.health,
	}
}

// start starts a node from its data folder.
func (f *federation) start(n *node, extra ...string) {
	f.t.Helper()
	n.proc = spawn(f.t, n.log, slices.Concat([]string{f.binary, "server"}, n.args(), f.flags, extra)...)
}

// explain fails the test when a node has panicked or, in a binary built with -race, raced; it shows the ends of the logs of a failed test.
func (f *federation) explain() {
	for _, n := range f.nodes {
		if n.proc == nil {
			continue
		}
		for _, text := range []string{"panic: ", "fatal error: ", "DATA RACE"} {
			if n.proc.said(f.t, text) {
				f.t.Errorf("%s says %q", n.name, text)
			}
		}
		if f.t.Failed() {
			f.t.Log(n.proc.tail())
		}
	}
}

// waitReady waits until a node says that it can do its work.
func (f *federation) waitReady(ctx context.Context, n *node) {
	f.t.Helper()
	f.eventually(ctx, 30*time.Second, n.name+" is ready", func() error { return n.ready(ctx) })
}

// ready asks the node once.
func (n *node) ready(ctx context.Context) error {
	select {
	case <-n.proc.done:
		return fmt.Errorf("%w: %w", errEnded, n.proc.err)
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.health+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// waitLeader waits until a node that runs names a leader that runs, and returns the leader.
func (f *federation) waitLeader(ctx context.Context) *node {
	f.t.Helper()
	var leader *node
	f.eventually(ctx, 20*time.Second, "there is a leader", func() error {
		var failed []error
		for _, n := range f.nodes {
			var st rest.Status
			if _, err := n.api.get(ctx, "/v1/status", &st); err != nil {
				failed = append(failed, err)
				continue
			}
			for _, candidate := range f.nodes {
				if candidate.name == st.Leader && candidate.running() {
					leader = candidate
					return nil
				}
			}
			failed = append(failed, fmt.Errorf("%s says that %q leads", n.name, st.Leader))
		}
		return errors.Join(failed...)
	})
	return leader
}

func (n *node) running() bool {
	select {
	case <-n.proc.done:
		return false
	default:
		return true
	}
}

// waitIndex waits until a node's own replica is at least at the index.
func (f *federation) waitIndex(ctx context.Context, n *node, index uint64) {
	f.t.Helper()
	f.eventually(ctx, 30*time.Second, fmt.Sprintf("%s is at index %d", n.name, index), func() error {
		var ignored any
		at, err := n.api.get(ctx, "/v1/nodes", &ignored)
		if err == nil && at < index {
			err = fmt.Errorf("it is at %d", at)
		}
		return err
	})
}

// errEnded, in a check, means that waiting is in vain.
var errEnded = errors.New("the process ended")

// eventually polls until check succeeds; it fails the test when patience ends.
func (f *federation) eventually(ctx context.Context, patience time.Duration, what string, check func() error) {
	f.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) || ctx.Err() != nil || errors.Is(err, errEnded) {
			f.t.Fatalf("not within %s: %s: %v", patience, what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
