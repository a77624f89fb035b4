package main

import (
	"github.com/spf13/pflag"

	"github.com/hanse-mesh/hanse/federation/rest"
)

// bindLimits are the flags for what callers may ask of the node's REST API.
func (o *serverOptions) bindLimits(f *pflag.FlagSet) {
	l := rest.DefaultLimits()
	f.Float64Var(&o.limits.PerSecond, "api-rate", l.PerSecond, "requests to the REST API that one caller may make per second; who makes more is told when to come back")
	f.IntVar(&o.limits.Burst, "api-burst", l.Burst, "requests that one caller may make at once")
	f.IntVar(&o.limits.Concurrent, "api-concurrent", l.Concurrent, "requests that are answered at one time, watches aside")
	f.DurationVar(&o.limits.Body, "api-body-timeout", l.Body, "how long a caller may take to send a request's body")
	f.Int64Var(&o.limits.BodySize, "api-body-size", l.BodySize, "size of a request's body, in bytes, at most")
	f.IntVar(&o.limits.Watches, "api-watches", l.Watches, "watches that are served at one time")
	f.IntVar(&o.limits.WatchesPerCaller, "api-watches-per-caller", l.WatchesPerCaller, "watches of one caller among them")
}

// checkLimits refuses what would shut everybody out, or nobody.
func checkLimits(l rest.Limits) error {
	for _, limit := range []struct {
		flag             string
		given, low, high float64
	}{
		{"api-rate", l.PerSecond, 1, 100_000},
		{"api-burst", float64(l.Burst), 1, 100_000},
		{"api-concurrent", float64(l.Concurrent), 8, 65_536},
		{"api-body-timeout", l.Body.Seconds(), 1, 60},
		{"api-body-size", float64(l.BodySize), 64 << 10, 16 << 20},
		{"api-watches", float64(l.Watches), 1, 100_000},
		{"api-watches-per-caller", float64(l.WatchesPerCaller), 1, 100_000},
	} {
		// Written so that what is not a number is refused, too.
		if !(limit.given >= limit.low && limit.given <= limit.high) {
			return usageError("--%s %v is not between %v and %v", limit.flag, limit.given, limit.low, limit.high)
		}
	}
	if l.WatchesPerCaller > l.Watches {
		return usageError("--api-watches-per-caller %d is more than --api-watches %d", l.WatchesPerCaller, l.Watches)
	}
	return nil
}
