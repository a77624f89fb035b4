package rest

import (
	"context"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/access"
)

// passage is how a request that only the leader can serve gets there.
type passage int

const (
	// travels is for credentials that the leader can check itself: the request is sent on with them.
	travels passage = iota
	// redirected is for certificates: nobody but their holder can show them to the leader.
	redirected
	// stays is for a node's own socket, which is worth nothing elsewhere.
	stays
)

// admitted is who sent a request that was let in.
type admitted struct {
	access.Caller
	passage passage
}

type (
	callerKey struct{}
	ownerKey  struct{}
)

func withCaller(ctx context.Context, a admitted) context.Context {
	return context.WithValue(ctx, callerKey{}, a)
}

// callerOf returns who sent the request; without one, somebody who may do nothing.
func callerOf(ctx context.Context) access.Caller { return admittedOf(ctx).Caller }

func admittedOf(ctx context.Context) admitted {
	a, _ := ctx.Value(callerKey{}).(admitted)
	return a
}

// WithOwner marks requests as those of somebody who holds the node itself, such as over a socket that only the node's own user can open:
// they need no credential and may do what an admin may. The audit log calls them USER@NODE.
func WithOwner(ctx context.Context, user, node string) context.Context {
	return context.WithValue(ctx, ownerKey{}, access.Caller{
		Actor:  model.Actor{Name: user + "@" + node, Credential: "socket " + node},
		Grants: []access.Grant{{Role: model.RoleAdmin}},
	})
}

// ownerOf returns the owner of the node when the request is one.
func ownerOf(ctx context.Context) (access.Caller, bool) {
	c, ok := ctx.Value(ownerKey{}).(access.Caller)
	return c, ok
}
