//go:build e2e

package matrix

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/e2e/load"
)

// warmUp is how long everything is as it should be before each fault.
const warmUp = 3 * time.Second

// flapStep is how long answers are counted before it is asked who took part: a connection, which leads to one workload, lasts a second.
const flapStep = 4 * time.Second

// run breaks one thing, mends it and counts what that cost.
func (w *world) run(ctx context.Context, r row) (RowResult, error) {
	if r.fault.prepare != nil {
		if err := r.fault.prepare(ctx, w); err != nil {
			return RowResult{}, fmt.Errorf("prepare: %w", err)
		}
	}
	if err := w.awaitSteady(ctx); err != nil {
		return RowResult{}, fmt.Errorf("not steady before the fault: %w", err)
	}
	old := &sessions{done: make(chan struct{})}
	defer old.close()
	if slices.Contains(w.protocols, TCP) {
		if err := w.openSessions(ctx, old); err != nil {
			return RowResult{}, err
		}
	}
	pause(ctx, warmUp)
	fault := time.Now()
	judged := make(chan SessionResult, 1)
	go func() { judged <- old.judge(ctx, fault) }()
	err := r.fault.strike(ctx, w)
	if err == nil {
		pause(ctx, r.hold)
	}
	result := RowResult{Name: r.name, Bound: r.bound, EndsSessions: r.endsSessions, Hold: time.Since(fault).Seconds()}
	mended := time.Now()
	err = errors.Join(err, r.fault.mend(ctx, w))
	result.Sessions = <-judged
	if err != nil {
		return result, err
	}
	err = w.awaitSteady(ctx)
	result.Steady = time.Since(mended).Seconds()
	for _, protocol := range w.protocols {
		result.Calls = append(result.Calls, w.count(protocol, fault))
	}
	if r.flaps != "" {
		series := w.records[w.protocols[0]].Series(fault, mended.Sub(fault), flapStep)
		result.Turns = turns(series, r.flaps)
	}
	result.Broken = judge(result)
	if logged := w.logTrouble(r.name+", "+strings.Join(w.protocols, " and "), fault); logged != nil {
		return result, logged
	}
	if err != nil {
		result.Broken = append(result.Broken, fmt.Sprintf("not as before after the fault: %v", err))
	}
	return result, nil
}

// logTrouble writes each failing or slow call since a fault into a log of the row.
func (w *world) logTrouble(name string, fault time.Time) error {
	var b strings.Builder
	for _, protocol := range w.protocols {
		for _, o := range w.records[protocol].Troubled(fault) {
			fmt.Fprintf(&b, "%s due +%.3f s, took %.3f s, kept %t, post %t, %s %s\n",
				protocol, o.Due.Sub(fault).Seconds(), o.Latency.Seconds(), o.Kept, o.Post, o.Instance, o.Err)
		}
	}
	return os.WriteFile(w.log("calls "+name), []byte(b.String()), 0o644)
}

// count sums up a protocol's calls since a fault. Those that may still be under way do not count.
func (w *world) count(protocol string, fault time.Time) CallResult {
	kinds := map[bool]CallResult{}
	span := time.Since(fault) - callTimeout
	for _, kept := range []bool{false, true} {
		of := func(o load.Outcome) bool { return protocol != TCP || o.Kept == kept }
		kinds[kept] = summarise(protocol,
			w.window(protocol, fault.Add(-warmUp), warmUp, of),
			w.window(protocol, fault, span, of),
			w.window(protocol, fault, span, func(o load.Outcome) bool { return of(o) && o.Post }),
			w.window(protocol, fault.Add(Late), span-Late, of))
	}
	all := kinds[false]
	if protocol == TCP {
		k := kinds[true]
		all.Kept = &k
	}
	return all
}

// summarise makes a protocol's result of its calls: before holds those before the fault.
func summarise(protocol string, before load.Window, during, posts, late load.Window) CallResult {
	return CallResult{
		Protocol: protocol, Calls: during.Calls, Failed: during.Failed, FailedPosts: posts.Failed, FailedLate: late.Failed,
		Slow: during.Slow, Recovery: during.LastTrouble.Seconds(), Worst: during.Worst.Seconds(),
		Before: before.Instances, During: during.Instances, Sample: during.Sample,
	}
}
