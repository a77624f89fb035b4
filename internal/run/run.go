// Package run owns the life of a process's long-lived tasks: they start together and end together.
package run

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// Group runs all tasks until the first returns an error or ctx ends, then cancels the rest, waits for all of them and returns that
// first error. A task that returns nil has simply finished; the others go on.
func Group(ctx context.Context, tasks ...func(context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, task := range tasks {
		g.Go(func() error { return task(ctx) })
	}
	return g.Wait()
}
