package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/rest"
)

// newOperatorCommands returns what an operator runs against a federation's REST API.
func newOperatorCommands() []*cobra.Command {
	var opts operatorOptions
	commands := []*cobra.Command{
		newStatusCommand(&opts), newClusterCommand(&opts), newNodeCommand(&opts), newServiceCommand(&opts),
		newTokenCommand(&opts), newApplyCommand(&opts), newPolicyCommand(&opts),
	}
	for _, c := range commands {
		opts.bind(c)
	}
	return commands
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

// readCommand is a command that shows one GET as a table or as JSON.
func readCommand[T any](opts *operatorOptions, use, short, example, path string, table func(io.Writer, T)) *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := opts.client()
			if err != nil {
				return err
			}
			var v T
			if err := c.do(cmd.Context(), http.MethodGet, path, nil, &v); err != nil {
				return err
			}
			return out.print(cmd, v, func(w io.Writer) { table(w, v) })
		},
	}
	out.bind(cmd)
	return cmd
}

func newStatusCommand(opts *operatorOptions) *cobra.Command {
	cmd := readCommand(opts, "status", "Show the federation at a glance", "  hanse status\n  hanse status -o json", "/v1/status", printStatus)
	cmd.Long = `Shows the federation's nodes and clusters as the answering node sees them, and what needs an operator's eye.

FEED AGE is the time since the cluster's agent last confirmed what it publishes: 1 to 2 s while all is well. After 10 s of silence it is a
problem; after 5 minutes the feed is stale, and calls prefer what is fresh. VERSION counts what was published: the first number rises when
the agent says everything anew (a start, a new session, confirmed removals), the second with each change. INSTANCE is the agent's process
that publishes ('hanse agent status' says which one a machine runs). RECORDS are what it publishes: one per service, and a few on the site
itself. PROXIES are those that follow their agent's configuration, of all that are registered.

The command succeeds when there are problems, too: scripts read "problems" of the JSON.`
	return cmd
}

func printStatus(w io.Writer, s rest.Status) {
	fmt.Fprintf(w, "federation %s, seen from node %s (leader %s, index %d)\n", s.Federation, s.Node, orNone(s.Leader), s.Index)
	if s.OutageBudgetSeconds != nil {
		fmt.Fprintf(w, "outage budget: %s until the first certificate runs out\n", shortDuration(time.Duration(*s.OutageBudgetSeconds*float64(time.Second))))
	}
	fmt.Fprintln(w)
	printNodes(w, rest.List[rest.NodeView]{Items: s.Nodes})
	fmt.Fprintln(w)
	printClusters(w, rest.List[rest.ClusterView]{Items: s.Clusters})
	fmt.Fprintln(w)
	if len(s.Problems) == 0 {
		fmt.Fprintln(w, "no problems")
		return
	}
	fmt.Fprintln(w, "problems:")
	for _, p := range s.Problems {
		fmt.Fprintf(w, "  %s\n", p)
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func newNodeCommand(opts *operatorOptions) *cobra.Command {
	cmd := &cobra.Command{Use: "node", Short: "Federation nodes"}
	cmd.AddCommand(readCommand(opts, "list", "List the federation nodes", "  hanse node list", "/v1/nodes", printNodes))
	return cmd
}

func printNodes(w io.Writer, l rest.List[rest.NodeView]) {
	row(w, "NODE", "REGION", "ROLE", "ALIVE", "LEADER", "GRPC", "REST")
	for _, n := range l.Items {
		row(w, n.Name, n.Region, n.Role(), yesNo(n.Alive), yesNo(n.Leader), n.GRPCAddress, n.RESTAddress)
	}
}

func newClusterCommand(opts *operatorOptions) *cobra.Command {
	cmd := &cobra.Command{Use: "cluster", Short: "Member clusters and sites"}
	remove := &cobra.Command{
		Use: "remove NAME", Short: "End a cluster's membership: its services, bundle and agent stop counting at once",
		Example: "  hanse cluster remove eu-west", Args: oneArg("the cluster's name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return deleteAndSay(cmd, opts, "/v1/clusters/"+args[0], "cluster "+args[0]+" removed")
		},
	}
	cmd.AddCommand(readCommand(opts, "list", "List the member clusters", "  hanse cluster list", "/v1/clusters", printClusters), remove)
	return cmd
}

func printClusters(w io.Writer, l rest.List[rest.ClusterView]) {
	row(w, "CLUSTER", "REGION", "TRUST DOMAIN", "FEED AGE", "VERSION", "INSTANCE", "RECORDS", "GATEWAYS", "PROXIES", "MAY EXPORT")
	for _, c := range l.Items {
		age, version, instance, records, proxies := "nothing yet", "-", "-", "-", "-"
		if c.Feed != nil {
			age = ageText(c.Feed.AgeSeconds, c.Feed.Stale)
			version, instance, records = fmt.Sprintf("%d.%d", c.Feed.Epoch, c.Feed.Seq), shortInstance(c.Feed.Instance), strconv.Itoa(c.Feed.Records)
		}
		if c.Status != nil {
			proxies = fmt.Sprintf("%d of %d", connectedProxies(c.Status.Proxies), len(c.Status.Proxies))
		}
		row(w, c.Name, c.Region, c.TrustDomain, age, version, instance, records, len(c.Gateways), proxies, strings.Join(c.ExportNamespaces, ","))
	}
}

// ageText is an age as people read it.
func ageText(seconds float64, stale bool) string {
	text := shortDuration(time.Duration(seconds * float64(time.Second)))
	if stale {
		text += " (stale)"
	}
	return text
}

// shortInstance is enough of a process's random id to tell two apart.
func shortInstance(id string) string { return id[:min(len(id), 8)] }

func connectedProxies(list []model.ProxyStatus) int {
	n := 0
	for _, p := range list {
		if p.Connected {
			n++
		}
	}
	return n
}

func newServiceCommand(opts *operatorOptions) *cobra.Command {
	cmd := &cobra.Command{Use: "service", Short: "Services of the federation"}
	cmd.AddCommand(readCommand(opts, "list", "List who exports what, where, how healthy and how fresh", "  hanse service list", "/v1/services", printServices),
		newServiceVIPsCommand())
	return cmd
}

func printServices(w io.Writer, l rest.List[rest.ServiceView]) {
	if len(l.Items) == 0 {
		fmt.Fprintln(w, "no cluster exports a service: workloads offer one with --export, an ExportRule opens it (see 'hanse status', 'hanse apply --help')")
		return
	}
	row(w, "SERVICE", "CLUSTER", "PORTS", "READY", "LOCALITIES", "CALLED FROM", "AGE")
	for _, s := range l.Items {
		for _, o := range s.Offers {
			ready, total := o.Ready()
			row(w, s.ServiceKey, o.Cluster, portsText(o.Ports), fmt.Sprintf("%d/%d", ready, total),
				localitiesText(o.Capacity), strings.Join(o.ImportedBy, ","), ageText(o.AgeSeconds, o.Stale))
		}
	}
}

func portsText(ports []model.Port) string {
	out := make([]string, len(ports))
	for i, p := range ports {
		out[i] = fmt.Sprintf("%d/%s", p.Number, p.Protocol)
	}
	return strings.Join(out, ",")
}

func localitiesText(capacity []model.Capacity) string {
	out := make([]string, len(capacity))
	for i, c := range capacity {
		out[i] = fmt.Sprintf("%s=%d/%d", c.Locality, c.Ready, c.Total)
	}
	return strings.Join(out, ",")
}

func deleteAndSay(cmd *cobra.Command, opts *operatorOptions, path, done string) error {
	c, err := opts.client()
	if err != nil {
		return err
	}
	if err := c.do(cmd.Context(), http.MethodDelete, path, nil, nil); err != nil {
		return err
	}
	fmt.Fprintln(cmd.OutOrStdout(), done)
	return nil
}
