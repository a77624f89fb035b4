package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// unlockDataDir gives up the last data folder's lock, as the end of the process would.
func unlockDataDir() {
	last := len(dataDirLocks) - 1
	_ = dataDirLocks[last].Close()
	dataDirLocks = dataDirLocks[:last]
}

func TestADataFolderHasOneHolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	if err := openDataDir(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(unlockDataDir)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is open to others: %v, %v", info.Mode(), err)
	}
	if err := openDataDir(dir); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a second holder: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := openDataDir(file); err == nil || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("a file for a folder: %v", err)
	}
}

func TestListenNamesTheFlag(t *testing.T) {
	l, err := listen("listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if _, err := listen("rest-listen", l.Addr().String()); err == nil || !strings.Contains(err.Error(), "--rest-listen") || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a port that is taken: %v", err)
	}
	if _, err := listen("listen", "nonsense"); err == nil || !strings.Contains(err.Error(), "--listen nonsense") {
		t.Errorf("no address: %v", err)
	}
}

func TestAClientThatVanishesIsNotKept(t *testing.T) {
	l, err := listenForClients("rest-listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		if got, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT); err != nil || got != 30_000 {
			t.Errorf("a connection waits %d ms for an acknowledgement, %v", got, err)
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// shortDir is a temporary folder whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hanse")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestAStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(shortDir(t), "s.sock")
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = stale.Close()
	l, err := listenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is open to others: %v, %v", info.Mode(), err)
	}
	accepted := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, err = conn.Write([]byte("x"))
			_ = conn.Close()
		}
		accepted <- err
	}()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if got, err := io.ReadAll(conn); string(got) != "x" {
		t.Errorf("the socket's own user is not let in: %v", err)
	}
	if err := <-accepted; err != nil {
		t.Error(err)
	}
	if _, err := listenSocket(filepath.Join(t.TempDir(), strings.Repeat("x", 108))); err == nil || !strings.Contains(err.Error(), "107 bytes") {
		t.Errorf("a path that no socket can have: %v", err)
	}
}

// whoKnows is a listener whose first connection tells nothing of its user.
type whoKnows struct {
	net.Listener
	conns chan net.Conn
}

func (l whoKnows) Accept() (net.Conn, error) {
	conn, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func TestAStrangerOfASocketIsTurnedAway(t *testing.T) {
	near, far := net.Pipe()
	l := whoKnows{conns: make(chan net.Conn, 1)}
	l.conns <- near
	close(l.conns)
	if _, err := (ownUserOnly{l}).Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a connection without a user is let in: %v", err)
	}
	if _, err := far.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the stranger's connection stays open: %v", err)
	}
}

func TestHealthHandler(t *testing.T) {
	var missing []string
	r := newRegistry()
	gauge(r, "test_value", "a value", func() float64 { return 42 })
	h := healthHandler(func() []string { return missing }, r, func() []string { return []string{"a second agent"} })
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	if code, text := get("/readyz"); code != http.StatusOK || text != "ok\nnote: a second agent\n" {
		t.Errorf("ready: %d %s", code, text)
	}
	missing = []string{"no leader", "no state"}
	if code, text := get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "no leader; no state") {
		t.Errorf("not ready: %d %s", code, text)
	}
	if code, _ := get("/healthz"); code != http.StatusOK {
		t.Errorf("a process that is not ready is healthy, but: %d", code)
	}
	if _, text := get("/metrics"); !strings.Contains(text, "hanse_test_value 42") {
		t.Error("the gauge is not served")
	}
}

func TestARoleThatIsToldToStopHasNotFailed(t *testing.T) {
	boom := errors.New("boom")
	if err := untilTold(t.Context(), func(context.Context) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("a failure is hidden: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	waiting := func(ctx context.Context) error {
		cancel()
		return fmt.Errorf("join the federation: %w", codedError{exitUnavailable, ctx.Err()})
	}
	if err := untilTold(ctx, waiting); err != nil {
		t.Errorf("told to stop while it waited: %v", err)
	}
}

func TestRetryUnavailable(t *testing.T) {
	refused := usageError("no")
	attempts := 0
	err := retryUnavailable(t.Context(), func(error) { t.Error("a refusal is no reason to wait") }, func() error { attempts++; return refused })
	if !errors.Is(err, refused) || attempts != 1 {
		t.Errorf("a refusal is final: %v after %d attempts", err, attempts)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = retryUnavailable(ctx, func(error) { cancel() }, func() error { return codedError{exitUnavailable, errors.New("away")} })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("waiting ends with %v", err)
	}
}
