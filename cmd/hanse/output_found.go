package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// found is what was read of one kind.
type found struct {
	kind
	items []json.RawMessage
}

// printFound shows objects: one as itself, several as a list, in YAML as documents.
func (o *output) printFound(cmd *cobra.Command, all []found, one bool) error {
	to := cmd.OutOrStdout()
	items := []json.RawMessage{}
	for _, f := range all {
		items = append(items, f.items...)
	}
	switch {
	case o.format == formatJSON && one && len(items) == 1:
		return printJSON(to, items[0])
	case o.format == formatJSON:
		return printJSON(to, page{Items: items})
	case o.format == formatYAML:
		return printDocuments(to, items)
	case o.format == formatName:
		return printNames(to, all)
	}
	w := newTableWriter(to)
	shown := slices.DeleteFunc(slices.Clone(all), func(f found) bool { return len(f.items) == 0 })
	for i, f := range shown {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := o.table(w, f, len(all) > 1); err != nil {
			return err
		}
	}
	if len(items) == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), nothingText(all))
	}
	return w.Flush()
}

// table writes one kind's table; several kinds are told apart by a first column.
func (o *output) table(w io.Writer, f found, several bool) error {
	var title, name []any
	if several {
		title, name = []any{"KIND"}, []any{f.name}
	}
	f.view.head(w, o.wide(), title...)
	for _, raw := range f.items {
		if err := f.view.object(w, o.wide(), raw, name...); err != nil {
			return err
		}
	}
	return nil
}

// printDocuments writes objects as a stream of YAML documents.
func printDocuments(to io.Writer, items []json.RawMessage) error {
	for i, raw := range items {
		text, err := yaml.JSONToYAML(raw)
		if err != nil {
			return err
		}
		if i > 0 {
			text = append([]byte("---\n"), text...)
		}
		if _, err := to.Write(text); err != nil {
			return err
		}
	}
	return nil
}

// printNames writes KIND/NAME of each object, which "get", "describe" and "delete" take.
func printNames(to io.Writer, all []found) error {
	for _, f := range all {
		for _, raw := range f.items {
			name, err := f.view.name(raw)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(to, "%s/%s\n", f.singular(), name); err != nil {
				return err
			}
		}
	}
	return nil
}

// nothingText is what is said where there is nothing to show.
func nothingText(all []found) string {
	switch {
	case len(all) != 1:
		return "there are no " + allPolicies
	case all[0].none != "":
		return all[0].none
	default:
		return "there are no " + all[0].plural
	}
}
