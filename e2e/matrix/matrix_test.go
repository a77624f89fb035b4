//go:build e2e

package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/e2e/sample"
	"github.com/hanse-mesh/hanse/e2e/wan"
)

// The variables of this suite; dirVariable is the suite's folder.
const (
	dirVariable   = "HANSE_MATRIX_DIR"
	writeVariable = "HANSE_MATRIX_WRITE"
)

func TestMain(m *testing.M) {
	var err error
	code := 0
	switch role := os.Getenv(roleVariable); {
	case role == "app":
		err = sample.Run(os.Args[1:])
	case role == "load":
		err = runLoad(os.Args[1], os.Args[2], os.Args[3])
	case wan.Inside():
		code = m.Run()
	default:
		code, err = enter()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// enter runs the suite in namespaces of its own. Of its folder only the logs of a failed run stay.
func enter() (int, error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// A short path: Unix sockets live below it, and their paths are limited to 107 bytes.
	dir, err := os.MkdirTemp("", "hanse-matrix-")
	if err != nil {
		return 1, err
	}
	code, err := wan.Enter(ctx, dirVariable+"="+dir)
	if code == 0 || ctx.Err() != nil {
		return code, errors.Join(err, os.RemoveAll(dir))
	}
	keepLogs(dir)
	fmt.Fprintln(os.Stderr, "matrix: logs are in", filepath.Join(dir, "logs"))
	return code, err
}

// keepLogs removes everything but the logs, those of the Envoys included.
func keepLogs(dir string) {
	envoys, _ := filepath.Glob(filepath.Join(dir, "data", "*", "envoy", "envoy.log"))
	for _, path := range envoys {
		name := filepath.Base(filepath.Dir(filepath.Dir(path)))
		_ = os.Rename(path, filepath.Join(dir, "logs", "envoy-"+name+".log"))
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.Name() != "logs" {
			_ = os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
}

// TestMatrix breaks everything in turn, in each pass. -run TestMatrix/./PART_OF_A_NAME runs some rows alone.
func TestMatrix(t *testing.T) {
	ctx := t.Context()
	w, err := newWorld(os.Getenv(dirVariable))
	if err != nil {
		t.Fatal(err)
	}
	defer w.fleet.Close()
	if err := w.raise(ctx); err != nil {
		t.Fatal(err)
	}
	result := Result{Rate: rate(), RoundTrips: map[string]int64{}, Idle: map[string]float64{}}
	for pair, rtt := range roundTrips {
		result.RoundTrips[pair[0]+"-"+pair[1]] = rtt.Milliseconds()
	}
	for _, protocols := range Passes {
		t.Run(strings.Join(protocols, " and "), func(t *testing.T) { w.pass(t, protocols, &result) })
	}
	result.Lost = w.net.Lost()
	t.Logf("the network lost %d frames without being told to", result.Lost)
	if err := write(result); err != nil {
		t.Error(err)
	}
}

// pass runs the rows under the calls of some protocols.
func (w *world) pass(t *testing.T, protocols []string, result *Result) {
	ctx := t.Context()
	if err := w.makeCalls(protocols); err != nil {
		t.Fatal(err)
	}
	if err := w.awaitSteady(ctx); err != nil {
		t.Fatal(err)
	}
	share := idle(5 * time.Second)
	result.Idle[strings.Join(protocols, " and ")] = share
	t.Logf("everything runs; %.0f %% of the processors are idle under load", 100*share)
	for _, r := range rows() {
		t.Run(r.name, func(t *testing.T) {
			got, err := w.run(ctx, r)
			if err != nil {
				t.Fatal(err)
			}
			result.add(got)
			report(t, got)
		})
	}
}

func report(t *testing.T, r RowResult) {
	for _, c := range r.Calls {
		t.Log(c.Protocol, strings.TrimSpace(line("", c)), c.Sample)
		t.Log(" before", c.Before, "during", c.During, fmt.Sprintf("worst %.2f", c.Worst))
		if c.Kept != nil {
			t.Log("  kept:", strings.TrimSpace(line("", *c.Kept)), c.Kept.Sample)
		}
	}
	t.Logf("sessions: %+v; steady %.1f s after the end", r.Sessions, r.Steady)
	for _, b := range r.Broken {
		t.Error(b)
	}
}

// write writes the result as JSON and, when asked for a whole run, as the table of a Markdown file.
func write(r Result) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if path := os.Getenv("HANSE_MATRIX_JSON"); path != "" {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	path := os.Getenv(writeVariable)
	if path == "" || !r.whole(len(rows())) {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if text, err = Replace(text, Table(r)); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, text, 0o644)
}

// idle measures which share of the processors' time is idle.
func idle(span time.Duration) float64 {
	idle0, all0 := processors()
	time.Sleep(span)
	idle1, all1 := processors()
	return (idle1 - idle0) / max(1, all1-all0)
}

// processors reads idle and total time from the first line of /proc/stat.
func processors() (idle, all float64) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	first, _, _ := strings.Cut(string(data), "\n")
	for i, field := range strings.Fields(first)[1:] {
		v, _ := strconv.ParseFloat(field, 64)
		all += v
		if i == 3 {
			idle = v
		}
	}
	return idle, all
}
