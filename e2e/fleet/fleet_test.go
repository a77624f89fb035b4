package fleet

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// start runs a shell that starts a child and tells its process id.
func start(t *testing.T, f *Fleet, name string) (child string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	if err := f.Start(Program{Name: name, Argv: []string{"sh", "-c", `sleep 1000 & echo "$GREETING $!"; wait`}, Env: []string{"GREETING=ahoy"}, Log: log}); err != nil {
		t.Fatal(err)
	}
	err := Eventually(t.Context(), 10*time.Second, func() error {
		said, err := os.ReadFile(log)
		text, ok := strings.CutPrefix(strings.TrimSpace(string(said)), "ahoy ")
		if err == nil && !ok {
			err = errors.New("nothing yet")
		}
		child = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return child
}

// state is a process's state letter, or empty when there is none.
func state(pid string) string {
	data, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return ""
	}
	return string(bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])[0])
}

func await(t *testing.T, pid, want string) {
	t.Helper()
	err := Eventually(t.Context(), 10*time.Second, func() error {
		if got := state(pid); got != want {
			return errors.New("state " + got)
		}
		return nil
	})
	if err != nil {
		t.Errorf("process %s: %v, want %q", pid, err, want)
	}
}

func TestFreezeThawKill(t *testing.T) {
	f, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	child := start(t, f, "one")
	other := start(t, f, "two")
	f.Freeze("one")
	await(t, child, "T")
	if state(other) == "T" {
		t.Error("another process is frozen too")
	}
	f.Thaw("one")
	await(t, child, "S")
	f.Kill("one")
	if f.Running("one") || state(child) != "" {
		t.Errorf("after Kill: running %v, its child is %q", f.Running("one"), state(child))
	}
	if !f.Running("two") || state(other) == "" {
		t.Error("Kill ended another process")
	}
}

func TestKillOnlyLeavesChildren(t *testing.T) {
	f, err := New()
	if err != nil {
		t.Fatal(err)
	}
	child := start(t, f, "one")
	f.KillOnly("one")
	if f.Running("one") || state(child) == "" {
		t.Errorf("running %v, its child is %q", f.Running("one"), state(child))
	}
	f.Close()
	if state(child) != "" {
		t.Error("Close leaves an orphan")
	}
}

func TestWithin(t *testing.T) {
	f, err := New()
	if err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	err = f.Start(Program{Name: "x", Argv: []string{"true"}, Log: filepath.Join(t.TempDir(), "log"), Within: func(func() error) error { return refused }})
	if !errors.Is(err, refused) || f.Running("x") {
		t.Errorf("%v, running %v", err, f.Running("x"))
	}
}

func TestEventuallyTellsTheLastError(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	want := errors.New("not yet")
	if err := Eventually(gone, time.Hour, func() error { return want }); !errors.Is(err, want) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := Eventually(t.Context(), 0, func() error { return want }); !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
}
