// Package main brings up Kubernetes clusters on this machine for hands-on use, until it is interrupted: `make kube-up`, `make kube-down`.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/hanse-mesh/hanse/e2e/kube/lab"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "kubelab:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	o := lab.Options{Log: os.Stderr}
	flag.StringVar(&o.Root, "root", ".", "root of the repository")
	flag.StringVar(&o.Dir, "dir", ".run/kube/lab", "folder for logs, data and the kubeconfig; removed at the start")
	flag.IntVar(&o.Clusters, "clusters", 2, "number of clusters, named c1, c2 and so on")
	flag.StringVar(&o.ProxyMode, "proxy-mode", "nftables", "kube-proxy's mode: nftables or iptables")
	flag.StringVar(&o.Hanse, "hanse", "", "hanse binary for the clusters' image and the federation's nodes; without it there is neither")
	flag.StringVar(&o.Envoy, "envoy", "", "Envoy binary for the image")
	flag.Parse()
	for _, path := range []*string{&o.Root, &o.Dir, &o.Hanse, &o.Envoy} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	l, err := lab.Up(ctx, o)
	defer func() {
		if down := l.Down(); err == nil {
			err = down
		}
	}()
	if err != nil {
		return err
	}
	fmt.Printf("export KUBECONFIG=%s\n", l.KubeconfigFile())
	if l.Federation != nil {
		for _, variable := range l.Federation.Operator() {
			fmt.Println("export", variable)
		}
	}
	return serve(ctx, l, o)
}

// serve takes a new Hanse into the clusters at each SIGUSR1, until it is interrupted.
func serve(ctx context.Context, l *lab.Lab, o lab.Options) error {
	refresh := make(chan os.Signal, 1)
	signal.Notify(refresh, syscall.SIGUSR1)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-refresh:
		}
		if err := l.Refresh(ctx, o); err != nil {
			fmt.Fprintln(os.Stderr, "kubelab: refresh:", err)
			continue
		}
		fmt.Println("refreshed")
	}
}
