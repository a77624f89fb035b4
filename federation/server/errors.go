package server

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hanse-mesh/hanse/federation/state"
)

// asStatus gives an error the gRPC code by which a client tells what to do: retry, correct the request, or ask an operator.
func asStatus(err error) error {
	if err == nil {
		return nil
	}
	if known, ok := status.FromError(err); ok {
		return known.Err()
	}
	return status.Error(codeOf(err), err.Error())
}

func codeOf(err error) codes.Code {
	switch state.CodeOf(err) {
	case state.NotFound:
		return codes.NotFound
	case state.Conflict:
		return codes.FailedPrecondition
	case state.Denied:
		return codes.PermissionDenied
	case state.Invalid:
		return codes.InvalidArgument
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	}
	return codes.Unavailable
}
