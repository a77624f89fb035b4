//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Exit codes are part of the command line's interface.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitUnavailable = 3
	exitNotFound    = 4
	exitConflict    = 5
	exitDenied      = 6
	exitDifferences = 7
)

// invocation is a command that ends by itself, and what it must end with.
type invocation struct {
	name string
	args []string
	// env are variables beside the usual ones.
	env  []string
	code int
	// says is what standard error must contain.
	says []string
}

// check runs the command and returns its standard output.
func (i invocation) check(t *testing.T, binary string) string {
	t.Helper()
	// A command that goes on, as one would that takes what it should refuse, is killed.
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, i.args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Env = append(environment(t), i.env...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	_ = cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("hanse %s did not end:\n%s", strings.Join(i.args, " "), errOut.String())
	}
	if code := cmd.ProcessState.ExitCode(); code != i.code {
		t.Errorf("hanse %s: exit code %d, want %d:\n%s", strings.Join(i.args, " "), code, i.code, errOut.String())
	}
	for _, text := range i.says {
		if !strings.Contains(errOut.String(), text) {
			t.Errorf("hanse %s does not say %q:\n%s", strings.Join(i.args, " "), text, errOut.String())
		}
	}
	return out.String()
}

// checkAll runs each command in a test of its own.
func checkAll(t *testing.T, binary string, list []invocation) {
	t.Helper()
	for _, i := range list {
		t.Run(i.name, func(t *testing.T) { i.check(t, binary) })
	}
}
