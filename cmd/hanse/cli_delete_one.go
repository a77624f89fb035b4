package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// deleteOne is a command that takes out one object of a kind.
func deleteOne(opts *operatorOptions, d *deleteOptions, word string) *cobra.Command {
	cmd := &cobra.Command{
		Args: oneArg("the " + strings.ToLower(word) + "'s name"), ValidArgsFunction: completeNames(opts, word),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := d.out.check(); err != nil {
				return err
			}
			w, err := findWanted([]string{word, args[0]}, "")
			if err != nil {
				return err
			}
			return d.run(cmd, opts, []target{{w.kinds[0], w.names[0]}})
		},
	}
	cmd.Flags().BoolVar(&d.dryRun, "dry-run", false, "have everything checked, but nothing done")
	d.out.bind(cmd)
	return cmd
}
