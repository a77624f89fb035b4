package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/hanse-mesh/hanse/e2e/wan"
)

const (
	// FederationSite is the federation's name in the wide-area network.
	FederationSite = "federation"
	// federationName is its trust domain.
	federationName = "lab.test"
	// federationIndex is its place among the addresses.
	federationIndex = 10
	federationNodes = 3
)

// Federation is three nodes, reachable from the clusters over the wide-area network.
type Federation struct {
	sandbox *sandbox
	hanse   string
	address Addresses
}

// newFederation starts the nodes and waits until they are ready.
func newFederation(ctx context.Context, dir, hanse string, network *wan.Switch) (*Federation, error) {
	f := &Federation{hanse: hanse, address: addressesOf(federationIndex)}
	var err error
	if f.sandbox, err = newSandbox(ctx, FederationSite, dir); err != nil {
		return f, err
	}
	if err := wire(ctx, f.sandbox, network, f.address); err != nil {
		return f, err
	}
	tokens, err := f.init(ctx)
	if err != nil {
		return f, err
	}
	for i := range federationNodes {
		argv := append([]string{hanse, "server"}, f.args(i)...)
		if i > 0 {
			argv = append(argv, "--join", tokens[i-1])
		}
		if err := f.sandbox.start(nodeName(i), argv...); err != nil {
			return f, err
		}
		if err := f.awaitNode(ctx, i); err != nil {
			return f, err
		}
	}
	return f, nil
}

func nodeName(i int) string { return fmt.Sprintf("n%d", i+1) }

// port is where the i-th node serves; all nodes have the same address.
func port(base, i int) int { return base + 100*i }

// Bases of the nodes' ports: the i-th node's are 100*i above.
const (
	grpcPort   = 7700
	restPort   = 7701
	raftPort   = 7702
	gossipPort = 7703
	healthPort = 7704
)

// args are the flags that make the binary the i-th node.
func (f *Federation) args(i int) []string {
	at := func(base int) string { return fmt.Sprintf("%s:%d", f.address.WAN4, port(base, i)) }
	return []string{
		"--data-dir", filepath.Join(f.sandbox.dir, nodeName(i)), "--name", nodeName(i), "--region", fmt.Sprintf("r%d", i+1),
		"--listen", at(grpcPort), "--rest-listen", fmt.Sprintf("%s:%d", f.address.Node, port(restPort, i)), "--raft-listen", at(raftPort),
		"--gossip-listen", at(gossipPort), "--health-listen", fmt.Sprintf("%s:%d", f.address.Node, port(healthPort, i)),
	}
}

// operatorFile holds the operator's token.
func (f *Federation) operatorFile() string { return filepath.Join(f.sandbox.dir, "operator.token") }

func (f *Federation) init(ctx context.Context) ([]string, error) {
	out, err := f.run(ctx, append([]string{
		"server", "init", "-o", "json", "--federation", federationName, "--operator-token-file", f.operatorFile(),
		"--root-key-file", filepath.Join(f.sandbox.dir, "root.key"),
	}, f.args(0)...)...)
	if err != nil {
		return nil, err
	}
	var made struct {
		NodeTokens []string `json:"nodeTokens"`
	}
	if err := json.Unmarshal(out, &made); err != nil || len(made.NodeTokens) < federationNodes-1 {
		return nil, fmt.Errorf("server init printed %q: %w", out, err)
	}
	return made.NodeTokens, nil
}

// run runs the binary among the federation's nodes.
func (f *Federation) run(ctx context.Context, args ...string) ([]byte, error) {
	return output(f.sandbox.command(ctx, append([]string{"env", "HOME=" + f.sandbox.dir, f.hanse}, args...)...))
}

// output runs a command and returns what it prints; the error holds what it complains of.
func output(cmd *exec.Cmd) ([]byte, error) {
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	if err != nil {
		return out, fmt.Errorf("%v: %w", cmd.Args, err)
	}
	return out, nil
}

func (f *Federation) awaitNode(ctx context.Context, i int) error {
	url := fmt.Sprintf("http://%s:%d/readyz", f.address.Node, port(healthPort, i))
	return Eventually(ctx, 30*time.Second, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return fmt.Errorf("node %s: %w; see %s/log/%s.log", nodeName(i), err, f.sandbox.dir, nodeName(i))
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("node %s is not ready: %s", nodeName(i), response.Status)
		}
		return nil
	})
}

// Operator is the environment that lets a hanse command on this machine speak to the federation as its operator.
func (f *Federation) Operator() []string {
	return []string{
		"HANSE_SERVER=" + fmt.Sprintf("%s:%d", f.address.Node, restPort), "HANSE_OPERATOR_TOKEN_FILE=" + f.operatorFile(),
		// Contexts and the like are the lab's own.
		"HOME=" + f.sandbox.dir,
	}
}

// CLI runs a hanse command on this machine with the operator's token and returns what it prints.
func (f *Federation) CLI(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, f.hanse, args...)
	cmd.Env = append(os.Environ(), f.Operator()...)
	return output(cmd)
}

func (f *Federation) close() {
	if f.sandbox != nil {
		f.sandbox.close()
	}
	unwire(federationIndex)
}
