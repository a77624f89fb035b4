package main

import (
	"context"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/state"
)

// forgetRemoved frees the records of clusters whose membership ends, until ctx ends. Those of a cluster that is not a member yet are
// kept: its records may arrive before the log says that it has joined.
func forgetRemoved(ctx context.Context, watch func() (*state.View, <-chan struct{}), forget func(model.ClusterName)) error {
	before, changed := watch()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
		var now *state.View
		now, changed = watch()
		for name := range before.Clusters {
			if _, member := now.Clusters[name]; !member {
				forget(name)
			}
		}
		before = now
	}
}
