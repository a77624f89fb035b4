package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sys/unix"
)

// listen opens a TCP listener for the given flag; a port that is taken is an error that names the flag.
func listen(flag, address string) (net.Listener, error) {
	return listenWith(net.ListenConfig{}, flag, address)
}

// deadAfter is how long a client of the REST API may not acknowledge what it was sent. The kernel itself would keep a connection whose client
// is cut off for a quarter of an hour, and with it the place of a watch.
const deadAfter = 30 * time.Second

// listenForClients is listen for clients that are sent something again and again, and that may vanish.
func listenForClients(flag, address string) (net.Listener, error) {
	return listenWith(net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadAfter.Milliseconds()))
		})
		return errors.Join(err, failed)
	}}, flag, address)
}

func listenWith(config net.ListenConfig, flag, address string) (net.Listener, error) {
	l, err := config.Listen(context.Background(), "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("--%s %s: the port is already in use: stop the other process or choose another port (ss -ltnp shows who holds it)", flag, address)
	case err != nil:
		return nil, fmt.Errorf("--%s %s: %w", flag, address, err)
	}
	return l, nil
}

// openDataDir makes the folder and takes its lock, so that no second process writes there. The lock ends with the process.
func openDataDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return fmt.Errorf("--data-dir %s %w: stop it or choose another folder", dir, errDataDirInUse)
	}
	// The descriptor stays open on purpose: closing it would give up the lock.
	dataDirLocks = append(dataDirLocks, f)
	return nil
}

// errDataDirInUse is what an error is when another process has the folder.
var errDataDirInUse = errors.New("is in use by another process")

// dataDirLocks keeps the locks reachable, so that no finalizer closes them.
var dataDirLocks []*os.File

// newRegistry returns a metrics registry with what every process reports.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// gauge registers a gauge whose value is read when metrics are scraped.
func gauge(r *prometheus.Registry, name, help string, value func() float64) {
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "hanse", Name: name, Help: help}, value))
}

// readiness says why a role is not ready; an empty list is ready.
type readiness func() []string

// healthHandler serves /healthz (the process answers), /readyz (the role can do its work, with notes for whoever looks) and /metrics.
func healthHandler(ready readiness, r *prometheus.Registry, notes ...readiness) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if missing := ready(); len(missing) > 0 {
			http.Error(w, "not ready: "+strings.Join(missing, "; "), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
		for _, note := range notes {
			for _, text := range note() {
				fmt.Fprintln(w, "note:", text)
			}
		}
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
	return mux
}

// serveHTTP serves until ctx ends, then lets requests finish for a moment. Changes are made to the server before it begins.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler, changes ...func(*http.Server)) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		// What a client does wrong in its TLS handshake is the client's to know.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	for _, change := range changes {
		change(srv)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		_ = srv.Close()
	}
	<-done
	return ctx.Err()
}
