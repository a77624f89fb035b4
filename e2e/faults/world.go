//go:build e2e

// Package faults plants faults in a federation of real processes, with real Envoys, and checks that the command line names each cause, and
// names it no more once it is gone.
package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/e2e/fleet"
)

const (
	federationName = "faults.test"
	// roleVariable makes the suite's program an application.
	roleVariable = "HANSE_FAULTS_ROLE"
	// clockVariable names the file that moves a process's clock; see the build tag wrongclock of cmd/hanse.
	clockVariable = "HANSE_WRONG_CLOCK"
)

// sites are the clusters, each in a region of its own.
var sites = []string{"eu", "us", "ap"}

func regionOf(site string) string {
	return map[string]string{"eu": "eu-west", "us": "us-east", "ap": "ap-south"}[site]
}

// world is a federation of three nodes and three sites.
type world struct {
	// hanse is the binary under test. What has a clock to be moved runs skewed, the same built for that.
	hanse, skewed, self, envoy, dir string
	fleet                           *fleet.Fleet
	ports                           *ports
	nodes                           map[string]nodeAddresses
	agents                          map[string]agentAddresses
	proxies                         map[string]*proxy
}

type nodeAddresses struct{ grpc, rest, raft, gossip, health string }

type agentAddresses struct{ site, health string }

func newWorld(ctx context.Context, dir string) (*world, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	w := &world{
		self: self, hanse: os.Getenv("HANSE_BINARY"), skewed: filepath.Join(dir, "hanse-skewed"), envoy: os.Getenv("HANSE_ENVOY"), dir: dir,
		ports: &ports{next: 20_000 + os.Getpid()*41%8_000}, nodes: map[string]nodeAddresses{}, agents: map[string]agentAddresses{}, proxies: map[string]*proxy{},
	}
	if w.hanse == "" || w.envoy == "" {
		return nil, errors.New("HANSE_BINARY and HANSE_ENVOY name the binary and an Envoy: run this by `make e2e`")
	}
	build := exec.CommandContext(ctx, "go", "build", "-tags", "wrongclock", "-o", w.skewed, "../../cmd/hanse")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the binary whose clock can be moved: %w: %s", err, out)
	}
	if w.fleet, err = fleet.New(); err != nil {
		return nil, err
	}
	return w, os.MkdirAll(w.logs(), 0o755)
}

func (w *world) logs() string             { return filepath.Join(w.dir, "logs") }
func (w *world) data(name string) string  { return filepath.Join(w.dir, name) }
func (w *world) operatorFile() string     { return filepath.Join(w.dir, "operator.token") }
func (w *world) clock(name string) string { return filepath.Join(w.dir, name+".clock") }

// setClock moves the clock of a node or an agent.
func (w *world) setClock(name string, offset time.Duration) error {
	if offset == 0 {
		return os.Remove(w.clock(name))
	}
	return os.WriteFile(w.clock(name), []byte(offset.String()), 0o600)
}

// start runs a program in the background.
func (w *world) start(name string, env []string, argv ...string) error {
	return w.fleet.Start(fleet.Program{Name: name, Argv: argv, Env: env, Log: filepath.Join(w.logs(), name+".log")})
}

// answer is what a command said and how it ended.
type answer struct {
	out, err string
	code     int
}

// run runs an operator's command to its end.
func (w *world) run(ctx context.Context, args ...string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.hanse, args...)
	cmd.Env = append(os.Environ(), "HANSE_OPERATOR_TOKEN_FILE="+w.operatorFile())
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		err = nil
	}
	return answer{out.String(), strings.TrimSpace(errOut.String()), cmd.ProcessState.ExitCode()}, err
}

// cli runs a command that must succeed and returns its standard output.
func (w *world) cli(ctx context.Context, args ...string) (string, error) {
	a, err := w.run(ctx, args...)
	if err == nil && a.code != 0 {
		err = fmt.Errorf("exit code %d: %s", a.code, a.err)
	}
	if err != nil {
		return "", fmt.Errorf("hanse %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(a.out), nil
}

// apply writes documents.
func (w *world) apply(ctx context.Context, documents string) error {
	path := filepath.Join(w.dir, "apply.yaml")
	if err := os.WriteFile(path, []byte(documents), 0o600); err != nil {
		return err
	}
	_, err := w.cli(ctx, "apply", "-f", path)
	return err
}

// ready waits until the roles at these health addresses can do their work.
func ready(ctx context.Context, addresses ...string) error {
	return fleet.Eventually(ctx, 30*time.Second, func() error {
		for _, a := range addresses {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a+"/readyz", nil)
			if err != nil {
				return err
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("%s: status %d", a, resp.StatusCode)
			}
		}
		return nil
	})
}

// showLogs shows the ends of the logs of a failed test.
func (w *world) showLogs(t *testing.T) {
	logs, _ := filepath.Glob(filepath.Join(w.logs(), "*.log"))
	for _, path := range logs {
		data, err := os.ReadFile(path)
		if err == nil {
			lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
			t.Logf("--- %s\n%s", filepath.Base(path), bytes.Join(lines[max(0, len(lines)-8):], []byte("\n")))
		}
	}
}

// ports hands out loopback ports below those of outgoing connections.
type ports struct{ next int }

func (p *ports) address() string {
	for {
		p.next++
		a := fmt.Sprintf("127.0.0.1:%d", p.next)
		l, err := net.Listen("tcp", a)
		if err != nil {
			continue
		}
		_ = l.Close()
		return a
	}
}

func decode(text string, into any) error {
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return fmt.Errorf("%w in %.200q", err, text)
	}
	return nil
}
