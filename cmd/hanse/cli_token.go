package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/rest"
)

func newTokenCommand(opts *operatorOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Tokens that let clusters, nodes, operators and workloads in",
		Long: `A token is a short-lived secret that is worth one thing: joining under one cluster name, adding one federation node, operating the
federation, or enrolling workloads of one service account at one site. It is kept hashed and shown once. A join token belongs to the
first key that uses it: the same agent may repeat the join, nobody else can.`,
	}
	cmd.AddCommand(newTokenCreateCommand(opts), newTokenListCommand(opts), newTokenRevokeCommand(opts))
	return cmd
}

func newTokenCreateCommand(opts *operatorOptions) *cobra.Command {
	cmd := &cobra.Command{Use: "create", Short: "Make a token"}
	cmd.AddCommand(
		newTokenClusterCommand(opts),
		newTokenPlainCommand(opts, model.TokenNode, "Make a token that adds one federation node", "hanse server --name NAME --region REGION --join TOKEN"),
		newTokenPlainCommand(opts, model.TokenOperator, "Make a token for another operator", "HANSE_OPERATOR_TOKEN=TOKEN hanse status"),
		newTokenWorkloadCommand(),
	)
	return cmd
}

func newTokenClusterCommand(opts *operatorOptions) *cobra.Command {
	var req rest.NewToken
	var out output
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "cluster [NAME]",
		Short: "Make a join token for a cluster or site",
		Example: `  hanse token create cluster eu --export shop,bank
  hanse token create cluster --prefix edge- --export '*' --ttl 24h`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError("%s takes one name, but got %q", cmd.CommandPath(), args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (req.ClusterPrefix != "") {
				return usageError("%s needs either the cluster's NAME or --prefix", cmd.CommandPath())
			}
			name := req.ClusterPrefix + "NAME"
			if len(args) == 1 {
				req.Cluster, name = args[0], args[0]
			}
			req.Kind, req.TTL = model.TokenCluster, ttl.String()
			return createToken(cmd, opts, out, req, "hanse agent --cluster "+name+" --region REGION --token TOKEN")
		},
	}
	f := cmd.Flags()
	f.StringVar(&req.ClusterPrefix, "prefix", "", "instead of one name, allow every cluster name that begins so")
	f.StringSliceVar(&req.ExportNamespaces, "export", nil, "namespaces that the cluster may export; '*' is all (default none)")
	f.DurationVar(&ttl, "ttl", time.Hour, "life of the token, at most 720h")
	out.bind(cmd)
	return cmd
}

func newTokenPlainCommand(opts *operatorOptions, kind model.TokenKind, short, use string) *cobra.Command {
	var out output
	var ttl time.Duration
	cmd := &cobra.Command{
		Use: string(kind), Short: short, Args: noArgs, Example: "  hanse token create " + string(kind),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return createToken(cmd, opts, out, rest.NewToken{Kind: kind, TTL: ttl.String()}, use)
		},
	}
	cmd.Flags().DurationVar(&ttl, "ttl", time.Hour, "life of the token, at most 720h")
	out.bind(cmd)
	return cmd
}

func createToken(cmd *cobra.Command, opts *operatorOptions, out output, req rest.NewToken, use string) error {
	c, err := opts.client()
	if err != nil {
		return err
	}
	var made rest.CreatedToken
	if err := c.do(cmd.Context(), http.MethodPost, "/v1/tokens", req, &made); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s token %s, valid until %s; it is shown only now\nuse it with: %s\n",
		made.Kind, made.ID, made.ExpiresAt.Format(time.RFC3339), use)
	return out.print(cmd, made, func(w io.Writer) { fmt.Fprintln(w, made.Text) })
}

// workloadTokenRequest is what the agent's admin socket takes.
type workloadTokenRequest struct {
	Namespace      string   `json:"namespace"`
	ServiceAccount string   `json:"serviceAccount"`
	Services       []string `json:"services"`
	Gateway        bool     `json:"gateway"`
	Uses           int      `json:"uses"`
	TTL            string   `json:"ttl"`
}

type workloadTokenAnswer struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

func newTokenWorkloadCommand() *cobra.Command {
	var req workloadTokenRequest
	var out output
	var agentDir string
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "workload",
		Short: "Make a token for workloads or gateways of a VM site (run it where the site's agent runs)",
		Long: `Workload tokens are made by the site's own agent, through its admin socket, also while the federation is away. The token decides
the namespace, the service account and the services that its holder may register.`,
		Example: `  hanse token create workload --namespace shop --service-account cart --service cart
  hanse token create workload --gateway`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			req.TTL = ttl.String()
			var made workloadTokenAnswer
			if err := callAdmin(cmd.Context(), "agent", agentDir, http.MethodPost, "/v1/workload-tokens", req, &made); err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "workload token %s, valid for %s and %d use(s); it is shown only now\nuse it with: hanse proxy --token TOKEN\n", made.ID, ttl, req.Uses)
			return out.print(cmd, made, func(w io.Writer) { fmt.Fprintln(w, made.Text) })
		},
	}
	f := cmd.Flags()
	bindAgentDir(cmd, &agentDir)
	f.StringVar(&req.Namespace, "namespace", "", "namespace of the workload")
	f.StringVar(&req.ServiceAccount, "service-account", "", "service account: the workload's identity in its namespace")
	f.StringSliceVar(&req.Services, "service", nil, "services that the holder may register ('*' is any of the namespace; none makes a caller only)")
	f.BoolVar(&req.Gateway, "gateway", false, "the token is for an east-west gateway")
	f.IntVar(&req.Uses, "uses", 1, "how many workloads may enrol with it")
	f.DurationVar(&ttl, "ttl", time.Hour, "life of the token")
	out.bind(cmd)
	return cmd
}

func newTokenListCommand(opts *operatorOptions) *cobra.Command {
	return readCommand(opts, "list", "List the federation's tokens", "  hanse token list", "/v1/tokens", func(w io.Writer, l rest.List[model.Token]) {
		row(w, "ID", "KIND", "FOR", "EXPORTS", "EXPIRES", "USED BY", "REVOKED")
		for _, t := range l.Items {
			scope := t.Cluster
			if t.ClusterPrefix != "" {
				scope = t.ClusterPrefix + "*"
			}
			expires := "never"
			if !t.ExpiresAt.IsZero() {
				expires = t.ExpiresAt.Format(time.RFC3339)
			}
			row(w, t.ID, t.Kind, scope, strings.Join(t.ExportNamespaces, ","), expires, t.BoundName, yesNo(t.Revoked))
		}
	})
}

func newTokenRevokeCommand(opts *operatorOptions) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "End a token now", Example: "  hanse token revoke 7c9e…", Args: oneArg("the token's id, see 'hanse token list'"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return deleteAndSay(cmd, opts, "/v1/tokens/"+args[0], "token "+args[0]+" revoked")
		},
	}
}
