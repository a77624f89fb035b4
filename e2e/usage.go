//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// usage is what processes have used of the machine.
type usage struct {
	cpu time.Duration
	// resident is in bytes; largest is that of the largest process.
	resident, largest int64
}

// clockTick is the unit in which the kernel counts processor time for /proc.
const clockTick = 10 * time.Millisecond

// usageOf adds up what the nodes' processes have used.
func usageOf(nodes []*node) (usage, error) {
	var sum usage
	for _, n := range nodes {
		cpu, resident, err := readUsage(n.proc.cmd.Process.Pid)
		if err != nil {
			return usage{}, fmt.Errorf("%s: %w", n.name, err)
		}
		sum.cpu += cpu
		sum.resident += resident
		sum.largest = max(sum.largest, resident)
	}
	return sum, nil
}

// readUsage reads fields 14, 15 and 24 of /proc/PID/stat (proc_pid_stat(5)).
func readUsage(pid int) (cpu time.Duration, resident int64, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	// The second field is a name in parentheses, in which there may be anything.
	_, rest, _ := strings.Cut(string(data[bytes.LastIndexByte(data, ')'):]), " ")
	fields := strings.Fields(rest)
	const utime, stime, rss = 14 - 3, 15 - 3, 24 - 3
	if len(fields) <= rss {
		return 0, 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	var values [3]int64
	for i, field := range []int{utime, stime, rss} {
		if values[i], err = strconv.ParseInt(fields[field], 10, 64); err != nil {
			return 0, 0, err
		}
	}
	return time.Duration(values[0]+values[1]) * clockTick, values[2] * int64(os.Getpagesize()), nil
}
