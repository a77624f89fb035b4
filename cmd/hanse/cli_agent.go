package main

import (
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"
)

func newAgentStatusCommand() *cobra.Command {
	var out output
	var agentDir string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how a site's agent fares and what it imports (run it where the agent runs)",
		Long: `Shows the agent's session with the federation, whether it publishes, and for each other cluster how old what it imports is. What is
older than 5 minutes is stale: calls prefer what is fresh. Services that vanished in a mass stay in force for 30 s and are listed as held.`,
		Example: "  hanse agent status\n  hanse agent status -o json", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s agentStatus
			if err := callAdmin(cmd.Context(), "agent", agentDir, http.MethodGet, "/v1/status", nil, &s); err != nil {
				return err
			}
			return out.printNamed(cmd, s, []string{"cluster/" + string(s.Cluster)}, func(w io.Writer) { printAgentStatus(w, s) })
		},
	}
	bindAgentDir(cmd, &agentDir)
	out.bind(cmd)
	return cmd
}

func printAgentStatus(w io.Writer, s agentStatus) {
	fmt.Fprintf(w, "agent of cluster %s in federation %s, instance %s\n", s.Cluster, s.Federation, shortInstance(s.Instance))
	switch {
	case s.Connected:
		fmt.Fprintf(w, "connected to node %s\n", s.Node)
	default:
		fmt.Fprintf(w, "not connected: %s\n", orNone(s.LastError))
	}
	switch {
	case s.SupersededBy != "":
		fmt.Fprintln(w, supersededText(s.Cluster, shortInstance(s.Instance), shortInstance(s.SupersededBy)))
	case s.Epoch == 0:
		fmt.Fprintln(w, "has published nothing yet")
	default:
		fmt.Fprintf(w, "publishes version %d.%d\n", s.Epoch, s.Seq)
	}
	fmt.Fprintln(w)
	row(w, "IMPORTS FROM", "AGE", "VERSION", "INSTANCE", "SERVICES", "HELD")
	for _, i := range s.Imports {
		if !i.Complete {
			row(w, i.Cluster, "nothing yet", "-", "-", 0, 0)
			continue
		}
		row(w, i.Cluster, ageText(i.AgeSeconds, i.Stale), fmt.Sprintf("%d.%d", i.Epoch, i.Seq), shortInstance(i.Instance), i.Services, i.HeldRecords)
	}
	for _, i := range s.Imports {
		for _, text := range i.Held {
			fmt.Fprintln(w, text)
		}
	}
}

func newAgentConfirmCommand() *cobra.Command {
	var agentDir string
	cmd := &cobra.Command{
		Use:   "confirm-removals",
		Short: "Say that the services which this cluster has withdrawn are meant to be gone (run it where the agent runs)",
		Long: `When more than ten and more than half of a cluster's services vanish within a second, the other clusters keep them in force for 30 s: a
damaged registry or a wrong command must not be an outage everywhere. They say so in 'hanse status'. If the removal was meant, confirm it
here, at the cluster that removed them: then the others let them go at once. A confirmation is of what is gone by now; services withdrawn
later need another one. The drain of a workload or gateway, and changes of policy, are never held and need none.`,
		Example: "  hanse agent confirm-removals", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := callAdmin(cmd.Context(), "agent", agentDir, http.MethodPost, "/v1/confirm-removals", nil, nil); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "confirmed: the other clusters hold none of the services that this cluster has withdrawn")
			return nil
		},
	}
	bindAgentDir(cmd, &agentDir)
	return cmd
}
