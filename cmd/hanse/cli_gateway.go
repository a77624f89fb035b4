package main

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// newGatewayCommand is about other clusters' gateways as a site sees them; it talks to the site's own agent, also while the federation is
// away.
func newGatewayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: "Other clusters' gateways as a site sees them (run it where the site's agent runs)",
		Long: `A site's agent probes every gateway of the clusters whose services it imports, with a real handshake. Its own result decides whether
calls go there. What other clusters' agents find makes it look more often, or decides while it has no result of its own and two others
agree. When everything is unreachable, calls are tried nevertheless.`,
	}
	cmd.AddCommand(newGatewayListCommand())
	return cmd
}

func newGatewayListCommand() *cobra.Command {
	var out output
	var agentDir string
	cmd := &cobra.Command{
		Use: "list", Short: "List the gateways' addresses, whether they are reached, and who says otherwise",
		Example: "  hanse gateway list\n  hanse gateway list -o json", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []gatewayView
			if err := callAdmin(cmd.Context(), "agent", agentDir, http.MethodGet, "/v1/gateways", nil, &list); err != nil {
				return err
			}
			return out.print(cmd, list, func(w io.Writer) { printGateways(w, list) })
		},
	}
	bindAgentDir(cmd, &agentDir)
	out.bind(cmd)
	return cmd
}

func printGateways(w io.Writer, list []gatewayView) {
	row(w, "CLUSTER", "GATEWAY", "ADDRESS", "REACHABLE", "OWN PROBES", "ROUND TRIP", "GOOD FOR", "BAD FOR", "LAST ERROR")
	for _, g := range list {
		reachable := g.Reachable
		if g.Draining {
			reachable += " (draining)"
		}
		row(w, g.Cluster, g.Gateway, g.Address, reachable, g.Own, roundTripText(g.ConnectSeconds), namesText(g.GoodFor), namesText(g.BadFor), g.LastError)
	}
}

func roundTripText(seconds float64) string {
	if seconds == 0 {
		return ""
	}
	return fmt.Sprint(time.Duration(seconds * float64(time.Second)).Round(10 * time.Microsecond))
}
