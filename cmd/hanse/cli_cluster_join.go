package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

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

func (j *clusterJoin) run(cmd *cobra.Command, opts *operatorOptions) error {
	i, err := j.kube.installer(cmd)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	found, err := i.Look(ctx)
	if err != nil {
		return err
	}
	if err := found.Fits(j.name, j.region); err != nil {
		return err
	}
	mint := j.token == "" && !found.Admitted
	if mint && !j.dryRun {
		// Whether a token can be made at all is known before anything is done.
		if _, err := opts.client(); err != nil {
			return usageError("a join token is needed: give --token, made by 'hanse token create cluster %s', or a credential with which one can be made: %w", j.name, err)
		}
	}
	values, err := j.chartValues(mint)
	if err != nil {
		return err
	}
	plan, err := i.Plan(ctx, found, values)
	if err != nil {
		return err
	}
	var forwarding install.Forwarding
	if !j.keepCoreDNS {
		if forwarding, err = i.PlanForward(ctx); err != nil {
			return err
		}
	}
	j.announce(cmd.ErrOrStderr(), found, plan, mint, forwarding)
	if j.dryRun {
		return j.printManifests(cmd, plan)
	}
	if mint {
		made, err := j.makeToken(ctx, opts)
		if err != nil {
			return err
		}
		plan = plan.WithToken(made)
	}
	report := joined{Cluster: j.name, Region: j.region, Kubernetes: found.Version, Objects: plan.Steps}
	return j.carryOut(cmd, i, plan, forwarding, report)
}

// carryOut applies a plan, and prints what has become of it.
func (j *clusterJoin) carryOut(cmd *cobra.Command, i *install.Installer, plan install.Plan, forwarding install.Forwarding, report joined) error {
	ctx := cmd.Context()
	err := i.Apply(ctx, plan)
	if err == nil {
		report.NameServer, err = i.NameServer(ctx)
	}
	if err == nil && j.wait > 0 {
		err = j.await(ctx, i, plan)
		report.Ready = err == nil
	}
	// The name server runs before anybody is sent to it.
	if err == nil {
		err = i.Forward(ctx, forwarding, report.NameServer)
	}
	if err == nil {
		report.Gateways, err = i.Gateways(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			fmt.Fprintln(cmd.ErrOrStderr(), "interrupted: run the same command again to go on, or 'hanse cluster leave' to take everything back")
		}
		return err
	}
	if forwarding.Note != "" {
		report.Notes = append(report.Notes, forwarding.Note)
	}
	if len(report.Gateways) == 0 {
		report.Notes = append(report.Notes, "the Service hanse-gateway has no address yet: other clusters reach this one as soon as its load balancer has given it one")
	}
	return j.out.print(cmd, report, report.explain)
}

func (j *clusterJoin) await(ctx context.Context, i *install.Installer, plan install.Plan) error {
	ctx, cancel := context.WithTimeout(ctx, j.wait)
	defer cancel()
	return i.Wait(ctx, plan)
}

// unmadeToken stands for the token that will be made.
const unmadeToken = "hanse-cluster-1.not-made-yet"

// chartValues are the values of the chart that the flags mean, over those of the file.
func (j *clusterJoin) chartValues(mint bool) (map[string]any, error) {
	values := map[string]any{}
	if j.values != "" {
		data, err := os.ReadFile(j.values)
		if err != nil {
			return nil, usageError("--values: %w", err)
		}
		if err := yaml.UnmarshalStrict(data, &values); err != nil {
			return nil, usageError("--values %s: %w", j.values, err)
		}
	}
	set(values, j.name, "cluster")
	set(values, j.region, "region")
	if version != "dev" {
		set(values, version, "image", "tag")
	}
	setImage(values, j.image, "image")
	setImage(values, j.proxyImage, "proxyImage")
	if len(j.agentServer) > 0 {
		set(values, anyOf(j.agentServer), "agent", "servers")
	}
	if mint {
		set(values, unmadeToken, "agent", "joinToken")
	} else if j.token != "" {
		set(values, j.token, "agent", "joinToken")
	}
	return values, nil
}

// set puts a value at a path, making what is not there.
func set(values map[string]any, value any, path ...string) {
	for _, key := range path[:len(path)-1] {
		below, ok := values[key].(map[string]any)
		if !ok {
			below = map[string]any{}
			values[key] = below
		}
		values = below
	}
	values[path[len(path)-1]] = value
}

func anyOf(texts []string) []any {
	var out []any
	for _, t := range texts {
		out = append(out, t)
	}
	return out
}

// setImage takes NAME:TAG@DIGEST apart, as the chart wants it.
func setImage(values map[string]any, image, key string) {
	if image == "" {
		return
	}
	name, digest, _ := strings.Cut(image, "@")
	tag := ""
	// A colon before the last slash is a registry's port.
	if n := strings.LastIndex(name, ":"); n > strings.LastIndex(name, "/") {
		name, tag = name[:n], name[n+1:]
	}
	set(values, name, key, "repository")
	set(values, cmp.Or(tag, "latest"), key, "tag")
	set(values, digest, key, "digest")
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
