package enroll

import (
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// plain shows an agent's answer as the agent worded it; the status stays within reach of status.Code.
type plain struct{ err error }

func (p plain) Error() string { return status.Convert(p.err).Message() }
func (p plain) Unwrap() error { return p.err }

// final are the answers to an enrolment that no repetition mends.
var final = []codes.Code{
	codes.PermissionDenied, codes.InvalidArgument, codes.AlreadyExists, codes.NotFound, codes.FailedPrecondition, codes.Unimplemented,
}

// slow are the answers to a registration after which a quick repetition would only be a nuisance: an operator must act, or another
// proxy holds the same workload.
var slow = append([]codes.Code{codes.Unauthenticated, codes.ResourceExhausted, codes.Aborted}, final...)

// isUnknown says that the agent does not know who the certificate's holder is.
func isUnknown(err error) bool { return status.Code(err) == codes.Unauthenticated }

func isFinal(err error) bool { return slices.Contains(final, status.Code(err)) }
func isSlow(err error) bool  { return slices.Contains(slow, status.Code(err)) }
