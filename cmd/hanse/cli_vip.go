package main

import (
	"io"
	"maps"
	"net/http"
	"slices"

	"github.com/spf13/cobra"
)

// newServiceVIPsCommand shows virtual addresses, which are a site's own: it asks the site's agent.
func newServiceVIPsCommand() *cobra.Command {
	var out output
	var agentDir string
	cmd := &cobra.Command{
		Use:   "vips",
		Short: "List the virtual addresses of a site's services (run it where the site's agent runs)",
		Long: `Each site gives every service that it knows an address of its own, which stays. Proxies with --vips offer the service there, on the
service's port numbers from 1024 up.`,
		Example: "  hanse service vips\n  hanse service vips -o json", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var vips map[string]string
			if err := callAdmin(cmd.Context(), "agent", agentDir, http.MethodGet, "/v1/vips", nil, &vips); err != nil {
				return err
			}
			return out.printNamed(cmd, vips, slices.Sorted(maps.Keys(vips)), func(w io.Writer) { printVIPs(w, vips) })
		},
	}
	bindAgentDir(cmd, &agentDir)
	out.bind(cmd)
	return cmd
}

func printVIPs(w io.Writer, vips map[string]string) {
	row(w, "SERVICE", "ADDRESS")
	for _, service := range slices.Sorted(maps.Keys(vips)) {
		row(w, service, vips[service])
	}
}
