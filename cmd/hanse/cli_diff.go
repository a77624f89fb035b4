package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

func newDiffCommand(opts *operatorOptions) *cobra.Command {
	var a applyOptions
	cmd := &cobra.Command{
		Use:   "diff -f FILE",
		Short: "Show what 'apply' would change",
		Long: `Has the federation check the documents as 'hanse apply' does, writes nothing, and shows the difference between what stands there and
what would. The exit code is 0 when nothing would change and 7 when something would.`,
		Example: `  hanse diff -f policies.yaml
  hanse diff -f policies/ --set shop --prune`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			answer, err := a.send(cmd, opts, true)
			if err != nil {
				return err
			}
			answer.warn(cmd.ErrOrStderr())
			answer = answer.changes()
			if err := a.out.printNamed(cmd, answer, answer.names(), answer.diffs); err != nil {
				return err
			}
			if n := len(answer.Results); n > 0 {
				return quietError{codedError{exitDifferences, fmt.Errorf("%d documents differ", n)}}
			}
			return nil
		},
	}
	a.files.bind(cmd)
	a.out.bind(cmd)
	a.bindSet(cmd)
	return cmd
}

// quietError ends a command with an exit code; what there is to say has been said.
type quietError struct{ error }

// Unwrap returns the error with its code.
func (e quietError) Unwrap() error { return e.error }

// quiet reports whether an error has been told already.
func quiet(err error) bool {
	var q quietError
	return errors.As(err, &q)
}

// changes leaves out what stays.
func (a applied) changes() applied {
	all := a.Results
	a.Results = []appliedResult{}
	for _, r := range all {
		if r.Action != actionUnchanged {
			a.Results = append(a.Results, r)
		}
	}
	return a
}

func (a applied) diffs(w io.Writer) {
	for _, r := range a.Results {
		r.diff(w)
	}
}

// diff writes what changes in a document.
func (r appliedResult) diff(w io.Writer) {
	paint := paletteOf(w)
	fmt.Fprintln(w, paint.bold(fmt.Sprintf("--- %s as it stands", r.ref())))
	fmt.Fprintln(w, paint.bold(fmt.Sprintf("+++ %s %s", r.ref(), r.Action)))
	for _, line := range diffLines(yamlLines(r.Before), yamlLines(r.After)) {
		switch {
		case strings.HasPrefix(line, "+"):
			line = paint.green(line)
		case strings.HasPrefix(line, "-"):
			line = paint.red(line)
		}
		fmt.Fprintln(w, line)
	}
}

// yamlLines is a document as lines; none is no lines.
func yamlLines(raw []byte) []string {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	text, err := yaml.JSONToYAML(raw)
	if err != nil {
		return []string{string(raw)}
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}
