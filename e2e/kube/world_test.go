//go:build e2ekube

package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/klog/v2"
	mcs "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"

	"github.com/hanse-mesh/hanse/e2e/kube/lab"
)

// member is a cluster with a client for the Multi-Cluster Services API.
type member struct {
	*lab.Cluster
	mcs mcs.Interface
}

// world is what all tests share.
var world struct {
	ctx     context.Context
	members []*member
	// lab is nil when the clusters were there before.
	lab *lab.Lab
	// dir is the folder for reports.
	dir string
}

// TestMain brings the clusters up, and takes them down whatever happens.
func TestMain(m *testing.M) {
	// client-go logs each closed connection of a command in a pod.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := 1
	if err := raise(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "e2e/kube:", err)
		keepLogs()
	} else if code = m.Run(); code != 0 {
		keepLogs()
	}
	stop()
	if world.lab != nil {
		if err := world.lab.Down(); err != nil {
			fmt.Fprintln(os.Stderr, "e2e/kube:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// keepLogs puts what explains a failure into a folder that the next run leaves alone.
func keepLogs() {
	if world.lab == nil {
		return
	}
	folder, err := world.lab.Collect(context.Background(), world.dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e/kube: collect logs:", err)
	}
	fmt.Fprintln(os.Stderr, "e2e/kube: logs and objects are in", folder)
}

// raise makes the clusters, or connects to those that KUBECONFIGS names, and installs Hanse.
func raise(ctx context.Context) error {
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	world.ctx, world.dir = ctx, filepath.Join(root, ".run", "kube")
	if err := os.MkdirAll(world.dir, 0o755); err != nil {
		return err
	}
	if files := os.Getenv("KUBECONFIGS"); files != "" {
		return connect(strings.Split(files, ","))
	}
	clusters := 2
	if text := os.Getenv("CLUSTERS"); text != "" {
		if clusters, err = strconv.Atoi(text); err != nil || clusters < 2 {
			return fmt.Errorf("CLUSTERS=%s: must be a number from 2 to %d", text, lab.MaxClusters)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute)
	defer cancel()
	world.lab, err = lab.Up(ctx, lab.Options{
		Root: root, Dir: filepath.Join(world.dir, "lab"), Clusters: clusters, Log: os.Stderr, ProxyMode: os.Getenv("PROXY_MODE"),
		Hanse: os.Getenv("HANSE_BINARY"), Envoy: os.Getenv("HANSE_ENVOY"),
	})
	if err != nil {
		return err
	}
	if err := adopt(world.lab.Clusters); err != nil {
		return err
	}
	if world.lab.Federation == nil {
		return errors.New("there is no Hanse to install: run `make e2e-kube`, or name binaries in HANSE_BINARY and HANSE_ENVOY")
	}
	return install(ctx, world.lab, os.Getenv("HANSE_BINARY"))
}

// connect adopts clusters that are there already.
func connect(files []string) error {
	var clusters []*lab.Cluster
	for i, file := range files {
		text, err := os.ReadFile(strings.TrimSpace(file))
		if err != nil {
			return fmt.Errorf("KUBECONFIGS: %w", err)
		}
		c := &lab.Cluster{Name: fmt.Sprintf("c%d", i+1)}
		if err := c.Connect(text); err != nil {
			return err
		}
		clusters = append(clusters, c)
	}
	return adopt(clusters)
}

func adopt(clusters []*lab.Cluster) error {
	for _, c := range clusters {
		client, err := mcs.NewForConfig(c.Config)
		if err != nil {
			return fmt.Errorf("client for %s: %w", c.Name, err)
		}
		world.members = append(world.members, &member{Cluster: c, mcs: client})
	}
	return nil
}
