// Command hanse is the one binary of Hanse: federation node, site agent, proxy companion and command line.
//
// It alone knows every package. One file per role wires that role from top to bottom, with the reasons for the order; nothing is
// decided here that a package could decide.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// version is set when a release is linked.
var version = "dev"

// Exit codes are part of the interface: scripts may rely on them.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	// exitUnavailable means that nobody answered: trying again may help.
	exitUnavailable = 3
	exitNotFound    = 4
	// exitConflict means that the object is not as the command takes it to be.
	exitConflict = 5
	exitDenied   = 6
	// exitDifferences means that a comparison found some, a check found problems, or a wait ended before its time had come.
	exitDifferences = 7
	// exitInterrupted is 128 and the number of SIGINT, as shells count.
	exitInterrupted = 130
)

// codedError carries the exit code of a failure to main.
type codedError struct {
	code int
	err  error
}

func (e codedError) Error() string { return e.err.Error() }
func (e codedError) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return codedError{exitUsage, fmt.Errorf(format, args...)}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// Whoever asks a second time does not want to wait for the drain.
	context.AfterFunc(ctx, stop)
	err := newRootCommand().ExecuteContext(ctx)
	interrupted := ctx.Err() != nil
	stop()
	code := report(err)
	if interrupted && code != exitOK {
		code = exitInterrupted
	}
	os.Exit(code)
}

// report prints a failure, unless it has been told already, and returns the process's exit code.
func report(err error) int {
	if err == nil {
		return exitOK
	}
	switch {
	case quiet(err):
	case err == context.Canceled:
		fmt.Fprintln(os.Stderr, "hanse: interrupted")
	default:
		fmt.Fprintf(os.Stderr, "hanse: %v\n", err)
	}
	return codeOf(err)
}

func codeOf(err error) int {
	var coded codedError
	if errors.As(err, &coded) {
		return coded.code
	}
	return exitFailure
}
