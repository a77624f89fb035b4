// Command demo owns the story that "make demo" tells: three regions on one machine, as real processes with real Envoys, that call each
// other by name, lose workloads, a region and their whole control plane, and go on. It uses hanse as its users do: by its command
// line, its configuration and its tokens.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hanse-mesh/hanse/e2e/fleet"
	"github.com/hanse-mesh/hanse/e2e/sample"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "app" {
		if err := sample.Run(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "demo app:", err)
			os.Exit(1)
		}
		return
	}
	hanse := flag.String("hanse", "bin/hanse", "the hanse binary")
	envoy := flag.String("envoy", "", "the Envoy binary (default: HANSE_ENVOY)")
	keep := flag.Bool("keep", false, "leave everything running after the last step, until Ctrl-C")
	bench := flag.Bool("bench", false, "instead of the story, measure how fast a change travels between regions")
	changes := flag.Int("changes", 500, "how many changes each part of -bench makes")
	dir := flag.String("dir", "", "folder for data and logs (default: a new one under the temporary folder)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := run(ctx, *hanse, *envoy, *dir, *keep, *bench, *changes)
	stop()
	os.Exit(code)
}

// run returns the exit code. The last line that it prints is the score.
func run(ctx context.Context, hanse, envoy, dir string, keep, bench bool, changes int) int {
	w, err := prepare(hanse, envoy, dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
	s := &story{world: w, began: time.Now(), interrupted: ctx.Done()}
	if bench {
		s.benchmark(ctx, changes)
	} else {
		s.tell(ctx)
	}
	interrupted := ctx.Err() != nil
	if keep && !interrupted {
		// Here Ctrl-C is how it is meant to end.
		s.linger(ctx)
	}
	if interrupted {
		fmt.Println("\ninterrupted: ending all processes")
	}
	s.cleanUp(ctx)
	fmt.Printf("demo: %d passed, %d failed\n", s.passed, s.failed)
	if s.failed > 0 || interrupted {
		return 1
	}
	return 0
}

func prepare(hanse, envoy, dir string) (*world, error) {
	binary, err := filepath.Abs(hanse)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("no hanse binary: run make build: %w", err)
	}
	if envoy == "" {
		envoy = os.Getenv("HANSE_ENVOY")
	}
	if envoy == "" {
		return nil, fmt.Errorf("no Envoy: run this by make demo, or give -envoy PATH")
	}
	if dir == "" {
		// A short path: Unix sockets live below it, and their paths are limited to 107 bytes.
		if dir, err = os.MkdirTemp("", "hanse-demo-"); err != nil {
			return nil, err
		}
	}
	return newWorld(binary, envoy, dir)
}

// cleanUp ends all processes, and removes data and logs unless something failed.
func (s *story) cleanUp(ctx context.Context) {
	forced := s.procs.Close()
	if left := fleet.Descendants(os.Getpid()); len(left) > 0 {
		fmt.Printf("  processes left behind: %v\n", left)
		s.failed++
	}
	if forced > 0 && ctx.Err() == nil {
		fmt.Printf("  (%d processes had to be killed at the end)\n", forced)
	}
	if s.failed > 0 {
		fmt.Printf("  logs are in %s\n", s.logs())
		return
	}
	_ = os.RemoveAll(s.dir)
}
