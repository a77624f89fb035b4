package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/diagnose"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// checkOptions say what of a check is shown.
type checkOptions struct {
	only    []string
	cluster string
}

// checkResult is what a check found.
type checkResult struct {
	Federation string    `json:"federation"`
	At         time.Time `json:"at"`
	Errors     int       `json:"errors"`
	Warnings   int       `json:"warnings"`
	// Findings are the faults, worst first.
	Findings []diagnose.Finding `json:"findings"`
	// Reachability is who reaches whose gateways.
	Reachability []diagnose.Path `json:"reachability"`
}

func newCheckCommand(opts *operatorOptions) *cobra.Command {
	var out output
	var o checkOptions
	cmd := &cobra.Command{
		Use: "check", Short: "Look at the whole federation for faults, and say what to do", Args: noArgs,
		Long: checkHelp(),
		Example: "  hanse check\n  hanse check --cluster eu\n  hanse check --only nack --only clock-skew\n" +
			"  hanse check -o json",
		RunE: func(cmd *cobra.Command, _ []string) error { return runCheck(cmd, opts, out, o) },
	}
	cmd.Flags().StringSliceVar(&o.only, "only", nil, "show findings of these codes only; what could not be looked at is shown nevertheless")
	cmd.Flags().StringVar(&o.cluster, "cluster", "", "show what concerns this cluster only, and ask no other cluster's agent")
	out.bind(cmd)
	return cmd
}

func checkHelp() string {
	var b strings.Builder
	b.WriteString(`Asks a federation node for members, services, policies and verdicts, then every node itself for its clock, version, certificate and
what it holds of each cluster, then every cluster's agent for its clock, its certificates and how far it reaches the others' gateways.
Shows each fault with its code, what it is about, and what to do. What could not be looked at is said, marked "?".

  ✓ no fault   ✗ error: fails calls or changes now   ! warning: costs redundancy or will become an error   · worth knowing

The command ends with 0 when there is no error, with 7 when there is one. The codes, which stay as they are:
`)
	for _, g := range diagnose.Groups() {
		codes := diagnose.Codes(g)
		texts := make([]string, len(codes))
		for i, c := range codes {
			texts[i] = string(c)
		}
		fmt.Fprintf(&b, "\n  %-13s %s", g, strings.Join(texts, ", "))
	}
	return b.String()
}

func runCheck(cmd *cobra.Command, opts *operatorOptions, out output, o checkOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	c, err := opts.client()
	if err != nil {
		return err
	}
	g := &gatherer{api: checkAPI{c, clock.Real{}}, clock: clock.Real{}, say: sayLate(cmd.ErrOrStderr(), clock.Real{}), only: model.ClusterName(o.cluster)}
	got, err := g.gather(cmd.Context())
	if err != nil {
		return err
	}
	if err := o.member(got.report); err != nil {
		return err
	}
	result := o.judge(got)
	if err := out.print(cmd, result, func(w io.Writer) { printCheck(w, result, got.report, o) }); err != nil {
		return err
	}
	if result.Errors > 0 {
		return quietError{codedError{exitDifferences, errors.New(countText(result))}}
	}
	return nil
}

// sayLate tells of progress once two seconds have passed: what is quick needs no words.
func sayLate(to io.Writer, c clock.Clock) func(format string, args ...any) {
	start := c.Now()
	return func(format string, args ...any) {
		if c.Now().Sub(start) >= 2*time.Second {
			fmt.Fprintf(to, format+" …\n", args...)
		}
	}
}

// validate refuses codes that do not exist: a script that mistypes one must not take silence for health.
func (o checkOptions) validate() error {
	var all []string
	for _, g := range diagnose.Groups() {
		for _, c := range diagnose.Codes(g) {
			all = append(all, string(c))
		}
	}
	for _, code := range o.only {
		switch near, ok := policy.Nearest(code, all); {
		case slices.Contains(all, code):
		case ok:
			return usageError("--only %.40q is not a code: did you mean %q?", code, near)
		default:
			return usageError("--only %.40q is not a code: see 'hanse check --help'", code)
		}
	}
	return nil
}

// member refuses a cluster that there is not.
func (o checkOptions) member(r diagnose.Report) error {
	if o.cluster == "" || !r.Clusters.Had() {
		return nil
	}
	var all []string
	for _, c := range r.Clusters.Value() {
		if string(c.Name) == o.cluster {
			return nil
		}
		all = append(all, string(c.Name))
	}
	return usageError("--cluster %.63q is not a member: give one of %s", o.cluster, strings.Join(all, ", "))
}

// judge diagnoses and leaves what is asked for.
func (o checkOptions) judge(got gathered) checkResult {
	result := checkResult{Federation: got.federation, At: got.report.At.UTC(), Findings: []diagnose.Finding{}, Reachability: []diagnose.Path{}}
	for _, f := range diagnose.Diagnose(got.report) {
		if !o.shows(f) {
			continue
		}
		result.Findings = append(result.Findings, f)
		switch f.Severity {
		case diagnose.Error:
			result.Errors++
		case diagnose.Warning:
			result.Warnings++
		}
	}
	for _, p := range diagnose.Paths(got.report) {
		if o.cluster == "" || string(p.From) == o.cluster || string(p.To) == o.cluster {
			result.Reachability = append(result.Reachability, p)
		}
	}
	return result
}

// shows reports whether a finding is asked for. What could not be looked at hides any fault, so it is left out only when it is another
// cluster's.
func (o checkOptions) shows(f diagnose.Finding) bool {
	unseen := f.Group == diagnose.Unseen
	if o.cluster != "" && !slices.Contains(f.Clusters, model.ClusterName(o.cluster)) && (!unseen || len(f.Clusters) > 0) {
		return false
	}
	return unseen || len(o.only) == 0 || slices.Contains(o.only, string(f.Code))
}
