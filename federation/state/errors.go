package state

import (
	"errors"
	"fmt"
)

// Code says of what kind a refusal is; callers map it to a status of their protocol.
type Code string

// The kinds of refusal.
const (
	// NotFound: the thing that is to be changed does not exist.
	NotFound Code = "not-found"
	// Conflict: something else stands in the way; the message says what to do.
	Conflict Code = "conflict"
	// Mismatch: an object is not as the writer expected it.
	Mismatch Code = "mismatch"
	// Denied: the credential does not allow it.
	Denied Code = "denied"
	// Invalid: the command makes no sense on any state.
	Invalid Code = "invalid"
)

// Error is a command's refusal. It is part of the replicated result: every node refuses alike, and a refused command changes
// nothing but the index.
type Error struct {
	Code    Code
	Message string
}

// Error returns the message, without the code.
func (e *Error) Error() string { return e.Message }

// CodeOf returns the code of the *Error that err wraps, or "" when there is none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func refuse(code Code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
