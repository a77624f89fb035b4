package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/federation/rest"
)

func newStatusCommand(opts *operatorOptions) *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the federation at a glance",
		Long: `Shows the federation's nodes and clusters as the answering node sees them, and what needs an operator's eye.

FEED AGE is the time since the cluster's agent last confirmed what it publishes: 1 to 2 s while all is well. After 10 s of silence it is a
problem; after 5 minutes the feed is stale, and calls prefer what is fresh. RECORDS are what it publishes: one per service, and a few on the
site itself. PROXIES are those that follow their agent's configuration, of all that are registered.

With -o wide: VERSION counts what was published: the first number rises when the agent says everything anew (a start, a new session,
confirmed removals), the second with each change. INSTANCE is the agent's process that publishes ('hanse agent status' says which one a
machine runs).

The command succeeds when there are problems, too: scripts read "problems" of the JSON, or use 'hanse check'.`,
		Example: "  hanse status\n  hanse status -o json", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			c, err := opts.client()
			if err != nil {
				return err
			}
			var text json.RawMessage
			if err := into(&text)(c.api().GetStatus(cmd.Context(), nil)); err != nil {
				return err
			}
			var s rest.Status
			if err := json.Unmarshal(text, &s); err != nil {
				return fmt.Errorf("the answer is not what this version expects: %w", err)
			}
			return out.printNamed(cmd, text, []string{"federation/" + s.Federation}, func(w io.Writer) { printStatus(w, s, out.wide()) })
		},
	}
	out.bind(cmd)
	return cmd
}

func printStatus(w io.Writer, s rest.Status, wide bool) {
	paint := paletteOf(w)
	fmt.Fprintf(w, "federation %s, seen from node %s (leader %s, index %d)\n", s.Federation, s.Node, orNone(s.Leader), s.Index)
	if s.OutageBudgetSeconds != nil {
		fmt.Fprintf(w, "outage budget: %s until the first certificate runs out\n", shortDuration(time.Duration(*s.OutageBudgetSeconds*float64(time.Second))))
	}
	fmt.Fprintln(w)
	tableOf(w, nodeLayout(), wide, s.Nodes)
	fmt.Fprintln(w)
	tableOf(w, clusterLayout(), wide, s.Clusters)
	fmt.Fprintln(w)
	if len(s.Problems) == 0 {
		fmt.Fprintln(w, paint.green("no problems"))
		return
	}
	fmt.Fprintln(w, paint.red("problems:"))
	for _, p := range s.Problems {
		fmt.Fprintf(w, "  %s\n", p)
	}
}

// tableOf shows what was decoded already.
func tableOf[T any](w io.Writer, v typedLayout[T], wide bool, items []T) {
	v.head(w, wide)
	for _, item := range items {
		for _, cells := range v.cells(item) {
			row(w, cells[:v.columns(wide)]...)
		}
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
