package main

import (
	"github.com/spf13/cobra"
)

// newOperatorCommands returns what an operator runs against a federation's REST API.
func newOperatorCommands(opts *operatorOptions) []*cobra.Command {
	read := []*cobra.Command{
		newStatusCommand(opts), newGetCommand(opts), newDescribeCommand(opts), newEventsCommand(opts), newExplainCommand(opts), newWaitCommand(opts), newCheckCommand(opts),
	}
	write := []*cobra.Command{
		newApplyCommand(opts), newDiffCommand(opts), newDeleteCommand(opts), newLeaveCommand(opts),
	}
	families := []*cobra.Command{
		newClusterCommand(opts), newNodeCommand(opts), newServiceCommand(opts), newWorkloadCommand(opts), newTokenCommand(opts), newPolicyCommand(opts),
	}
	own := []*cobra.Command{newContextCommand(opts), newWhoamiCommand(opts), newVersionCommand(opts)}
	var all []*cobra.Command
	for _, g := range []struct {
		group    string
		commands []*cobra.Command
	}{{groupRead, read}, {groupWrite, write}, {groupFamily, families}, {groupOwn, own}} {
		for _, c := range g.commands {
			opts.bind(c)
			c.GroupID = g.group
			all = append(all, c)
		}
	}
	return all
}

// noArgs refuses arguments with a usage error.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 && cmd.HasAvailableSubCommands() {
		return unknownCommand(cmd, args[0])
	}
	if len(args) > 0 {
		return usageError("%s takes no arguments, but got %q", cmd.CommandPath(), args)
	}
	return nil
}

// oneArg wants exactly one argument, which what describes.
func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError("%s needs one argument: %s", cmd.CommandPath(), what)
		}
		return nil
	}
}

// listCommand is "get" for one kind, under the name of its family.
func listCommand(opts *operatorOptions, word, short, example string) *cobra.Command {
	var g getOptions
	cmd := &cobra.Command{
		Use: "list", Short: short, Example: example, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, err := findKinds(word)
			if err != nil {
				return err
			}
			return g.run(cmd, opts, wanted{kinds: found})
		},
	}
	g.bind(cmd)
	return cmd
}
