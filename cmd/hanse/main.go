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
	"strings"
	"syscall"

	"github.com/spf13/cobra"
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
	stop()
	os.Exit(report(err))
}

// report prints a failure and returns the process's exit code.
func report(err error) int {
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(os.Stderr, "hanse: %v\n", err)
	var coded codedError
	if errors.As(err, &coded) {
		return coded.code
	}
	return exitFailure
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "hanse",
		Short: "Federate services across clusters, sites and regions",
		Long: `hanse joins clusters and VM sites into a federation: services find each other by one name, call each other over mutual TLS
through Envoy, stay near when they can and fail over when they must.

The same binary plays every role:
  hanse server    a federation node: members, trust and policy (Raft), service catalog (gossip), REST API
  hanse agent     one per site: joins outbound with a one-time token, programs the site's Envoys
  hanse proxy     beside every Envoy: keeps the key, checks the workload, starts and drains Envoy
  hanse ...       the command line of operators

Every flag of a role can also be given as an environment variable (--data-dir is HANSE_DATA_DIR) or as a key of a YAML file
(--config FILE). Flags win over the environment, the environment over the file.`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError("%w\nsee '%s --help'", err, cmd.CommandPath())
	})
	root.PersistentFlags().String("config", "", "YAML file with the same keys as the flags")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return applyConfig(cmd) }
	root.AddCommand(newServerCommand(), newAgentCommand(), newProxyCommand())
	root.AddCommand(newOperatorCommands()...)
	root.AddCommand(newTrustCommand(), newGatewayCommand())
	refuseUnknownCommands(root)
	return root
}

// refuseUnknownCommands makes a command that only groups others say so when it is given something that is none of them: a misspelt
// command in a script must not pass for a request for help.
func refuseUnknownCommands(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		refuseUnknownCommands(c)
	}
	cmd.SuggestionsMinimumDistance = 2
	if cmd.Runnable() || !cmd.HasSubCommands() {
		return
	}
	cmd.Args, cmd.DisableFlagsInUseLine = cobra.ArbitraryArgs, true
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return unknownCommand(cmd, args[0])
	}
}

func unknownCommand(cmd *cobra.Command, name string) error {
	hint := ""
	if similar := cmd.SuggestionsFor(name); len(similar) > 0 {
		hint = fmt.Sprintf("; did you mean %q?", strings.Join(similar, `" or "`))
	}
	return usageError("%s has no command %q%s\nsee '%s --help'", cmd.CommandPath(), name, hint, cmd.CommandPath())
}
