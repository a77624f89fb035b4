package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// cost is what a process has used so far.
type cost struct {
	at time.Time
	// resident and peak are in bytes; live is what the last garbage collection left.
	resident, peak, live int64
	cpu                  time.Duration
}

// ticks is how often a second the kernel counts, on every architecture that it tells programs of.
const ticks = 100

// costOf reads a process's accounts.
func costOf(pid int) (cost, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return cost{}, err
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return cost{}, err
	}
	out := cost{at: time.Now(), resident: kilobytes(string(status), "VmRSS:"), peak: kilobytes(string(status), "VmHWM:")}
	// What follows the name in parentheses begins with the third field; the times are the 14th and 15th.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return cost{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	for _, text := range fields[11:13] {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return cost{}, err
		}
		out.cpu += time.Duration(n) * time.Second / ticks
	}
	return out, nil
}

// liveHeap asks a role for what its last garbage collection left: the next begins when as much again was allocated.
func liveHeap(ctx context.Context, health string) (int64, error) {
	text, err := get(ctx, http.DefaultClient, "http://"+health+"/metrics")
	if err != nil {
		return 0, err
	}
	const metric = "\ngo_memstats_next_gc_bytes "
	_, rest, _ := strings.Cut(text, metric)
	value, _, _ := strings.Cut(rest, "\n")
	next, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return 0, fmt.Errorf("metric%sof %s: %w", metric, health, err)
	}
	return int64(next) / 2, nil
}

func kilobytes(status, field string) int64 {
	_, rest, _ := strings.Cut(status, field)
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(fields[0], 10, 64)
	return n << 10
}

// since says how much of one processor was used between two accounts, in percent.
func (c cost) since(before cost) float64 {
	return 100 * float64(c.cpu-before.cpu) / float64(c.at.Sub(before.at))
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }
