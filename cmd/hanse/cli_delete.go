package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/api/model"
)

// deleteOptions are what "delete" takes out, and how carefully.
type deleteOptions struct {
	files         documentFiles
	out           output
	dryRun        bool
	ignoreMissing bool
	yes           bool
}

// target is one object that is to go.
type target struct {
	kind
	object string
}

func (t target) String() string { return t.singular() + "/" + t.object }

func newDeleteCommand(opts *operatorOptions) *cobra.Command {
	var d deleteOptions
	cmd := &cobra.Command{
		Use:   "delete KIND/NAME... | KIND NAME... | -f FILE",
		Short: "Delete documents, revoke tokens, end memberships",
		Long: `Deletes documents by name, or those that a file holds. A token that is deleted is revoked, a node that has stopped is forgotten. A cluster
that is deleted is no member any more: the command asks first, unless it is given --yes ('hanse leave' does the same).

Objects go one after the other; the first one that cannot be deleted ends the command. To take documents out as one, with others put in
their place, use 'hanse apply --prune'.`,
		Example: `  hanse delete exportrule/shop-everywhere
  hanse delete failoverpolicies far near --ignore-not-found
  hanse delete -f policies.yaml --dry-run`,
		ValidArgsFunction: completeObjects(opts, deletable),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := d.out.check(); err != nil {
				return err
			}
			targets, err := d.targets(cmd, args)
			if err != nil {
				return err
			}
			return d.run(cmd, opts, targets)
		},
	}
	d.files.bind(cmd)
	d.out.bind(cmd)
	f := cmd.Flags()
	f.BoolVar(&d.dryRun, "dry-run", false, "have everything checked, but nothing deleted")
	f.BoolVar(&d.ignoreMissing, "ignore-not-found", false, "succeed where there is nothing to delete")
	f.BoolVarP(&d.yes, "yes", "y", false, "do not ask before a cluster's membership ends")
	return cmd
}

// deletable are the kinds that the API lets go.
func deletable() []kind {
	var out []kind
	for _, k := range kinds() {
		if k.remove != nil {
			out = append(out, k)
		}
	}
	return out
}

// targets reads the arguments or the files, all of them before anything is deleted.
func (d *deleteOptions) targets(cmd *cobra.Command, args []string) ([]target, error) {
	if len(d.files.names) > 0 && len(args) > 0 {
		return nil, usageError("%s takes names or -f FILE, not both", cmd.CommandPath())
	}
	if len(args) == 0 {
		docs, err := d.files.read(cmd)
		var out []target
		for _, doc := range docs {
			k, _ := documentKind(string(doc.Kind))
			out = append(out, target{k, doc.Name()})
		}
		return out, err
	}
	groups := [][]string{args}
	if strings.Contains(args[0], "/") {
		groups = nil
		for _, a := range args {
			groups = append(groups, []string{a})
		}
	}
	var out []target
	for _, g := range groups {
		w, err := findWanted(g, "")
		if err != nil {
			return nil, err
		}
		if len(w.names) == 0 {
			return nil, usageError("%q names no object: write KIND/NAME, for example exportrule/shop-everywhere", g[0])
		}
		if err := mayDelete(w.kinds[0]); err != nil {
			return nil, err
		}
		for _, name := range w.names {
			out = append(out, target{w.kinds[0], name})
		}
	}
	return out, nil
}

func mayDelete(k kind) error {
	var names []string
	for _, d := range deletable() {
		if d.name == k.name {
			return nil
		}
		names = append(names, d.plural)
	}
	return usageError("%s cannot be deleted; what can are %s", k.plural, strings.Join(names, ", "))
}

// deleted is what the federation says of a deletion.
type deleted struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Action is "absent" where there was nothing to delete.
	Action string `json:"action"`
	DryRun bool   `json:"dryRun"`
}

func (d *deleteOptions) run(cmd *cobra.Command, opts *operatorOptions, targets []target) error {
	c, err := opts.client()
	if err != nil {
		return err
	}
	done := []deleted{}
	var names []string
	for _, t := range targets {
		if t.name == model.KindCluster && !d.yes && !d.dryRun {
			if err := confirm(cmd, leaveWarning(t.object), t.object); err != nil {
				return err
			}
		}
		one := deleted{t.name, t.object, t.ending, d.dryRun}
		if err := d.delete(cmd.Context(), c, t); err != nil {
			var coded codedError
			if !d.ignoreMissing || !errors.As(err, &coded) || coded.code != exitNotFound {
				return fmt.Errorf("%s: %w", t, err)
			}
			one.Action = "absent"
		}
		done, names = append(done, one), append(names, t.String())
		if d.out.forPeople() {
			fmt.Fprintln(cmd.OutOrStdout(), t.String(), one.text())
		}
	}
	if d.out.forPeople() {
		return nil
	}
	return d.out.printNamed(cmd, map[string]any{"items": done}, names, func(io.Writer) {})
}

func (d deleted) text() string {
	if d.DryRun {
		return d.Action + " (dry run: nothing is written)"
	}
	return d.Action
}

func (d *deleteOptions) delete(ctx context.Context, c *client, t target) error {
	query := url.Values{}
	if d.dryRun {
		query.Set("dryRun", "true")
	}
	resp, err := t.remove(ctx, c.api(), t.object, withQuery(query))
	if err != nil {
		return err
	}
	return decodeAnswer(resp, nil)
}
