package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hanse-mesh/hanse/federation/diagnose"
)

// The marks of findings. They tell without colour.
var severityMarks = map[diagnose.Severity]string{diagnose.Error: "✗", diagnose.Warning: "!", diagnose.Info: "·"}

// printCheck shows the findings by group, the groups in their order.
func printCheck(w io.Writer, result checkResult, r diagnose.Report, o checkOptions) {
	fmt.Fprintf(w, "federation %s: %d nodes, %d clusters, %d services\n\n", result.Federation,
		len(r.Nodes.Value()), len(r.Clusters.Value()), len(r.Services.Value()))
	for _, g := range diagnose.Groups() {
		findings := slices.DeleteFunc(slices.Clone(result.Findings), func(f diagnose.Finding) bool { return f.Group != g })
		if len(findings) > 0 || o.covers(g) {
			printGroup(w, g, findings, r, o)
		}
	}
	fmt.Fprintf(w, "\n%s\n", countText(result))
}

// covers reports whether nothing found in a group says that nothing is wrong there. What is shown of one cluster says nothing of the nodes
// and policies, which are everybody's.
func (o checkOptions) covers(g diagnose.Group) bool {
	if g == diagnose.Unseen || o.cluster != "" && (g == diagnose.Nodes || g == diagnose.Policies) {
		return false
	}
	return len(o.only) == 0 || slices.ContainsFunc(diagnose.Codes(g), func(c diagnose.Code) bool { return slices.Contains(o.only, string(c)) })
}

func printGroup(w io.Writer, g diagnose.Group, findings []diagnose.Finding, r diagnose.Report, o checkOptions) {
	switch {
	case len(findings) == 0 && blind(g, r):
		fmt.Fprintf(w, "? %s\n", g)
		return
	case len(findings) == 0 && o.cluster != "":
		fmt.Fprintf(w, "✓ %s of %s\n", g, o.cluster)
		return
	case len(findings) == 0:
		fmt.Fprintf(w, "✓ %s%s\n", g, looked(g, r))
		return
	}
	// They are sorted: the first is the worst.
	fmt.Fprintf(w, "%s %s\n", markOf(findings[0]), g)
	for _, f := range findings {
		fmt.Fprintf(w, "    %s %s  [%s]\n", markOf(f), oneLine(f.Subject), f.Code)
		fmt.Fprintf(w, "      %s\n", oneLine(f.Message))
		for _, e := range f.Evidence {
			if !strings.HasSuffix(f.Message, e) {
				fmt.Fprintf(w, "      - %s\n", oneLine(e))
			}
		}
		fmt.Fprintf(w, "      to do: %s\n", f.Remedy)
	}
}

func markOf(f diagnose.Finding) string {
	if f.Group == diagnose.Unseen {
		return "?"
	}
	return severityMarks[f.Severity]
}

// blind reports whether what a group needs could not be had, wholly or in part: nothing found then means nothing.
func blind(g diagnose.Group, r diagnose.Report) bool {
	switch g {
	case diagnose.Nodes:
		return !r.Nodes.Had()
	case diagnose.Clocks, diagnose.Versions, diagnose.Certificates:
		return !r.Nodes.Had() || !r.Clusters.Had() || g == diagnose.Certificates && !r.Tokens.Had()
	case diagnose.Feeds, diagnose.Proxies:
		return !r.Clusters.Had()
	case diagnose.Gateways:
		return !r.Clusters.Had() || !r.Services.Had() || !r.Verdicts.Had()
	case diagnose.Services:
		return !r.Clusters.Had() || !r.Services.Had()
	default:
		return !r.Clusters.Had() || !r.Failover.Had() || !r.Exports.Had() || !r.Imports.Had()
	}
}

// looked says at how much a group without findings has looked.
func looked(g diagnose.Group, r diagnose.Report) string {
	switch g {
	case diagnose.Nodes:
		return fmt.Sprintf(": %d alive", len(r.Nodes.Value()))
	case diagnose.Feeds:
		return fmt.Sprintf(": %d clusters publish", len(r.Clusters.Value()))
	case diagnose.Proxies:
		n := 0
		for _, c := range r.Clusters.Value() {
			if c.Status != nil {
				n += len(c.Status.Proxies)
			}
		}
		return fmt.Sprintf(": %d connected and ready", n)
	case diagnose.Gateways:
		return ": " + reachedText(r)
	case diagnose.Policies:
		return fmt.Sprintf(": %d", len(r.Failover.Value())+len(r.Exports.Value())+len(r.Imports.Value()))
	default:
		return ""
	}
}

// reachedText says who reaches whom.
func reachedText(r diagnose.Report) string {
	var pairs []string
	for _, p := range diagnose.Paths(r) {
		pairs = append(pairs, fmt.Sprintf("%s→%s", p.From, p.To))
	}
	slices.Sort(pairs)
	pairs = slices.Compact(pairs)
	const few = 8
	if len(pairs) > few {
		return fmt.Sprintf("%d pairs of clusters reach each other", len(pairs))
	}
	if len(pairs) == 0 {
		return "no cluster calls another"
	}
	return strings.Join(pairs, ", ")
}

// oneLine keeps a text from outside from looking like another finding, or ruling the terminal.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
}

func countText(r checkResult) string {
	unseen := 0
	for _, f := range r.Findings {
		if f.Group == diagnose.Unseen {
			unseen++
		}
	}
	var parts []string
	if r.Errors > 0 {
		parts = append(parts, count(r.Errors, "error"))
	}
	if n := r.Warnings - unseen; n > 0 {
		parts = append(parts, count(n, "warning"))
	}
	text := strings.Join(parts, ", ")
	if text == "" {
		text = "no faults found"
	}
	if unseen > 0 {
		text += fmt.Sprintf("; %d could not be looked at", unseen)
	}
	return text
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
