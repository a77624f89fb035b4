package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// measured is how many of a load's services are changed and waited for; the others are the churn's.
const measured = 50

// arrivals makes one change after the other at from, half of them to no ready endpoint and half back, and returns how long each took until
// the Envoy has it. Each begins when its write does: what the API server takes for it is in the figure.
func arrivals(ctx context.Context, from *plane, l load, envoy *http.Client, changes int) ([]time.Duration, error) {
	out := make([]time.Duration, 0, changes)
	for n := range changes {
		i, ready := n/2%measured, 0
		if n%2 == 1 {
			ready = l.endpoints
		}
		began := time.Now()
		if err := from.set(ctx, l, i, ready); err != nil {
			return nil, err
		}
		if err := awaitHealth(ctx, envoy, l.key(i).Host(), from.gateway, ready > 0); err != nil {
			return nil, fmt.Errorf("change %d: %w", n, err)
		}
		out = append(out, time.Since(began))
		// Quiet between changes, and not in step with anything.
		if err := pause(ctx, 50*time.Millisecond+time.Duration(n%10)*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// awaitHealth polls an Envoy until a gateway can be called for a service, or cannot.
func awaitHealth(ctx context.Context, envoy *http.Client, host, gateway string, healthy bool) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	page := "http://envoy/clusters?filter=" + url.QueryEscape(strings.ReplaceAll(host, ".", `\.`))
	for {
		text, err := get(ctx, envoy, page)
		if err != nil {
			return fmt.Errorf("%s: %w", host, err)
		}
		if strings.Contains(text, "::"+gateway+"::health_flags::healthy") == healthy {
			return nil
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return fmt.Errorf("%s is not told to be healthy=%v through %s: %w", host, healthy, gateway, err)
		}
	}
}

// churn makes rate changes a second, each of one endpoint, while do runs. It returns how many it made.
func churn(ctx context.Context, from *plane, l load, rate int, do func() error) (int64, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var made atomic.Int64
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error {
		defer stop()
		return do()
	})
	all.Go(func() error {
		ticker := time.NewTicker(time.Second / time.Duration(rate))
		defer ticker.Stop()
		// Writes that wait for the API server must not slow the schedule.
		var writes errgroup.Group
		writes.SetLimit(writers)
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return writes.Wait()
			case <-ticker.C:
			}
			writes.Go(func() error {
				spare := l.services - measured
				err := from.set(ctx, l, measured+n%spare, l.endpoints-1-n/spare%2)
				if ctx.Err() != nil {
					return nil
				}
				made.Add(1)
				return err
			})
		}
	})
	err := all.Wait()
	return made.Load(), err
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// quantile returns the q-th quantile of what is not empty.
func quantile(all []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))].Round(100 * time.Microsecond)
}

func line(all []time.Duration) string {
	return fmt.Sprintf("n=%d  min %s  p50 %s  p90 %s  p99 %s  max %s", len(all),
		quantile(all, 0), quantile(all, 0.5), quantile(all, 0.9), quantile(all, 0.99), quantile(all, 1))
}
