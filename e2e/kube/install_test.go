//go:build e2ekube

package kube

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hanse-mesh/hanse/e2e/kube/lab"
)

// systemNamespace is where Hanse's own pods run.
const systemNamespace = "hanse-system"

// openRule lets every cluster export everything to every other: what may be exported is not what these suites are about.
const openRule = `kind: ExportRule
name: everything
spec:
  from: ["*"]
  namespaces: ["*"]
  to: ["*"]
`

// install lets every cluster join the federation, all at once, as an operator would: by one command from outside of the clusters.
func install(ctx context.Context, l *lab.Lab, hanse string) error {
	begin := time.Now()
	rule := filepath.Join(l.Dir, "everything.yaml")
	if err := os.WriteFile(rule, []byte(openRule), 0o644); err != nil {
		return err
	}
	if _, err := l.Federation.CLI(ctx, "apply", "-f", rule); err != nil {
		return err
	}
	var all errgroup.Group
	for _, c := range l.Clusters {
		all.Go(func() error { return join(ctx, l, c, hanse) })
	}
	if err := all.Wait(); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "Hanse is installed in %d clusters after %.1f s\n", len(l.Clusters), time.Since(begin).Seconds())
	return nil
}

// join runs `hanse cluster join`; what it says is kept beside the cluster's logs.
func join(ctx context.Context, l *lab.Lab, c *lab.Cluster, hanse string) error {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, hanse, "cluster", "join", "--kubeconfig", c.KubeconfigFile(), "--name", c.Name, "--region", c.Region,
		"--image", lab.HanseImage, "--proxy-image", lab.HanseImage, "--wait", "3m")
	cmd.Env = append(os.Environ(), l.Federation.Operator()...)
	out, err := cmd.CombinedOutput()
	if write := os.WriteFile(filepath.Join(l.Dir, c.Name, "log", "join.log"), out, 0o644); err == nil {
		err = write
	}
	if err != nil {
		return fmt.Errorf("hanse cluster join in %s: %w\n%s", c.Name, err, tail(out, 2000))
	}
	return nil
}

// tail is the end of a text.
func tail(text []byte, size int) []byte { return text[max(0, len(text)-size):] }
