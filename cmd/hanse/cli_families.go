package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

func newNodeCommand(opts *operatorOptions) *cobra.Command {
	cmd := &cobra.Command{Use: "node", Short: "Federation nodes"}
	remove := deleteOne(opts, &deleteOptions{}, model.KindNode)
	remove.Use, remove.Example = "remove NAME", "  hanse node remove n3\n  hanse node remove n3 --dry-run"
	remove.Short = "Forget a federation node that has stopped: it counts for no majority any more"
	remove.Long = `Stop the node's process first: one that still answers is refused. A node of the same name joins again with a new token and an empty data
folder.`
	cmd.AddCommand(listCommand(opts, "nodes", "List the federation nodes", "  hanse node list\n  hanse node list -o wide"), remove)
	return cmd
}

func newClusterCommand(opts *operatorOptions) *cobra.Command {
	cmd := &cobra.Command{Use: "cluster", Short: "Member clusters and sites"}
	cmd.AddCommand(
		listCommand(opts, "clusters", "List the member clusters", "  hanse cluster list\n  hanse cluster list --watch"),
		newClusterRemoveCommand(opts),
		newClusterJoinCommand(opts),
		newClusterLeaveCommand(opts),
	)
	return cmd
}

func newServiceCommand(opts *operatorOptions) *cobra.Command {
	cmd := &cobra.Command{Use: "service", Short: "Services of the federation"}
	cmd.AddCommand(
		listCommand(opts, "services", "List who exports what, where, how healthy and how fresh", "  hanse service list\n  hanse service list -n shop -o wide"),
		newServiceVIPsCommand(),
	)
	return cmd
}

func newPolicyCommand(opts *operatorOptions) *cobra.Command {
	var d deleteOptions
	remove := &cobra.Command{
		Use: "delete KIND/NAME", Short: "Delete a policy", Example: "  hanse policy delete ExportRule/shop-everywhere",
		Args:              oneArg("KIND/NAME, for example FailoverPolicy/default"),
		ValidArgsFunction: completeObjects(opts, policyKinds),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := d.out.check(); err != nil {
				return err
			}
			word, name, _ := strings.Cut(args[0], "/")
			found, err := findKinds(word)
			if err != nil || name == "" || len(found) != 1 || !found[0].document {
				return usageError("%q is not KIND/NAME with KIND one of %s", args[0], policy.Names(policy.Kinds()))
			}
			if err := found[0].checkName(name); err != nil {
				return err
			}
			return d.run(cmd, opts, []target{{found[0], name}})
		},
	}
	remove.Flags().BoolVar(&d.dryRun, "dry-run", false, "have everything checked, but nothing deleted")
	d.out.bind(remove)
	cmd := &cobra.Command{Use: "policy", Short: "Documents: " + policy.Names(policy.Kinds())}
	cmd.AddCommand(listCommand(opts, allPolicies, "List all documents", "  hanse policy list\n  hanse policy list -o yaml"), remove)
	return cmd
}

func newEventsCommand(opts *operatorOptions) *cobra.Command {
	var g getOptions
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show what a node has seen happen, oldest first",
		Long: `Shows what the answering node has seen: members that came and went, feeds that fell silent, refused configurations, gateways that are
not reached. Each node sees for itself and forgets what is old and what was before its restart. Who changed what stands in the audit log:
'hanse get audit'.

--where filters by type, kind and name.`,
		Example: `  hanse events
  hanse events --watch
  hanse events --where kind=Cluster,name=eu -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, err := findKinds("events")
			if err != nil {
				return err
			}
			return g.run(cmd, opts, wanted{kinds: found})
		},
	}
	g.bind(cmd)
	return cmd
}
