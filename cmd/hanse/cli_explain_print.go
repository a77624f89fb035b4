package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/gateway/explain"
)

func printExplanation(w io.Writer, e explain.Explanation) {
	client := string(e.Cluster)
	if e.Proxy != "" {
		client += "/" + e.Proxy
	}
	port := ""
	if e.Port != nil {
		port = fmt.Sprintf(" port %d/%s", e.Port.Number, e.Port.Protocol)
	}
	fmt.Fprintf(w, "%s (%s) calls %s%s: state index %d\n", client, e.Locality, e.Host, port, e.Index)
	fmt.Fprintln(w, strings.Map(printable, e.Summary))
	for _, l := range e.Elsewhere {
		fmt.Fprintf(w, "callers in %s go elsewhere: %s\n", l.Locality, explain.SharesText(l.Shares))
	}
	section(w, "PROBLEMS", e.Problems)
	printPermissions(w, e.Permissions)
	section(w, "POLICY", []string{e.Policy.Reason})
	printPriorities(w, e)
	section(w, "WHAT IF", whatIfLines(e.WhatIf))
	if e.InForce != nil {
		section(w, "IN FORCE", inForceLines(e))
	}
}

// whatIfLines put first what would change something.
func whatIfLines(list []explain.WhatIf) []string {
	var out, same []string
	for _, i := range list {
		if i.Differs {
			out = append(out, i.Text)
		} else {
			same = append(same, "  - "+i.Change)
		}
	}
	if len(same) > 0 {
		out = append(append(out, "nothing would change for these callers if"), same...)
	}
	return out
}

// section prints a heading and its lines; nothing when there are none. What others say does not reach the terminal as it is.
func section(w io.Writer, name string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", name)
	for _, l := range lines {
		fmt.Fprintf(w, "  %s\n", strings.Map(printable, l))
	}
}

func printPermissions(w io.Writer, list []explain.Permission) {
	var lines []string
	for _, p := range list {
		switch {
		case p.Reason != "":
			lines = append(lines, fmt.Sprintf("%s: no: %s", p.Cluster, p.Reason))
			continue
		case len(p.Rules) > 0:
			by := "ExportRule " + strings.Join(p.Rules, ", ")
			if len(p.ImportRules) > 0 {
				by += " and ImportRule " + strings.Join(p.ImportRules, ", ")
			}
			lines = append(lines, fmt.Sprintf("%s: yes, by %s", p.Cluster, by))
		default:
			lines = append(lines, fmt.Sprintf("%s: yes, it is the callers' own cluster", p.Cluster))
		}
		lines = append(lines, "  lets in callers of "+strings.Join(p.Callers, ", "), "  its servers are "+strings.Join(p.Identities, ", "))
	}
	section(w, "PERMISSION", lines)
}

func printPriorities(w io.Writer, e explain.Explanation) {
	var lines []string
	for i, p := range e.Priorities {
		lines = append(lines, fmt.Sprintf("priority %d: %s", i, p.Role))
		for _, g := range p.Groups {
			lines = append(lines, fmt.Sprintf("  %s (%s): weight %d, %s of the calls", g.Cluster, g.Locality, g.Weight, explain.PercentText(g.SharePercent)))
			for _, f := range g.Facts {
				lines = append(lines, "    - "+f)
			}
			for _, x := range g.Endpoints {
				lines = append(lines, fmt.Sprintf("    %s: %s", x.Address, explain.PercentText(x.SharePercent)))
				for _, f := range x.Facts {
					lines = append(lines, "      - "+f)
				}
			}
		}
	}
	section(w, "ENDPOINTS", lines)
	lines = nil
	for _, l := range e.LeftOut {
		lines = append(lines, fmt.Sprintf("%s (%s): %s", l.Cluster, l.Locality, l.Reason))
	}
	section(w, "LEFT OUT", lines)
}

func inForceLines(e explain.Explanation) []string {
	f := e.InForce
	var out []string
	switch {
	case !f.Connected:
		out = append(out, "the proxy is not connected to its agent")
	case f.Acknowledged >= f.Derived && f.Newest && len(f.Nacks) == 0:
		out = append(out, fmt.Sprintf("yes: the proxy's Envoy has acknowledged everything up to index %d", f.Acknowledged))
	default:
		out = append(out, fmt.Sprintf("not all: the proxy's Envoy has acknowledged everything up to index %d of %d, and not the newest configuration", f.Acknowledged, f.Derived))
		if f.Reason != "" {
			out = append(out, f.Reason)
		}
	}
	for _, n := range f.Nacks {
		out = append(out, fmt.Sprintf("refused since %s: %s: %s", n.At.UTC().Format(time.RFC3339), n.TypeURL, n.Reason))
	}
	if f.CertificateExpiresAt != nil {
		out = append(out, "its certificate ends at "+f.CertificateExpiresAt.Format(time.RFC3339))
	}
	return out
}
