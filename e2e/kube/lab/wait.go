package lab

import (
	"context"
	"fmt"
	"time"
)

// Eventually calls check every 100 ms until it returns nil, and returns its last error when that takes longer than within.
func Eventually(ctx context.Context, within time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		// That the time is over says less than what was wrong before.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %w", within, last)
		case <-ticker.C:
		}
	}
}

// Always calls check every 100 ms for a time, and returns its first error.
func Always(ctx context.Context, during time.Duration, check func(context.Context) error) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(during); time.Now().Before(end); {
		if err := check(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}
