//go:build wrongclock

package main

import (
	"os"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/internal/clock"
)

// wrongClockVariable names the file that says how far the clock of a node or agent is off, as a duration such as -45s. A suite changes it
// while the process runs. Only a binary that was built for it has such a clock.
const wrongClockVariable = "HANSE_WRONG_CLOCK"

func machineClock() clock.Clock { return wrongClock{file: os.Getenv(wrongClockVariable)} }

// wrongClock is the machine's clock, moved by what its file says; without a file it is right.
type wrongClock struct {
	clock.Real
	file string
}

// Now returns the time by the wrong clock.
func (w wrongClock) Now() time.Time {
	text, err := os.ReadFile(w.file)
	if err != nil {
		return time.Now()
	}
	offset, err := time.ParseDuration(strings.TrimSpace(string(text)))
	if err != nil {
		return time.Now()
	}
	return time.Now().Add(offset)
}
