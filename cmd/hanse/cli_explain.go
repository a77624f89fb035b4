package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/gateway/explain"
)

// explainLong teaches how an explanation reads; both commands that give one share it.
const explainLong = `
The answer begins with where calls go now and, if something stands in the way, what to do about it. PERMISSION says which ExportRule opens
the service, whom its servers let in and which identities they may present. ENDPOINTS are what the proxy's Envoy is given: calls go to the
first priority by the groups' weights; each further one waits until those before it are dead. Under each stand the facts that led there:
readiness, the site's own probes, what other sites find, drains, the policy's order, capacity that fails back in steps. WHAT IF is decided by
the same code with one fact changed. IN FORCE says whether the proxy's Envoy has acknowledged all that.`

func newExplainCommand(opts *operatorOptions) *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:   "explain CLUSTER[/PROXY] NAMESPACE/NAME[:PORT]",
		Short: "Explain why a client's calls of a service go where they go, and what would change if",
		Long: `Explains why calls of a service go where they go, as the client's own agent sees it. CLUSTER/PROXY is the calling workload's proxy;
CLUSTER alone is that cluster's callers in general. PORT is a name or a number.
` + explainLong + `

While the federation is away, ask the site's agent itself: hanse agent explain.`,
		Example: "  hanse explain eu/web-1 shop/payments\n  hanse explain eu shop/payments:http -o json",
		Args:    twoArgs("the client as CLUSTER or CLUSTER/PROXY, and the service as NAMESPACE/NAME[:PORT]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cluster, proxy, _ := strings.Cut(args[0], "/")
			query, err := explainQuery(proxy, args[1])
			if err != nil {
				return err
			}
			query.Set("cluster", cluster)
			c, err := opts.client()
			if err != nil {
				return err
			}
			var e explain.Explanation
			if err := c.do(cmd.Context(), http.MethodGet, "/v1/explain?"+query.Encode(), nil, &e); err != nil {
				return err
			}
			return out.print(cmd, e, func(w io.Writer) { printExplanation(w, e) })
		},
	}
	out.bind(cmd)
	return cmd
}

func newAgentExplainCommand() *cobra.Command {
	var out output
	var agentDir string
	cmd := &cobra.Command{
		Use:   "explain [PROXY] NAMESPACE/NAME[:PORT]",
		Short: "Explain why this site's calls of a service go where they go (run it where the agent runs)",
		Long: `Explains why calls of a service go where they go, as this site's agent sees it, also while the federation is away. PROXY is the calling
workload's proxy; without it, the site's callers in general.
` + explainLong,
		Example: "  hanse agent explain web-1 shop/payments\n  hanse agent explain shop/payments:http -o json",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 && len(args) != 2 {
				return usageError("%s needs the service as NAMESPACE/NAME[:PORT], and before it perhaps the calling proxy", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			proxy := ""
			if len(args) == 2 {
				proxy = args[0]
			}
			query, err := explainQuery(proxy, args[len(args)-1])
			if err != nil {
				return err
			}
			var e explain.Explanation
			if err := callAdmin(cmd.Context(), "agent", agentDir, http.MethodGet, "/v1/explain?"+query.Encode(), nil, &e); err != nil {
				return err
			}
			return out.print(cmd, e, func(w io.Writer) { printExplanation(w, e) })
		},
	}
	bindAgentDir(cmd, &agentDir)
	out.bind(cmd)
	return cmd
}

func twoArgs(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 2 {
			return usageError("%s needs two arguments: %s", cmd.CommandPath(), what)
		}
		return nil
	}
}

// explainQuery reads NAMESPACE/NAME[:PORT].
func explainQuery(proxy, service string) (url.Values, error) {
	name, port, _ := strings.Cut(service, ":")
	if namespace, rest, ok := strings.Cut(name, "/"); !ok || namespace == "" || rest == "" {
		return nil, usageError("service %q is not NAMESPACE/NAME[:PORT]: give for example shop/payments:http", service)
	}
	q := url.Values{"service": {name}}
	if proxy != "" {
		q.Set("proxy", proxy)
	}
	if port != "" {
		q.Set("port", port)
	}
	return q, nil
}

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
	fmt.Fprintf(w, "%s\n", e.Summary)
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

// section prints a heading and its lines; nothing when there are none.
func section(w io.Writer, name string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", name)
	for _, l := range lines {
		fmt.Fprintf(w, "  %s\n", l)
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
			lines = append(lines, fmt.Sprintf("%s: yes, by ExportRule %s", p.Cluster, strings.Join(p.Rules, ", ")))
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
	case f.Acknowledged >= f.Derived && len(f.Nacks) == 0:
		out = append(out, fmt.Sprintf("yes: the proxy's Envoy has acknowledged everything up to index %d", f.Acknowledged))
	default:
		out = append(out, fmt.Sprintf("not all: the proxy's Envoy has acknowledged everything up to index %d of %d", f.Acknowledged, f.Derived))
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
