package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// The output formats. A table is for people, the others are for programs and stay as they are.
const (
	formatTable = "table"
	formatWide  = "wide"
	formatJSON  = "json"
	formatYAML  = "yaml"
	formatName  = "name"
)

func formats() []string { return []string{formatTable, formatWide, formatJSON, formatYAML, formatName} }

// output prints results in the format that the operator asked for.
type output struct{ format string }

func (o *output) bind(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.format, "output", "o", formatTable, "output format: table, wide, json, yaml or name")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats(), cobra.ShellCompDirectiveNoFileComp))
}

// check refuses an unknown format; commands that do something call it before they do it.
func (o *output) check() error {
	if slices.Contains(formats(), o.format) {
		return nil
	}
	return usageError("--output %q is not one of %s", o.format, strings.Join(formats(), ", "))
}

// checkShownOnce is check for what is shown once: a form without it would lose it.
func (o *output) checkShownOnce() error {
	if o.format == formatName {
		return usageError("--output name would not show the token, which is shown only once: use table, json or yaml")
	}
	return o.check()
}

func (o *output) wide() bool { return o.format == formatWide }

// forPeople reports whether a person reads: only then a command says more than its result.
func (o *output) forPeople() bool { return o.format == formatTable || o.format == formatWide }

// print writes a value that has no name of its own.
func (o *output) print(cmd *cobra.Command, value any, table func(w io.Writer)) error {
	return o.write(cmd, value, nil, table)
}

// printNamed writes a value with names, which -o name shows, one per line.
func (o *output) printNamed(cmd *cobra.Command, value any, names []string, table func(w io.Writer)) error {
	return o.write(cmd, value, &names, table)
}

func (o *output) write(cmd *cobra.Command, value any, names *[]string, table func(w io.Writer)) error {
	if err := o.check(); err != nil {
		return err
	}
	to := cmd.OutOrStdout()
	switch o.format {
	case formatJSON:
		return printJSON(to, value)
	case formatYAML:
		return printYAML(to, value)
	case formatName:
		if names == nil {
			return usageError("--output name: what %s shows has no names; use one of %s", cmd.CommandPath(), strings.Join(formats()[:4], ", "))
		}
		return printLines(to, *names)
	default:
		w := newTableWriter(to)
		table(w)
		return w.Flush()
	}
}

func printJSON(to io.Writer, value any) error {
	enc := json.NewEncoder(to)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(value)
}

func printYAML(to io.Writer, value any) error {
	text, err := yaml.Marshal(value)
	if err != nil {
		return err
	}
	_, err = to.Write(text)
	return err
}

func printLines(to io.Writer, lines []string) error {
	for _, l := range lines {
		if _, err := fmt.Fprintln(to, l); err != nil {
			return err
		}
	}
	return nil
}

// row writes a table's row. A cell holds neither tabs nor ends of lines, whatever a name from outside holds.
func row(w io.Writer, cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = strings.Map(printable, fmt.Sprint(c))
		if texts[i] == "" {
			texts[i] = "-"
		}
	}
	fmt.Fprintln(w, strings.Join(texts, "\t"))
}

// printable keeps a terminal from obeying what stands in a reason or a name.
func printable(r rune) rune {
	if r < ' ' || r >= 0x7f && r < 0xa0 {
		return ' '
	}
	return r
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// shortDuration prints a duration the way people say it.
func shortDuration(d time.Duration) string {
	switch {
	case d < 0:
		return "-"
	case d < time.Minute:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%.0fm", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0fh", d.Hours())
	default:
		return fmt.Sprintf("%.0fd", d.Hours()/24)
	}
}
