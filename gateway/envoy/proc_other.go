//go:build !linux

package envoy

import (
	"context"
	"errors"
)

// watch fails: without /proc it can not be told whose process it is, and a foreign one must not be taken over.
func watch(context.Context, int, string) (*instance, error) {
	return nil, errors.New("a running Envoy can be taken over on Linux only")
}
