package server

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/api/codec"
	hansev1 "github.com/hanse-mesh/hanse/api/gen/hanse/v1"
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/state"
)

const (
	// bundleRetry is how long to wait before a bundle is brought to the leader again.
	bundleRetry = 5 * time.Second
	bundleWait  = 10 * time.Second
)

// takeBundle keeps the agent's newest bundle for carryBundles; an older one that still waits is dropped.
func (x *session) takeBundle(p *hansev1.SignedBundle) error {
	b, err := codec.SignedBundleFromProto(p)
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "bundle: %v", err)
	}
	select {
	case <-x.bundles:
	default:
	}
	x.bundles <- b // There is room: only this goroutine sends.
	return nil
}

// carryBundles brings the agent's bundles to the leader, and tries again while there is none.
func (x *session) carryBundles(ctx context.Context) {
	var pending *model.SignedBundle
	for {
		var retry <-chan time.Time
		stop := func() bool { return false }
		if pending != nil {
			timer := x.server.cfg.Clock.NewTimer(bundleRetry)
			retry, stop = timer.C(), timer.Stop
		}
		select {
		case b := <-x.bundles:
			pending = &b
		case <-retry:
		case <-ctx.Done():
			stop()
			return
		}
		stop()
		if x.carry(ctx, *pending) {
			pending = nil
		}
	}
}

// carry reports whether the bundle's fate is decided.
func (x *session) carry(ctx context.Context, b model.SignedBundle) bool {
	ctx, cancel := context.WithTimeout(ctx, bundleWait)
	defer cancel()
	_, err := x.server.lead(ctx, &hansev1.ForwardRequest{Request: &hansev1.ForwardRequest_PutBundle{
		PutBundle: &hansev1.PutBundle{Cluster: string(x.cluster), Bundle: codec.SignedBundleToProto(b)},
	}})
	reason := ""
	switch code := status.Code(asStatus(err)); {
	case err == nil:
	case state.CodeOf(err) != "" || code == codes.PermissionDenied || code == codes.InvalidArgument || code == codes.FailedPrecondition || code == codes.NotFound:
		x.log.Warn("bundle refused", "err", err)
		reason = status.Convert(asStatus(err)).Message()
	default:
		x.log.Warn("bundle could not be brought to the leader; it is tried again", "err", err)
		return false
	}
	// The outbox's own change cannot fail.
	_ = x.note(func(o *outbox) error { o.refused = o.refused || o.bundle != reason; o.bundle = reason; return nil })
	return true
}
