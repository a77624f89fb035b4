package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/hanse-mesh/hanse/api/model"
)

// maxHistory is how many of an object's changes "describe" shows: the last ones.
const maxHistory = 10

// description is one object with its history.
type description struct {
	Object json.RawMessage `json:"object"`
	// History is absent where the operator may not read the audit log.
	History []model.AuditEntry `json:"history,omitempty"`
}

func newDescribeCommand(opts *operatorOptions) *cobra.Command {
	var g getOptions
	cmd := &cobra.Command{
		Use:   "describe KIND NAME",
		Short: "Show all of one object, and who changed it last",
		Long: `Shows what 'hanse get' has in its columns, the whole object, and, for what is in the replicated log and for whom may read the audit
log, its last changes.`,
		Example: `  hanse describe cluster eu
  hanse describe service shop/cart
  hanse describe exportrule/shop-everywhere`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 || len(args) == 1 && strings.Contains(args[0], "/") {
				return nil
			}
			return usageError("%s needs KIND NAME or KIND/NAME\nkinds are:\n  %s", cmd.CommandPath(), kindList())
		},
		ValidArgsFunction: completeObjects(opts, kinds),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := findWanted(args, g.namespace)
			if err != nil {
				return err
			}
			if err := g.out.check(); err != nil {
				return err
			}
			c, err := opts.client()
			if err != nil {
				return err
			}
			return g.describe(cmd, c, w)
		},
	}
	cmd.Flags().StringVarP(&g.namespace, "namespace", "n", "", "namespace of the service")
	g.out.bind(cmd)
	return cmd
}

func (g *getOptions) describe(cmd *cobra.Command, c *client, w wanted) error {
	k, name := w.kinds[0], w.names[0]
	items, err := g.read(cmd.Context(), c, k, w.names)
	if err != nil {
		return err
	}
	d := description{Object: items[0]}
	if k.logged || k.remove != nil {
		if d.History, err = history(cmd, c, k, name); err != nil {
			return err
		}
	}
	return g.out.printNamed(cmd, d, []string{k.singular() + "/" + name}, func(to io.Writer) { describeObject(to, k, d) })
}

// history is what the audit log has of an object, for operators who may read it.
func history(cmd *cobra.Command, c *client, k kind, name string) ([]model.AuditEntry, error) {
	log, err := findKinds("audit")
	if err != nil {
		return nil, err
	}
	items, err := c.list(cmd.Context(), log[0], url.Values{"kind": {k.name}, "name": {name}})
	var coded codedError
	if errors.As(err, &coded) && coded.code == exitDenied {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := make([]model.AuditEntry, len(items))
	for i, raw := range items {
		if err := json.Unmarshal(raw, &out[i]); err != nil {
			return nil, fmt.Errorf("the answer is not what this version expects: %w", err)
		}
	}
	slices.SortFunc(out, func(a, b model.AuditEntry) int { return int(int64(a.Index - b.Index)) })
	return out[max(0, len(out)-maxHistory):], nil
}

// describeObject writes an object for a person: its columns as lines, then all of it, then its history.
func describeObject(to io.Writer, k kind, d description) {
	paint := paletteOf(to)
	if rows, err := k.view.rows(d.Object); err == nil && len(rows) == 1 {
		for i, title := range k.view.titles {
			fmt.Fprintf(to, "%-14s %s\n", title+":", strings.Map(printable, orNone(fmt.Sprint(rows[0][i]))))
		}
		fmt.Fprintln(to)
	}
	fmt.Fprintln(to, paint.bold(k.name+":"))
	if text, err := yaml.JSONToYAML(d.Object); err == nil {
		for line := range strings.Lines(string(text)) {
			fmt.Fprintf(to, "  %s", strings.ReplaceAll(line, "\t", " "))
		}
	}
	if len(d.History) == 0 {
		return
	}
	fmt.Fprintln(to, "\n"+paint.bold("Last changes:"))
	for _, e := range d.History {
		fmt.Fprintf(to, "  %s at %s by %s (index %d)\n", auditChange(e), timeText(e.At), actorText(e.Actor), e.Index)
	}
}

// actorText is who made a change, and by what right.
func actorText(a model.Actor) string {
	if a.Credential == "" || a.Credential == a.Name {
		return actorName(a)
	}
	return actorName(a) + ", " + a.Credential
}

func actorName(a model.Actor) string { return cmp.Or(a.Name, "the federation") }
