package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "the one seed to run, with its trace under -v")
	seedsFlag = flag.Int("seeds", 0, "how many seeds to run")
	firstFlag = flag.Uint64("first", 1, "the first seed")
)

const (
	seedsByDefault = 1000
	troubled       = 30 * time.Second
	quiet          = 45 * time.Second
)

func TestMain(m *testing.M) {
	// Worlds are short-lived and full of small values.
	debug.SetGCPercent(800)
	os.Exit(m.Run())
}

func run(seed uint64) Result { return Run(Options{Seed: seed, Troubled: troubled, Quiet: quiet}) }

func report(t *testing.T, r Result) {
	t.Helper()
	for _, l := range r.Tail {
		t.Log(l)
	}
	t.Errorf("seed %d at %v: %s: %s\nreplay: go test ./e2e/sim -run 'TestSeed$' -seed %d -v", r.Seed, r.At, r.Violation, r.Detail, r.Seed)
}

// TestSeed lives through the one seed that is named.
func TestSeed(t *testing.T) {
	if *seedFlag == 0 {
		t.Skip("no -seed is given")
	}
	o := Options{Seed: *seedFlag, Troubled: troubled, Quiet: quiet}
	if testing.Verbose() {
		o.Trace = func(line string) { fmt.Println(line) }
	}
	r := Run(o)
	t.Logf("digest %016x, %d events, %d messages, %d checks", r.Digest, r.Events, r.Messages, r.Checks)
	if r.Violation != "" {
		report(t, r)
	}
}

// search runs seeds in parallel until check says that it has seen enough, and returns how many were run.
func search(first uint64, n int, live func(seed uint64) Result, check func(Result) (more bool)) int {
	var next atomic.Uint64
	var done atomic.Int64
	var stop atomic.Bool
	var mu sync.Mutex
	var all sync.WaitGroup
	next.Store(first)
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for !stop.Load() {
				seed := next.Add(1) - 1
				if seed >= first+uint64(n) {
					return
				}
				r := live(seed)
				done.Add(1)
				mu.Lock()
				if !check(r) {
					stop.Store(true)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return int(done.Load())
}

// TestSeeds lives through many seeds; every one must keep every invariant. A machine that is too slow for all of them stops in time.
func TestSeeds(t *testing.T) {
	n := *seedsFlag
	if n == 0 {
		n = seedsByDefault
	}
	began := time.Now()
	deadline, limited := t.Deadline()
	failed, lived, processes, events, messages, checks := 0, 0, 0, 0, 0, 0
	search(*firstFlag, n, run, func(r Result) bool {
		if r.Violation != "" {
			failed++
			report(t, r)
		}
		lived++
		processes, events, messages, checks = processes+r.Processes, events+r.Events, messages+r.Messages, checks+r.Checks
		if *seedsFlag > 0 && lived%500 == 0 {
			fmt.Printf("%d of %d seeds, %d failed, %.0f a second\n", lived, n, failed, float64(lived)/time.Since(began).Seconds())
		}
		return failed < 5 && (!limited || time.Until(deadline) > time.Minute)
	})
	t.Logf("%d seeds of %.0f processes: %d events, %d messages, %d checks", lived, float64(processes)/float64(lived), events, messages, checks)
}
