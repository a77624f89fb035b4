package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hanse-mesh/hanse/internal/clock"
)

// entrance is a node's start with --join-file.
type entrance struct {
	opts  serverOptions
	clock *clock.Fake
	done  chan error
}

func enter(t *testing.T, ctx context.Context) *entrance {
	t.Helper()
	dir := t.TempDir()
	e := &entrance{
		opts:  serverOptions{dataDir: filepath.Join(dir, "data"), joinFile: filepath.Join(dir, "token"), healthListen: "127.0.0.1:0"},
		clock: clock.NewFake(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), done: make(chan error, 1),
	}
	t.Cleanup(unlockDataDir)
	if err := os.Mkdir(e.opts.dataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	go func() { e.done <- openServer(ctx, &e.opts, e.clock, slog.New(slog.DiscardHandler)) }()
	e.look(t, 0)
	return e
}

// look lets the node look again, some time later.
func (e *entrance) look(t *testing.T, later time.Duration) {
	t.Helper()
	e.clock.Advance(later)
	if err := e.clock.BlockUntil(patience(t), 1); err != nil {
		t.Fatal(err)
	}
}

func TestANodeWaitsForItsToken(t *testing.T) {
	e := enter(t, t.Context())
	e.look(t, enterPause)
	if err := os.WriteFile(e.opts.joinFile, []byte(" hanse-node-1.x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e.clock.Advance(enterPause)
	if err := <-e.done; err != nil || e.opts.join != "hanse-node-1.x" {
		t.Errorf("%v, token %q", err, e.opts.join)
	}
	if err := openDataDir(e.opts.dataDir); !errors.Is(err, errDataDirInUse) {
		t.Errorf("the data folder is not held: %v", err)
	}
}

// An init that is not finished holds the folder.
func TestANodeWaitsForInit(t *testing.T) {
	e := enter(t, t.Context())
	held, err := os.Create(filepath.Join(e.opts.dataDir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(held.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(e.opts.dataDir, nodeFile), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	e.look(t, enterPause)
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	e.clock.Advance(enterPause)
	if err := <-e.done; err != nil || e.opts.join != "" {
		t.Errorf("%v, token %q", err, e.opts.join)
	}
}

func TestAWaitingNodeSaysWhatFor(t *testing.T) {
	l, err := listen("health-listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	opts := serverOptions{dataDir: t.TempDir(), joinFile: "none", healthListen: address}
	fake, done := clock.NewFake(time.Time{}), make(chan error, 1)
	go func() { done <- openServer(ctx, &opts, fake, slog.New(slog.DiscardHandler)) }()
	if err := fake.BlockUntil(patience(t), 1); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get("http://" + address + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if _ = resp.Body.Close(); err != nil || resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(text), "hanse server init") {
		t.Errorf("%d, %s, %v", resp.StatusCode, text, err)
	}
	interrupt()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestSecretsOfAFederationCanBePrinted(t *testing.T) {
	o := serverOptions{
		dataDir: t.TempDir(), name: "n1", region: "eu", grpc: endpoint{listen: "127.0.0.1:7700"}, rest: endpoint{listen: "127.0.0.1:7701"},
		raft: endpoint{listen: "127.0.0.1:7702"}, gossip: endpoint{listen: "127.0.0.1:7703"},
	}
	t.Cleanup(unlockDataDir)
	made, err := foundFederation(o, "example.org", shown, shown)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	explainFounded(&out, "", made)
	for _, want := range []string{"hanse-operator-1.", "BEGIN PRIVATE KEY", "hanse-node-1."} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if made.OperatorTokenFile != "" || made.RootKeyFile != "" {
		t.Errorf("%+v", made)
	}
}
