package main

import (
	"fmt"
	"io"
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
		newTokenNodeCommand(opts),
		newTokenOperatorCommand(opts),
		newTokenCertificateCommand(opts),
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
	bindTTL(cmd, &ttl)
	out.bind(cmd)
	return cmd
}

func newTokenNodeCommand(opts *operatorOptions) *cobra.Command {
	var out output
	var ttl time.Duration
	cmd := &cobra.Command{
		Use: "node", Short: "Make a token that adds one federation node", Args: noArgs, Example: "  hanse token create node",
		RunE: func(cmd *cobra.Command, _ []string) error {
			req := rest.NewToken{Kind: model.TokenNode, TTL: ttl.String()}
			return createToken(cmd, opts, out, req, "hanse server --name NAME --region REGION --join TOKEN")
		},
	}
	bindTTL(cmd, &ttl)
	out.bind(cmd)
	return cmd
}

func newTokenOperatorCommand(opts *operatorOptions) *cobra.Command {
	var req rest.NewToken
	var out output
	var role string
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "operator",
		Short: "Make a token for another operator",
		Long: `The role bounds what its holder may do: a viewer reads, an operator writes documents, an admin does everything. --namespace limits a
viewer or operator to documents about some namespaces. The label stands in the audit log in place of the token's id.

When no admin's token is left, make one where the leader runs, over its own socket, which needs none:
  hanse --socket /var/lib/hanse/server/admin.sock token create operator --role admin`,
		Example: `  hanse token create operator --label alice
  hanse token create operator --role operator --namespace shop --label shop-ci --ttl 720h`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			req.Kind, req.Role, req.TTL = model.TokenOperator, model.Role(role), ttl.String()
			return createToken(cmd, opts, out, req, "HANSE_OPERATOR_TOKEN=TOKEN hanse status")
		},
	}
	f := cmd.Flags()
	f.StringVar(&role, "role", string(model.RoleAdmin), "what the holder may do: viewer, operator or admin")
	f.StringSliceVar(&req.Namespaces, "namespace", nil, "namespaces that the role is limited to (default all)")
	f.StringVar(&req.Label, "label", "", "for whom the token is")
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]cobra.Completion{"viewer", "operator", "admin"}, cobra.ShellCompDirectiveNoFileComp))
	bindTTL(cmd, &ttl)
	out.bind(cmd)
	return cmd
}

func bindTTL(cmd *cobra.Command, ttl *time.Duration) {
	cmd.Flags().DurationVar(ttl, "ttl", time.Hour, "life of the token, at most 720h")
}

func createToken(cmd *cobra.Command, opts *operatorOptions, out output, req rest.NewToken, use string) error {
	// The text is shown once: the form in which that is to be must be good before the token is made.
	if err := out.checkShownOnce(); err != nil {
		return err
	}
	c, err := opts.client()
	if err != nil {
		return err
	}
	var made rest.CreatedToken
	contentType, body, err := asJSON(req)
	if err != nil {
		return err
	}
	if err := into(&made)(c.api().CreateTokenWithBody(cmd.Context(), nil, contentType, body)); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s token %s, valid until %s; it is shown only now\nuse it with: %s\n",
		made.Kind, made.ID, made.ExpiresAt.Format(time.RFC3339), use)
	return out.print(cmd, made, func(w io.Writer) { fmt.Fprintln(w, made.Text) })
}

func newTokenListCommand(opts *operatorOptions) *cobra.Command {
	return listCommand(opts, "tokens", "List the federation's tokens, without their secrets", "  hanse token list\n  hanse token list -o wide")
}

func newTokenRevokeCommand(opts *operatorOptions) *cobra.Command {
	cmd := deleteOne(opts, &deleteOptions{}, model.KindToken)
	cmd.Use, cmd.Short, cmd.Example = "revoke ID", "End a token now", "  hanse token revoke 7c9e…"
	return cmd
}
