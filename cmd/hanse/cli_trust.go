package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

// newTrustCommand is about whom a site believes; it talks to the site's own agent, also while the federation is away.
func newTrustCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trust",
		Short: "Whom a site believes (run it where the site's agent runs)",
		Long: `A site keeps the bundle of every member's trust domain: the roots by which it judges that member's workloads. A bundle changes by
itself only when the one held has signed the next. At first sight two federation nodes must show the same one ("introduced"); with a
single node there is nobody else to ask ("sole"). What "trust list" shows on both sides must agree: compare the fingerprints of the
roots over another channel to be sure.

When a member's CA was lost and made anew, its new bundle is refused until an operator says 'hanse trust forget' at each importer.`,
	}
	cmd.AddCommand(newTrustListCommand(), newTrustForgetCommand())
	return cmd
}

func newTrustListCommand() *cobra.Command {
	var out output
	var agentDir string
	cmd := &cobra.Command{
		Use: "list", Short: "List the trust domains that the site believes, and on whose word",
		Example: "  hanse trust list\n  hanse trust list -o json", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var held []believedBundle
			if err := callAdmin(cmd.Context(), "agent", agentDir, http.MethodGet, "/v1/bundles", nil, &held); err != nil {
				return err
			}
			return out.printNamed(cmd, held, bundleNames(held), func(w io.Writer) { printBelieved(w, held) })
		},
	}
	bindAgentDir(cmd, &agentDir)
	out.bind(cmd)
	return cmd
}

func bundleNames(held []believedBundle) []string {
	out := make([]string, len(held))
	for i, b := range held {
		out[i] = "trustdomain/" + b.TrustDomain
	}
	return out
}

func printBelieved(w io.Writer, held []believedBundle) {
	row(w, "TRUST DOMAIN", "SEQUENCE", "BELIEVED", "ROOTS (SHA-256)")
	for _, b := range held {
		row(w, b.TrustDomain, b.Sequence, b.Belief, strings.Join(b.Roots, ","))
	}
}

func newTrustForgetCommand() *cobra.Command {
	var agentDir string
	cmd := &cobra.Command{
		Use:   "forget DOMAIN",
		Short: "Forget a trust domain's bundle, so that the one that the federation shows now is judged as at first sight",
		Long: `Say this after a member's CA was replaced without the old one's signature: its new bundle is refused until then. Calls to and from that
member stop until two federation nodes have shown the same new bundle, which takes a second or two.`,
		Example: "  hanse trust forget eu-west.example.org", Args: oneArg("the trust domain, see 'hanse trust list'"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := callAdmin(cmd.Context(), "agent", agentDir, http.MethodDelete, "/v1/bundles/"+url.PathEscape(args[0]), nil, nil); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "trust domain %s forgotten: see 'hanse trust list' for what is believed next\n", args[0])
			return nil
		},
	}
	bindAgentDir(cmd, &agentDir)
	return cmd
}

// bindAgentDir names the agent that a command talks to.
func bindAgentDir(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "data-dir", "/var/lib/hanse/agent", "data folder of the site's agent, which holds its admin socket")
}
