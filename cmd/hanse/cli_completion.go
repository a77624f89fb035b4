package main

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// completionPatience is how long a shell waits for names.
const completionPatience = 2 * time.Second

func newCompletionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Write a shell's completion script",
		Long: `Writes a script by which the shell completes commands, flags, kinds, and the names that the federation holds.

  bash   source <(hanse completion bash)                                   (needs the package bash-completion)
  zsh    hanse completion zsh > "${fpath[1]}/_hanse"
  fish   hanse completion fish > ~/.config/fish/completions/hanse.fish`,
		Example:   "  hanse completion bash\n  hanse completion zsh",
		ValidArgs: []string{"bash", "zsh", "fish"},
		Args:      oneArg("the shell: bash, zsh or fish"),
		RunE: func(cmd *cobra.Command, args []string) error {
			root, to := cmd.Root(), cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(to, true)
			case "zsh":
				return root.GenZshCompletion(to)
			case "fish":
				return root.GenFishCompletion(to, true)
			default:
				return usageError("there is no completion for %q; there is for bash, zsh and fish", args[0])
			}
		},
	}
}

type completion = func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective)

// completeObjects completes KIND, KIND NAME and KIND/NAME.
func completeObjects(opts *operatorOptions, of func() []kind) completion {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
		word, _, slash := strings.Cut(toComplete, "/")
		switch {
		case len(args) > 0:
			return namesOf(cmd, opts, args[0], ""), cobra.ShellCompDirectiveNoFileComp
		case slash:
			return namesOf(cmd, opts, word, word+"/"), cobra.ShellCompDirectiveNoFileComp
		}
		var out []cobra.Completion
		for _, k := range of() {
			out = append(out, k.plural)
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeNames completes the name of an object of one kind.
func completeNames(opts *operatorOptions, word string) completion {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return namesOf(cmd, opts, word, ""), cobra.ShellCompDirectiveNoFileComp
	}
}

// namesOf asks the federation; without an answer there is nothing to complete.
func namesOf(cmd *cobra.Command, opts *operatorOptions, word, prefix string) []cobra.Completion {
	found, err := findKinds(word)
	if err != nil || applyConfig(cmd) != nil {
		return nil
	}
	opts.timeout = completionPatience
	c, err := opts.client()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
	defer cancel()
	var out []cobra.Completion
	for _, k := range found {
		items, _ := c.list(ctx, k, nil)
		for _, raw := range items {
			out = append(out, completed(k, raw, prefix)...)
		}
	}
	return out
}

func completed(k kind, raw json.RawMessage, prefix string) []cobra.Completion {
	name, err := k.view.name(raw)
	if err != nil {
		return nil
	}
	return []cobra.Completion{prefix + name}
}

// completeContexts completes a context's name where it is the one argument.
func completeContexts(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completeContextFlag(cmd, args, toComplete)
}

func completeContextFlag(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	held, err := loadContexts()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return held.names(), cobra.ShellCompDirectiveNoFileComp
}
