package rest

import (
	"context"

	"github.com/hanse-mesh/hanse/federation/access"
)

type callerKey struct{}

func withCaller(ctx context.Context, c access.Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// callerOf returns who sent the request; without one, somebody who may do nothing.
func callerOf(ctx context.Context) access.Caller {
	c, _ := ctx.Value(callerKey{}).(access.Caller)
	return c
}
