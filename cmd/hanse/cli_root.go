package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

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
  hanse dns       in a Kubernetes cluster: answers for clusterset.local
  hanse ...       the command line of operators

Every flag can also be given as an environment variable (--data-dir is HANSE_DATA_DIR) or as a key of a YAML file (--config FILE). Flags
win over the environment, the environment over the file.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 nobody answers (try again), 4 not found, 5 conflict, 6 not allowed, 7 differences, problems or
not in time, 130 interrupted.`,
		Example: `  hanse init --federation example.org --region eu
  hanse status
  hanse get services
  hanse apply -f policies.yaml`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError("%w\nsee '%s --help'", err, cmd.CommandPath())
	})
	root.PersistentFlags().String("config", "", "YAML file with the same keys as the flags")
	// Operators may say where and as whom before the command, too: that is what they have an alias for.
	var opts operatorOptions
	root.TraverseChildren = true
	opts.bindFlags(root, root.Flags())
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if given := givenFlags(cmd.Root()); len(given) > 0 && cmd.HasParent() {
			return usageError("--%s is for operators' commands, and '%s' is none", given[0], cmd.CommandPath())
		}
		return applyConfig(cmd)
	}
	root.CompletionOptions.DisableDefaultCmd = true
	addCommands(root, &opts)
	refuseUnknownCommands(root)
	return root
}

// The groups of commands in the help.
const (
	groupRole   = "role"
	groupRead   = "read"
	groupWrite  = "write"
	groupFamily = "family"
	groupSite   = "site"
	groupOwn    = "own"
)

func addCommands(root *cobra.Command, opts *operatorOptions) {
	root.AddGroup(
		&cobra.Group{ID: groupRole, Title: "Roles, and how to begin:"},
		&cobra.Group{ID: groupRead, Title: "See what there is:"},
		&cobra.Group{ID: groupWrite, Title: "Change it:"},
		&cobra.Group{ID: groupFamily, Title: "By what it is about:"},
		&cobra.Group{ID: groupSite, Title: "Where a site's agent runs:"},
		&cobra.Group{ID: groupOwn, Title: "This program:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
		}
		root.AddCommand(commands...)
	}
	add(groupRole, newInitCommand(), newJoinCommand(), newServerCommand(), newAgentCommand(), newProxyCommand(), newDNSCommand())
	root.AddCommand(newOperatorCommands(opts)...)
	add(groupSite, newTrustCommand(), newGatewayCommand())
	add(groupOwn, newCompletionCommand())
	root.SetHelpCommandGroupID(groupOwn)
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
