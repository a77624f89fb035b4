package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/deploy/install"
	"github.com/hanse-mesh/hanse/federation/rest"
	"github.com/hanse-mesh/hanse/trust/token"
)

// clusterJoin is what "hanse cluster join" is told.
type clusterJoin struct {
	kube                kubeTarget
	name, region        string
	token               string
	export, agentServer []string
	image, proxyImage   string
	values              string
	wait                time.Duration
	keepCoreDNS, dryRun bool
	out                 output
}

func newClusterJoinCommand(opts *operatorOptions) *cobra.Command {
	var j clusterJoin
	cmd := &cobra.Command{
		Use:   "join",
		Short: "Have a Kubernetes cluster join the federation: installs agent, gateways, egress and name server",
		Long: `Installs in the namespace hanse-system of a Kubernetes cluster (1.29 or later) what Hanse needs there, and waits until the federation has
let the cluster in and everything is ready. Afterwards its services are exported by objects of kind ServiceExport, and those that other
clusters export are reached from any pod as NAME.NAMESPACE.svc.clusterset.local.

First it looks at the cluster's version, what is installed, and whether you have the rights that are needed; then it says what it will do,
and does it by server-side apply. It can be run again at any time: after an interruption, with a newer hanse, with other flags. The
definitions of the Multi-Cluster Services API are installed where they are absent or older, and never replaced by older ones. CoreDNS is
told to ask Hanse for clusterset.local, unless --keep-coredns says no.

The join token is made with your operator's credential, unless --token gives one. A cluster that is in already needs none. --values takes a
file with values of the Helm chart (deploy/helm/hanse) for everything that has no flag here. --dry-run prints the manifests.`,
		Example: `  hanse cluster join --kubeconfig eu.kubeconfig --name eu --region eu
  hanse cluster join --kubeconfig eu.kubeconfig --name eu --region eu --token - < eu.token
  hanse cluster join --kubeconfig eu.kubeconfig --name eu --region eu --token hanse-cluster-1.… --dry-run`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := j.check(cmd.InOrStdin()); err != nil {
				return err
			}
			return clusterError(j.run(cmd, opts))
		},
	}
	j.bind(cmd)
	return cmd
}

func (j *clusterJoin) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	j.kube.bind(cmd)
	f.StringVar(&j.name, "name", "", "name of the cluster in the federation")
	f.StringVar(&j.region, "region", "", "region in which the cluster stands")
	f.StringVar(&j.token, "token", "", "join token of 'hanse token create cluster', or - for standard input (default: one is made with your credential)")
	f.StringSliceVar(&j.export, "export", []string{"*"}, "namespaces that the cluster may export, for the token that is made")
	f.StringSliceVar(&j.agentServer, "agent-server", nil, "gRPC address host:port of federation nodes, as the cluster reaches them (default: as the token tells)")
	f.StringVar(&j.image, "image", "", "image of hanse (default: the one of this version)")
	f.StringVar(&j.proxyImage, "proxy-image", "", "image of hanse with an Envoy, for gateways and egress (default: the one of this version)")
	f.StringVar(&j.values, "values", "", "YAML file with values of the Helm chart; flags win over it")
	f.DurationVar(&j.wait, "wait", 5*time.Minute, "how long to wait until everything is ready; 0s does not wait")
	f.BoolVar(&j.keepCoreDNS, "keep-coredns", false, "leave CoreDNS's configuration as it is")
	f.BoolVar(&j.dryRun, "dry-run", false, "look and check, print the manifests, and change nothing")
	j.out.bind(cmd)
}

// check refuses what cannot be meant, and reads a token from standard input.
func (j *clusterJoin) check(stdin io.Reader) error {
	if err := j.out.check(); err != nil {
		return err
	}
	if err := model.ValidateLabel("--name", j.name); err != nil {
		return usageError("%w", err)
	}
	if err := model.ValidateLabel("--region", j.region); err != nil {
		return usageError("%w", err)
	}
	if j.wait < 0 {
		return usageError("--wait %s is not a time to wait: give for example 5m, or 0s", j.wait)
	}
	for _, server := range j.agentServer {
		if _, _, err := splitPort("--agent-server", server); err != nil {
			return err
		}
	}
	if j.token == "-" {
		data, err := io.ReadAll(io.LimitReader(stdin, 64<<10))
		if err != nil {
			return usageError("read token: %w", err)
		}
		j.token = strings.TrimSpace(string(data))
	}
	if j.token == "" {
		return nil
	}
	t, err := token.Parse(j.token)
	if err != nil {
		return usageError("--token: %w", err)
	}
	if t.Kind != model.TokenCluster {
		return usageError("--token is a %s token: a cluster joins with one of 'hanse token create cluster %s'", t.Kind, j.name)
	}
	return nil
}

// joined is what "hanse cluster join" reports.
type joined struct {
	Cluster    string         `json:"cluster"`
	Region     string         `json:"region"`
	Kubernetes string         `json:"kubernetes"`
	Objects    []install.Step `json:"objects"`
	// Ready is whether everything runs; false as well if that was not waited for.
	Ready bool `json:"ready"`
	// Gateways are the addresses at which other clusters reach this one.
	Gateways []string `json:"gateways"`
	// NameServer answers clusterset.local within the cluster.
	NameServer string   `json:"nameServer,omitempty"`
	Notes      []string `json:"notes,omitempty"`
}

// intended is what a join will do.
type intended struct {
	*install.Installer
	found      install.Found
	plan       install.Plan
	forwarding install.Forwarding
	// mint is whether a join token is made first.
	mint bool
}

func (j *clusterJoin) run(cmd *cobra.Command, opts *operatorOptions) error {
	todo, err := j.intend(cmd, opts)
	if err != nil {
		return err
	}
	j.announce(cmd.ErrOrStderr(), todo)
	if j.dryRun {
		return j.printManifests(cmd, todo.plan)
	}
	if todo.mint {
		made, err := j.makeToken(cmd.Context(), opts)
		if err != nil {
			return err
		}
		todo.plan = todo.plan.WithToken(made)
	}
	return j.carryOut(cmd, todo)
}

// intend looks, checks and plans; it changes nothing.
func (j *clusterJoin) intend(cmd *cobra.Command, opts *operatorOptions) (intended, error) {
	i, err := j.kube.installer(cmd)
	if err != nil {
		return intended{}, err
	}
	todo, ctx := intended{Installer: i}, cmd.Context()
	if todo.found, err = i.Look(ctx); err != nil {
		return todo, err
	}
	if err := todo.found.Fits(j.name, j.region); err != nil {
		return todo, err
	}
	if todo.mint, err = j.needsToken(opts, todo.found); err != nil {
		return todo, err
	}
	values, err := j.chartValues(todo.mint)
	if err != nil {
		return todo, err
	}
	if todo.plan, err = i.Plan(ctx, todo.found, values); err != nil || j.keepCoreDNS {
		return todo, err
	}
	todo.forwarding, err = i.PlanForward(ctx)
	return todo, err
}

// needsToken reports whether a token is to be made. Whether that is possible at all is known before anything is done. A cluster that has
// not been let in yet gets a new one when it can, as the one of an earlier run may have expired.
func (j *clusterJoin) needsToken(opts *operatorOptions, found install.Found) (bool, error) {
	if j.token != "" || found.Admitted {
		return false, nil
	}
	if j.dryRun {
		return true, nil
	}
	_, err := opts.client()
	switch {
	case err == nil:
		return true, nil
	case found.Token:
		return false, nil
	default:
		return false, usageError("a join token is needed: give --token, made by 'hanse token create cluster %s', or a credential with which one can be made: %w",
			j.name, err)
	}
}

// carryOut does it, and prints what has become of it.
func (j *clusterJoin) carryOut(cmd *cobra.Command, todo intended) error {
	report := joined{Cluster: j.name, Region: j.region, Kubernetes: todo.found.Version, Objects: todo.plan.Steps}
	if err := j.do(cmd.Context(), todo, &report); err != nil {
		if cmd.Context().Err() != nil {
			fmt.Fprintln(cmd.ErrOrStderr(), "interrupted: run the same command again to go on, or 'hanse cluster leave' to take everything back")
		}
		return err
	}
	if todo.forwarding.Note != "" {
		report.Notes = append(report.Notes, todo.forwarding.Note)
	}
	if len(report.Gateways) == 0 {
		report.Notes = append(report.Notes, "the Service hanse-gateway has no address yet: other clusters reach this one as soon as its load balancer has given it one")
	}
	return j.out.print(cmd, report, report.explain)
}

// do applies and waits. The name server runs before anybody is sent to it.
func (j *clusterJoin) do(ctx context.Context, todo intended, report *joined) error {
	err := todo.Apply(ctx, todo.plan)
	if err != nil {
		return err
	}
	if j.wait > 0 {
		if err := j.await(ctx, todo.Installer, todo.plan); err != nil {
			return err
		}
		report.Ready = true
	}
	if report.NameServer, err = todo.NameServer(ctx); err != nil {
		return err
	}
	if err := todo.Forward(ctx, todo.forwarding, report.NameServer); err != nil {
		return err
	}
	report.Gateways, err = todo.Gateways(ctx)
	return err
}

func (j *clusterJoin) await(ctx context.Context, i *install.Installer, plan install.Plan) error {
	ctx, cancel := context.WithTimeout(ctx, j.wait)
	defer cancel()
	return i.Wait(ctx, plan)
}

func (j *clusterJoin) makeToken(ctx context.Context, opts *operatorOptions) (string, error) {
	c, err := opts.client()
	if err != nil {
		return "", err
	}
	contentType, body, err := asJSON(rest.NewToken{Kind: model.TokenCluster, Cluster: j.name, ExportNamespaces: j.export, TTL: time.Hour.String()})
	if err != nil {
		return "", err
	}
	var made rest.CreatedToken
	if err := into(&made)(c.api().CreateTokenWithBody(ctx, nil, contentType, body)); err != nil {
		return "", fmt.Errorf("make a join token: %w", err)
	}
	return made.Text, nil
}
