package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/federation/access"
	"github.com/hanse-mesh/hanse/federation/rest"
)

func newWhoamiCommand(opts *operatorOptions) *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use: "whoami", Short: "Show who you are to the federation, and what you may do", Example: "  hanse whoami\n  hanse whoami --context production -o json",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			c, err := opts.client()
			if err != nil {
				return err
			}
			var who rest.Whoami
			if err := into(&who)(c.api().Whoami(cmd.Context())); err != nil {
				return err
			}
			return out.printNamed(cmd, who, []string{who.Name}, func(w io.Writer) { printWhoami(w, who) })
		},
	}
	out.bind(cmd)
	return cmd
}

func printWhoami(w io.Writer, who rest.Whoami) {
	fmt.Fprintf(w, "%s, by %s\n", who.Name, who.Credential)
	if len(who.Grants) == 0 {
		fmt.Fprintln(w, "may do nothing: an admin gives roles by a RoleBinding ('hanse apply --help')")
	}
	for _, g := range who.Grants {
		fmt.Fprintln(w, "may "+grantText(g))
	}
}

func grantText(g access.Grant) string {
	if len(g.Namespaces) == 0 {
		return fmt.Sprintf("what the role %s may", g.Role)
	}
	return fmt.Sprintf("what the role %s may, in %s", g.Role, strings.Join(g.Namespaces, ", "))
}
