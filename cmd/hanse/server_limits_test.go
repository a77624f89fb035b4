package main

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/federation/rest"
)

func TestLimitsOfTheAPI(t *testing.T) {
	if err := checkLimits(rest.DefaultLimits()); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	for flag, change := range map[string]func(*rest.Limits){
		"--api-rate":               func(l *rest.Limits) { l.PerSecond = math.NaN() },
		"--api-burst":              func(l *rest.Limits) { l.Burst = 0 },
		"--api-concurrent":         func(l *rest.Limits) { l.Concurrent = 7 },
		"--api-body-timeout":       func(l *rest.Limits) { l.Body = time.Hour },
		"--api-body-size":          func(l *rest.Limits) { l.BodySize = 1 << 30 },
		"--api-watches":            func(l *rest.Limits) { l.Watches = -1 },
		"--api-watches-per-caller": func(l *rest.Limits) { l.WatchesPerCaller = l.Watches + 1 },
	} {
		l := rest.DefaultLimits()
		change(&l)
		if err := checkLimits(l); err == nil || codeOf(err) != exitUsage || !strings.Contains(err.Error(), flag+" ") {
			t.Errorf("%s: %v", flag, err)
		}
	}
}
