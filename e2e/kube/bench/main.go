// Command bench measures what a large Kubernetes cluster costs its agent, and how soon a change of its EndpointSlices is in another
// cluster's Envoy: `make bench-kube`. A cluster is etcd and an API server, which is all that an agent sees of one; so nothing here needs
// root, a node or a pod, and the endpoints are addresses that nothing is sent to.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/hanse-mesh/hanse/e2e/kube/binaries"
)

// options are the flags.
type options struct {
	hanse, envoy, root           string
	services, endpoints, changes int
	rate                         int
	keep                         bool
}

func main() {
	var o options
	flag.StringVar(&o.hanse, "hanse", "bin/hanse", "the hanse binary")
	flag.StringVar(&o.envoy, "envoy", os.Getenv("HANSE_ENVOY"), "the Envoy binary")
	flag.StringVar(&o.root, "root", ".", "root of the repository, from which Kubernetes is compiled when the cache does not have it")
	flag.IntVar(&o.services, "services", 1000, "exported services per cluster")
	flag.IntVar(&o.endpoints, "endpoints", 10, "endpoints per service")
	flag.IntVar(&o.changes, "changes", 200, "changes that are waited for, quiet and again while others are made")
	flag.IntVar(&o.rate, "rate", 100, "other changes a second")
	flag.BoolVar(&o.keep, "keep", false, "leave data and logs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-kube:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	hanse, err := filepath.Abs(o.hanse)
	if err != nil {
		return err
	}
	if o.envoy == "" {
		return fmt.Errorf("no Envoy: run this by make bench-kube, or give -envoy PATH")
	}
	if o.services <= 2*measured {
		return fmt.Errorf("-services %d: must be more than %d", o.services, 2*measured)
	}
	programs, err := binaries.Compile(ctx, o.root, os.Stderr)
	if err != nil {
		return err
	}
	w, err := newWorld(hanse, o.envoy, filepath.Join(programs.Kubernetes, "kube-apiserver"))
	if err != nil {
		return err
	}
	err = w.benchmark(ctx, o)
	w.procs.Close()
	if err != nil || o.keep {
		fmt.Println("data and logs are in", w.dir)
		return err
	}
	return os.RemoveAll(w.dir)
}
