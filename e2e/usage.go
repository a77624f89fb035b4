//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// usage is what a process has used of the machine.
type usage struct {
	cpu time.Duration
	// resident is in bytes; pages that processes share count for each.
	resident int64
}

// clockTick is the unit in which the kernel counts processor time for /proc.
const clockTick = 10 * time.Millisecond

func (n *node) usage(t *testing.T) usage {
	t.Helper()
	u, err := readUsage(n.proc.cmd.Process.Pid)
	if err != nil {
		t.Fatalf("%s: %v", n.name, err)
	}
	return u
}

// readUsage reads fields 14, 15 and 24 of /proc/PID/stat (proc_pid_stat(5)).
func readUsage(pid int) (usage, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	// The second field is a name in parentheses, in which there may be anything.
	_, rest, _ := strings.Cut(string(data[bytes.LastIndexByte(data, ')'):]), " ")
	fields := strings.Fields(rest)
	const utime, stime, rss = 14 - 3, 15 - 3, 24 - 3
	if len(fields) <= rss {
		return usage{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	var values [3]int64
	for i, field := range []int{utime, stime, rss} {
		if values[i], err = strconv.ParseInt(fields[field], 10, 64); err != nil {
			return usage{}, err
		}
	}
	return usage{cpu: time.Duration(values[0]+values[1]) * clockTick, resident: values[2] * int64(os.Getpagesize())}, nil
}
