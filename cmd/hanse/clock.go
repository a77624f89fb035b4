//go:build !wrongclock

package main

import "github.com/hanse-mesh/hanse/internal/clock"

// machineClock is the clock by which nodes and agents live.
func machineClock() clock.Clock { return clock.Real{} }
