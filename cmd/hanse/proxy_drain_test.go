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
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/gateway/enroll"
	"github.com/hanse-mesh/hanse/gateway/envoy"
	"github.com/hanse-mesh/hanse/gateway/xds"
	"github.com/hanse-mesh/hanse/internal/clock"
)

func drainable(dir string) *proxyParts {
	return &proxyParts{
		opts: proxyOptions{dataDir: dir}, state: newProxyState(), logger: slog.New(slog.DiscardHandler), clock: clock.Real{},
		client: new(enroll.Client), admin: envoy.NewAdmin(filepath.Join(dir, "none")),
	}
}

func TestADrainOutlivesARestart(t *testing.T) {
	dir := t.TempDir()
	restarted := func() bool {
		p := drainable(dir)
		p.recallDrain()
		return p.state.draining()
	}
	if restarted() {
		t.Fatal("drained without a word")
	}
	p := drainable(dir)
	for range 2 {
		if err := p.setDrained(t.Context(), true); err != nil || !p.state.draining() || !restarted() {
			t.Fatalf("drained: %v, after a restart %v", err, restarted())
		}
	}
	for range 2 {
		if err := p.setDrained(t.Context(), false); err != nil || p.state.draining() || restarted() {
			t.Fatalf("undrained: %v, after a restart %v", err, restarted())
		}
	}
	lost := drainable(filepath.Join(dir, "gone"))
	if err := lost.setDrained(t.Context(), true); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "restart") || !lost.state.draining() {
		t.Errorf("a drain that cannot be written down: %v, draining %v", err, lost.state.draining())
	}
	// The end of a process is no operator's word.
	p.state.drain(true)
	if _, err := os.Stat(filepath.Join(dir, drainedFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stopping is remembered as a drain: %v", err)
	}
}

// waiting answers each question after the clock has moved on, and says what the command did.
func waiting(t *testing.T, timeout time.Duration, answer func(age time.Duration) (drainStatus, error)) (took time.Duration, said string, err error) {
	t.Helper()
	c := clock.NewFake(start)
	var progress strings.Builder
	w := drainWait{clock: c, progress: &progress, timeout: timeout, ask: func(context.Context) (drainStatus, error) {
		return answer(c.Now().Sub(start))
	}}
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(patience(t))
	defer cancel()
	go func() {
		_, err := w.run(ctx)
		cancel()
		done <- err
	}()
	for c.BlockUntil(ctx, 1) == nil {
		c.Advance(drainPoll)
	}
	return c.Now().Sub(start), progress.String(), <-done
}

func TestDrainWaits(t *testing.T) {
	busyFor := func(busy time.Duration, u xds.UnderWay) func(time.Duration) (drainStatus, error) {
		return func(age time.Duration) (drainStatus, error) {
			if age < busy {
				return drainStatus{Draining: true, UnderWay: u}, nil
			}
			return drainStatus{Draining: true}, nil
		}
	}
	calls := xds.UnderWay{Requests: 1, Sessions: 2}
	if took, said, err := waiting(t, time.Minute, busyFor(0, calls)); err != nil || took != drainQuiet || said != "" {
		t.Errorf("nothing under way: %v, %q, %v", took, said, err)
	}
	took, said, err := waiting(t, time.Minute, busyFor(5*time.Second, calls))
	if err != nil || took < 5*time.Second || took > 7*time.Second || said != strings.Repeat("waiting: 1 request and 2 sessions under way\n", 2) {
		t.Errorf("calls for five seconds: %v, %q, %v", took, said, err)
	}
	_, _, err = waiting(t, 3*time.Second, busyFor(time.Hour, xds.UnderWay{Sessions: 3}))
	if err == nil || !strings.Contains(err.Error(), "3 sessions still under way after 3s") {
		t.Errorf("too long: %v", err)
	}
	undrained := func(time.Duration) (drainStatus, error) { return drainStatus{}, nil }
	if _, _, err = waiting(t, time.Minute, undrained); err == nil || !strings.Contains(err.Error(), "back into rotation") {
		t.Errorf("undrained meanwhile: %v", err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	interrupted := drainWait{clock: clock.NewFake(start), progress: io.Discard, timeout: time.Minute, ask: func(ctx context.Context) (drainStatus, error) {
		return drainStatus{}, ctx.Err()
	}}
	if _, err = interrupted.run(stopped); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "hanse proxy undrain") {
		t.Errorf("interrupted: %v", err)
	}
	gone := func(time.Duration) (drainStatus, error) { return drainStatus{}, errors.New("no proxy") }
	if _, _, err = waiting(t, time.Minute, gone); err == nil || err.Error() != "no proxy" {
		t.Errorf("no answer: %v", err)
	}
}
