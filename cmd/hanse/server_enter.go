package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hanse-mesh/hanse/internal/clock"
	"github.com/hanse-mesh/hanse/internal/run"
)

// entering is a node that starts where nobody has decided yet whether it makes a federation or joins one.
type entering struct {
	dataDir, joinFile string
	clock             clock.Clock
	logger            *slog.Logger
}

// enterPause is the time between two looks, maxToken bounds what is read of a file with a token, in bytes.
const (
	enterPause = 2 * time.Second
	maxToken   = 64 << 10
)

// errEntered ends the waiting.
var errEntered = errors.New("entered")

// openServer opens the node's data folder, and completes its options with the token of --join-file. With that flag it waits: for the file, or
// for 'hanse server init' in the same folder, and says so on the health port meanwhile.
func openServer(ctx context.Context, opts *serverOptions, c clock.Clock, logger *slog.Logger) error {
	if opts.joinFile == "" {
		return openDataDir(opts.dataDir)
	}
	e := entering{opts.dataDir, opts.joinFile, c, logger}
	done, err := e.try(opts)
	if done || err != nil {
		return err
	}
	health, err := listen("health-listen", opts.healthListen)
	if err != nil {
		return err
	}
	waiting := func() []string { return []string{e.waitsFor()} }
	logger.Info(e.waitsFor())
	err = run.Group(ctx,
		func(ctx context.Context) error {
			return serveHTTP(ctx, health, healthHandler(waiting, prometheus.NewRegistry()))
		},
		func(ctx context.Context) error { return e.wait(ctx, opts) },
	)
	if errors.Is(err, errEntered) {
		return nil
	}
	return err
}

func (e entering) waitsFor() string {
	return "waiting for a node token in --join-file " + e.joinFile + ", or for 'hanse server init' in --data-dir " + e.dataDir
}

func (e entering) wait(ctx context.Context, opts *serverOptions) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-e.clock.After(enterPause):
		}
		done, err := e.try(opts)
		if err != nil {
			return err
		}
		if done {
			return errEntered
		}
	}
}

// try opens the data folder if the node can go on. An init that is at work holds the folder, and is waited for.
func (e entering) try(opts *serverOptions) (bool, error) {
	_, err := os.Stat(filepath.Join(e.dataDir, nodeFile))
	switch {
	case err == nil:
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	default:
		text, err := readToken(e.joinFile)
		if text == "" || err != nil {
			return false, err
		}
		opts.join = text
	}
	if err := openDataDir(e.dataDir); errors.Is(err, errDataDirInUse) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, nil
}

// readToken reads a file that may come later: one that is not there holds nothing.
func readToken(path string) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxToken))
	return strings.TrimSpace(string(data)), err
}
