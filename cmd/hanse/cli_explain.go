package main

import (
	"io"
	"net/http"
	"net/url"
	"strings"

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
