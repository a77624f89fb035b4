package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	restapi "github.com/hanse-mesh/hanse/api/client"
	"github.com/hanse-mesh/hanse/api/policy"
)

// applied is what the federation says of a set of documents.
type applied struct {
	Index   uint64          `json:"index"`
	DryRun  bool            `json:"dryRun"`
	Results []appliedResult `json:"results"`
}

type appliedResult struct {
	Kind     string          `json:"kind"`
	Name     string          `json:"name"`
	Action   string          `json:"action"`
	Before   json.RawMessage `json:"before,omitempty"`
	After    json.RawMessage `json:"after,omitempty"`
	Warnings []string        `json:"warnings,omitempty"`
}

// actionUnchanged is what the federation says of a document that stands there already.
const actionUnchanged = "unchanged"

// applyOptions are what "apply" does beside writing.
type applyOptions struct {
	files  documentFiles
	out    output
	dryRun bool
	diff   bool
	prune  bool
	set    string
}

func newApplyCommand(opts *operatorOptions) *cobra.Command {
	var a applyOptions
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Create or change policies from YAML or JSON files",
		Long: `Reads documents (several per file, separated by ---) and has the federation take them as one: all are checked before anything is
written, by this command for their form and by the federation for the rest, and either all of them count or none.

--set NAME marks the documents as members of a set (label ` + setLabel + `). With --prune, members that are not among the documents any
more are deleted in the same step; without it they stay.

The documents look like this (kinds: ` + policy.Names(policy.Kinds()) + `):

  kind: ExportRule
  name: shop-everywhere
  spec:
    from: ["*"]
    namespaces: [shop]
    to: ["*"]
  ---
  kind: FailoverPolicy
  name: default
  spec:
    failover:
      - {from: eu, to: [us, ap]}
  ---
  kind: ImportRule                     # once one names a cluster, that takes nothing that none admits
  name: eu-takes-shop
  spec: {to: [eu], from: ["*"], namespaces: [shop]}`,
		Example: `  hanse apply -f policies.yaml
  cat policies.yaml | hanse apply -f -
  hanse apply -f policies/ --set shop --prune --dry-run --diff`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.run(cmd, opts) },
	}
	a.files.bind(cmd)
	a.out.bind(cmd)
	f := cmd.Flags()
	f.BoolVar(&a.dryRun, "dry-run", false, "have everything checked, but nothing written")
	f.BoolVar(&a.diff, "diff", false, "show what changes in each document")
	a.bindSet(cmd)
	return cmd
}

func (a *applyOptions) bindSet(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.prune, "prune", false, "delete the set's documents that are not given any more; needs --set")
	cmd.Flags().StringVar(&a.set, "set", "", "name of the set that the documents belong to")
	_ = cmd.RegisterFlagCompletionFunc("set", cobra.NoFileCompletions)
}

func (a *applyOptions) run(cmd *cobra.Command, opts *operatorOptions) error {
	answer, err := a.send(cmd, opts, a.dryRun)
	if err != nil {
		return err
	}
	answer.warn(cmd.ErrOrStderr())
	return a.out.printNamed(cmd, answer, answer.names(), func(w io.Writer) { answer.tell(w, a.diff) })
}

// send has the federation check the documents and, unless it is told not to, write them.
func (a *applyOptions) send(cmd *cobra.Command, opts *operatorOptions, dryRun bool) (applied, error) {
	if err := a.out.check(); err != nil {
		return applied{}, err
	}
	if a.prune && a.set == "" {
		return applied{}, usageError("--prune needs --set NAME: only what belongs to a set is deleted")
	}
	docs, err := a.files.read(cmd)
	if err != nil {
		return applied{}, err
	}
	texts, err := asSet(docs, a.set)
	if err != nil {
		return applied{}, err
	}
	c, err := opts.client()
	if err != nil {
		return applied{}, err
	}
	prune := ""
	if a.prune {
		prune = a.set
	}
	return c.apply(cmd.Context(), texts, prune, dryRun)
}

func (c *client) apply(ctx context.Context, docs []json.RawMessage, prune string, dryRun bool) (applied, error) {
	request := struct {
		Documents []json.RawMessage `json:"documents"`
		Prune     string            `json:"prune,omitempty"`
	}{docs, prune}
	var answer applied
	contentType, body, err := asJSON(request)
	if err != nil {
		return answer, err
	}
	return answer, into(&answer)(c.api().ApplyWithBody(ctx, &restapi.ApplyParams{DryRun: dryRun}, contentType, body))
}

func (a applied) names() []string {
	out := make([]string, len(a.Results))
	for i, r := range a.Results {
		out[i] = r.ref()
	}
	return out
}

// ref is the document's name as "get -o name" shows it.
func (r appliedResult) ref() string { return strings.ToLower(r.Kind) + "/" + r.Name }

func (a applied) warn(to io.Writer) {
	for _, r := range a.Results {
		for _, w := range r.Warnings {
			fmt.Fprintf(to, "warning: %s: %s\n", r.ref(), w)
		}
	}
}

// tell says what became of each document.
func (a applied) tell(w io.Writer, diff bool) {
	suffix := fmt.Sprintf(" (index %d)", a.Index)
	if a.DryRun {
		suffix = " (dry run: nothing is written)"
	}
	for _, r := range a.Results {
		if r.Action == actionUnchanged {
			fmt.Fprintf(w, "%s unchanged\n", r.ref())
			continue
		}
		fmt.Fprintf(w, "%s %s%s\n", r.ref(), r.Action, suffix)
		if diff {
			r.diff(w)
		}
	}
}
