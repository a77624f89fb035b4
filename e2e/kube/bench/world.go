package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/e2e/fleet"
)

const (
	federationName = "bench.test"
	nodes          = 3
	loopback       = "127.0.0.1"
)

// world is everything that runs: the federation's nodes, and clusters that are an API server with an agent each.
type world struct {
	hanse, envoy, apiserver string
	dir                     string
	procs                   *fleet.Fleet
	rest                    string
	used                    map[int]bool
}

func newWorld(hanse, envoy, apiserver string) (*world, error) {
	procs, err := fleet.New()
	if err != nil {
		return nil, err
	}
	// A short path: Unix sockets live below it.
	dir, err := os.MkdirTemp("", "hanse-bench-")
	return &world{hanse: hanse, envoy: envoy, apiserver: apiserver, dir: dir, procs: procs, used: map[int]bool{}}, err
}

func (w *world) data(name string) string { return filepath.Join(w.dir, name) }

func (w *world) start(name string, argv ...string) error {
	return w.procs.Start(fleet.Program{Name: name, Argv: argv, Log: filepath.Join(w.dir, "log", name+".log")})
}

// address is a free one on loopback, below the range from which the kernel picks the ports of outgoing connections.
func (w *world) address() string {
	for port := 10000; port < 20000; port++ {
		if w.used[port] {
			continue
		}
		w.used[port] = true
		l, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(port)))
		if err != nil {
			continue
		}
		_ = l.Close()
		return net.JoinHostPort(loopback, strconv.Itoa(port))
	}
	panic("no free port between 10000 and 20000")
}

// cli runs an operator's command and returns what it prints.
func (w *world) cli(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.hanse, args...)
	cmd.Env = append(os.Environ(), "HANSE_OPERATOR_TOKEN_FILE="+w.data("operator.token"), "HANSE_SERVER="+w.rest, "HOME="+w.dir)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("hanse %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

// raiseFederation starts the nodes, and lets every cluster call everything.
func (w *world) raiseFederation(ctx context.Context) error {
	var tokens []string
	for i := range nodes {
		rest, health := w.address(), w.address()
		args := []string{
			"--data-dir", w.data(fmt.Sprint("node-", i)), "--name", fmt.Sprint("n", i+1), "--region", region(i + 1), "--listen", w.address(),
			"--rest-listen", rest, "--raft-listen", w.address(), "--gossip-listen", w.address(), "--health-listen", health,
		}
		if i == 0 {
			w.rest = rest
			var err error
			if tokens, err = w.initFederation(ctx, args); err != nil {
				return err
			}
		} else {
			args = append(args, "--join", tokens[i-1])
		}
		if err := w.start(fmt.Sprint("node-", i), append([]string{w.hanse, "server"}, args...)...); err != nil {
			return err
		}
		if err := fleet.Eventually(ctx, 30*time.Second, func() error { return ready(ctx, health) }); err != nil {
			return err
		}
	}
	rule := w.data("rule.yaml")
	text := "kind: ExportRule\nname: everything\nspec:\n  from: [\"*\"]\n  namespaces: [\"*\"]\n  to: [\"*\"]\n"
	if err := os.WriteFile(rule, []byte(text), 0o600); err != nil {
		return err
	}
	_, err := w.cli(ctx, "apply", "-f", rule)
	return err
}

func (w *world) initFederation(ctx context.Context, args []string) ([]string, error) {
	text, err := w.cli(ctx, append([]string{
		"server", "init", "-o", "json", "--federation", federationName, "--operator-token-file", w.data("operator.token"), "--root-key-file", w.data("root.key"),
	}, args...)...)
	if err != nil {
		return nil, err
	}
	var made struct {
		NodeTokens []string `json:"nodeTokens"`
	}
	if err := json.Unmarshal([]byte(text), &made); err != nil || len(made.NodeTokens) < nodes-1 {
		return nil, fmt.Errorf("hanse server init printed %q: %w", text, err)
	}
	return made.NodeTokens, nil
}

func region(i int) string { return fmt.Sprint("r", i) }

// ready asks a role's /readyz and returns what it says is missing.
func ready(ctx context.Context, address string) error {
	text, err := get(ctx, http.DefaultClient, "http://"+address+"/readyz")
	if err != nil {
		return fmt.Errorf("%w %s", err, text)
	}
	return nil
}

// get returns a page; the error tells of a status that is not 200.
func get(ctx context.Context, client *http.Client, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	var body bytes.Buffer
	if _, err := body.ReadFrom(response.Body); err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s", url, response.Status)
	}
	return strings.TrimSpace(body.String()), err
}
