package main

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

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
			if err := out.checkShownOnce(); err != nil {
				return err
			}
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
