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
		Long: `REACHABLE is what calls go by: good, bad, or unknown, which counts as good. "Out of rotation" says that the gateway's own site has
drained it or finds it not ready: it is called only when no other one is good. "Degraded path" says that the way there has become much
longer or loses packets: for as long as it does, and half a minute more, calls go to other clusters where they can. OWN PROBES is what this site's probes have shown, ROUND TRIP
how long the last TCP connection took to stand; GOOD FOR and BAD FOR are the other clusters that say so.`,
		Example: "  hanse gateway list\n  hanse gateway list -o json", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []gatewayView
			if err := callAdmin(cmd.Context(), "agent", agentDir, http.MethodGet, "/v1/gateways", nil, &list); err != nil {
				return err
			}
			return out.printNamed(cmd, list, gatewayNames(list), func(w io.Writer) { printGateways(w, list) })
		},
	}
	bindAgentDir(cmd, &agentDir)
	out.bind(cmd)
	return cmd
}

func printGateways(w io.Writer, list []gatewayView) {
	if len(list) == 0 {
		fmt.Fprintln(w, "no other cluster's gateway is known: one is probed as soon as its cluster has a gateway and offers this one a service (see 'hanse status')")
		return
	}
	row(w, "CLUSTER", "GATEWAY", "ADDRESS", "REACHABLE", "OWN PROBES", "ROUND TRIP", "GOOD FOR", "BAD FOR", "LAST ERROR")
	for _, g := range list {
		reachable := g.Reachable
		if g.Draining {
			reachable += " (out of rotation)"
		}
		if g.Degraded {
			reachable += " (degraded path)"
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

// gatewayNames are CLUSTER/GATEWAY, each once however many addresses it has.
func gatewayNames(list []gatewayView) []string {
	out := []string{}
	for _, g := range list {
		out = append(out, "gateway/"+string(g.Cluster)+"/"+g.Gateway)
	}
	return unique(out)
}
