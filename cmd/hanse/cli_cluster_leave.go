package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/deploy/install"
)

// clusterLeave is what "hanse cluster leave" is told.
type clusterLeave struct {
	kube                      kubeTarget
	name                      string
	wait                      time.Duration
	yes, dryRun, removeMember bool
	out                       output
}

func newClusterLeaveCommand(opts *operatorOptions) *cobra.Command {
	var l clusterLeave
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "Take Hanse out of a Kubernetes cluster, with everything that it has made there",
		Long: `Takes away what 'hanse cluster join' has installed and what the agent has made: imports, derived Services and EndpointSlices, and CoreDNS's
forward rule. Calls of other clusters' services fail from then on. What users have made stays: ServiceExports, and the definitions of the
Multi-Cluster Services API. It can be run again after an interruption.

The federation keeps the cluster as a member that is silent, unless --remove-member ends the membership too (as 'hanse leave' does), for
which your operator's credential is needed. The command asks for the cluster's name first, unless it is given --yes.`,
		Example: `  hanse cluster leave --kubeconfig eu.kubeconfig --dry-run
  hanse cluster leave --kubeconfig eu.kubeconfig --remove-member --yes`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := l.out.check(); err != nil {
				return err
			}
			if l.wait <= 0 {
				return usageError("--wait %s is not a time to wait: give for example 5m", l.wait)
			}
			return clusterError(l.run(cmd, opts))
		},
	}
	f := cmd.Flags()
	l.kube.bind(cmd)
	f.StringVar(&l.name, "name", "", "name of the cluster in the federation (default: what its agent was told)")
	f.BoolVar(&l.removeMember, "remove-member", false, "end the cluster's membership in the federation, too")
	f.BoolVarP(&l.yes, "yes", "y", false, "do not ask")
	f.BoolVar(&l.dryRun, "dry-run", false, "say what would be taken away, and change nothing")
	f.DurationVar(&l.wait, "wait", 5*time.Minute, "how long to wait for what takes its time to end")
	l.out.bind(cmd)
	return cmd
}

// left is what "hanse cluster leave" reports.
type left struct {
	Cluster string         `json:"cluster,omitempty"`
	Objects []install.Step `json:"objects"`
	// Derived counts what the agent had made, by kind.
	Derived       map[string]int `json:"derived"`
	MemberRemoved bool           `json:"memberRemoved"`
	DryRun        bool           `json:"dryRun"`
	Notes         []string       `json:"notes,omitempty"`
}

func (l *clusterLeave) run(cmd *cobra.Command, opts *operatorOptions) error {
	i, err := l.kube.installer(cmd)
	if err != nil {
		return err
	}
	found, err := i.Look(cmd.Context())
	if err != nil {
		return err
	}
	removal, err := i.PlanRemoval(cmd.Context(), found)
	if err != nil {
		return err
	}
	report := left{Cluster: cmp.Or(l.name, found.Cluster), Objects: removal.Steps, Derived: removal.Derived, DryRun: l.dryRun}
	if removal.KeepsNamespace != "" {
		report.Notes = append(report.Notes, "the namespace stays: "+removal.KeepsNamespace)
	}
	if err := l.checkMember(opts, report.Cluster); err != nil {
		return err
	}
	report.announce(cmd.ErrOrStderr())
	if !l.dryRun {
		if err := l.confirm(cmd, report.Cluster); err != nil {
			return err
		}
		if err := l.carryOut(cmd.Context(), opts, i, removal, report.Cluster); err != nil {
			return err
		}
		report.MemberRemoved = l.removeMember
	}
	return l.out.print(cmd, report, report.explain)
}

// checkMember finds out what would keep the membership from being ended, before anything is done.
func (l *clusterLeave) checkMember(opts *operatorOptions, cluster string) error {
	if !l.removeMember {
		return nil
	}
	if cluster == "" {
		return usageError("the cluster's name in the federation is not known any more here: give --name for --remove-member")
	}
	_, err := opts.client()
	return err
}

func (l *clusterLeave) carryOut(ctx context.Context, opts *operatorOptions, i *install.Installer, removal install.Removal, cluster string) error {
	if err := l.takeAway(ctx, i, removal); err != nil || !l.removeMember {
		return err
	}
	return removeMember(ctx, opts, cluster)
}

func (l *clusterLeave) takeAway(ctx context.Context, i *install.Installer, removal install.Removal) error {
	ctx, cancel := context.WithTimeout(ctx, l.wait)
	defer cancel()
	if err := i.Unforward(ctx); err != nil {
		return err
	}
	return i.Remove(ctx, removal)
}

func (l *clusterLeave) confirm(cmd *cobra.Command, cluster string) error {
	if l.yes {
		return nil
	}
	warning := "Calls of other clusters' services fail in this cluster from now on, and theirs of its services."
	return confirm(cmd, warning, cmp.Or(cluster, "leave"))
}

// removeMember ends the membership. That it has ended already is no failure.
func removeMember(ctx context.Context, opts *operatorOptions, cluster string) error {
	c, err := opts.client()
	if err != nil {
		return err
	}
	found, err := findWanted([]string{model.KindCluster, cluster}, "")
	if err != nil {
		return err
	}
	d := deleteOptions{yes: true}
	if err := d.delete(ctx, c, target{found.kinds[0], cluster}); err != nil && codeOf(err) != exitNotFound {
		return fmt.Errorf("the cluster is clean, but its membership goes on: %w", err)
	}
	return nil
}

func (r left) announce(w io.Writer) {
	for _, s := range r.Objects {
		fmt.Fprintf(w, "  %s %s %s\n", s.Action, s.Kind, s.Name)
	}
	for _, kind := range slices.Sorted(maps.Keys(r.Derived)) {
		fmt.Fprintf(w, "  remove what the agent has made: %d of kind %s\n", r.Derived[kind], kind)
	}
}

func (r left) explain(w io.Writer) {
	switch {
	case len(r.Objects)+len(r.Derived) == 0:
		fmt.Fprintln(w, "Nothing of Hanse is in this cluster.")
	case r.DryRun:
		fmt.Fprintln(w, "Dry run: nothing was taken away.")
	default:
		fmt.Fprintln(w, "Hanse is out of this cluster.")
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "Note: %s.\n", note)
	}
	if !r.MemberRemoved && !r.DryRun && r.Cluster != "" {
		fmt.Fprintf(w, "The federation still has %s as a member: 'hanse leave %s' ends that.\n", r.Cluster, r.Cluster)
	}
}
