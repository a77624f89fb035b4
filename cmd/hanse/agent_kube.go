package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	mcsclient "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/cluster-agent/anchors"
	"github.com/hanse-mesh/hanse/cluster-agent/mcs/apply"
	"github.com/hanse-mesh/hanse/cluster-agent/source/kube"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// The agent's budget at its API server. Writes have one of their own below it.
const (
	kubeQPS   = 200
	kubeBurst = 400
)

// defaultGatewayPort is where gateways are reached when --gateway-address names no port.
const defaultGatewayPort = 15443

// kubeOptions are the flags of an agent in a Kubernetes cluster.
type kubeOptions struct {
	enabled    bool
	kubeconfig string
	gateways   []string
}

// validate checks the flags and returns the gateway addresses that they name; nil when the API server is asked for them.
func (o kubeOptions) validate(region string) ([]model.Gateway, error) {
	if !o.enabled {
		if o.kubeconfig != "" || len(o.gateways) > 0 {
			return nil, usageError("--kubeconfig and --gateway-address are for --kubernetes: add it")
		}
		return nil, nil
	}
	var out []model.Gateway
	for i, text := range o.gateways {
		g := model.Gateway{Name: "gateway-" + strconv.Itoa(i+1), Address: strings.Trim(text, "[]"), Port: defaultGatewayPort, Locality: model.Locality{Region: region}}
		if host, port, err := net.SplitHostPort(text); err == nil {
			n, err := strconv.ParseUint(port, 10, 16)
			if err != nil || n == 0 {
				return nil, usageError("--gateway-address %q: the port must be from 1 to 65535", text)
			}
			g.Address, g.Port = host, uint16(n)
		}
		if g.Address == "" {
			return nil, usageError("--gateway-address %q has no host: give an IP address or a host name that other clusters reach", text)
		}
		out = append(out, g)
	}
	return out, nil
}

// kubeParts is what an agent has of its Kubernetes cluster.
type kubeParts struct {
	client    kubernetes.Interface
	mcs       mcsclient.Interface
	namespace string
	lease     *lease
	secrets   *secretStore
	source    *kube.Source
	applier   *apply.Applier
	importer  *importer
	trust     *anchors.Publisher
}

// newKubeParts makes the clients and what is made of them alone.
func newKubeParts(o agentOptions, c clock.Clock, logger *slog.Logger) (*kubeParts, error) {
	config, err := kubeConfig(o.kube.kubeconfig)
	if err != nil {
		return nil, err
	}
	client, multi, err := kubeClients(config)
	if err != nil {
		return nil, err
	}
	k := assembleKube(client, multi, o, c, logger)
	k.trust, err = newTrustPublisher(config, k.namespace, c, logger)
	return k, err
}

func assembleKube(client kubernetes.Interface, multi mcsclient.Interface, o agentOptions, c clock.Clock, logger *slog.Logger) *kubeParts {
	k := &kubeParts{client: client, mcs: multi, namespace: podNamespace()}
	k.lease = &lease{api: client.CoordinationV1().Leases(k.namespace), self: podName(), clock: c, logger: logger}
	k.secrets = newSecretStore(client.CoreV1().Secrets(k.namespace), o.dataDir, c, logger)
	k.source = kube.New(kube.Config{Client: client, MCS: multi, SystemNamespace: k.namespace, Region: o.region, Clock: c, Logger: logger})
	k.applier = apply.New(apply.Config{Client: client, MCS: multi, Logger: logger})
	return k
}

// kubeConfig is the configuration that a file names, or that of the pod.
func kubeConfig(path string) (*rest.Config, error) {
	config, err := rest.InClusterConfig()
	if path != "" {
		config, err = clientcmd.BuildConfigFromFlags("", path)
	}
	if err != nil {
		return nil, usageError("--kubernetes: no way to the API server: run in a pod with a ServiceAccount, or give --kubeconfig: %w", err)
	}
	config.QPS, config.Burst = kubeQPS, kubeBurst
	config.UserAgent = "hanse-agent/" + version
	return config, nil
}

// podNamespace is where the agent runs, and podName under which name. Outside of a pod they are the chart's namespace and the host's name.
func podNamespace() string {
	if ns := os.Getenv("POD_NAMESPACE"); ns != "" {
		return ns
	}
	return model.SystemNamespace
}

func podName() string {
	if name := os.Getenv("POD_NAME"); name != "" {
		return name
	}
	name, err := os.Hostname()
	if err != nil {
		return "agent"
	}
	return name
}

// restore fills the data folder of a new pod.
func (a *agentParts) restore(ctx context.Context) error {
	for {
		err := a.kube.secrets.restore(ctx)
		if err == nil {
			return nil
		}
		a.waitFor("the agent's Secrets cannot be read: " + err.Error())
		a.logger.Warn("waiting for the agent's Secrets", "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.clock.After(secretRetry):
		}
	}
}

// assembleImporter recovers the egress ports before any is allotted: Services in the cluster name them.
func (a *agentParts) assembleImporter(ctx context.Context) error {
	for {
		ports, err := a.kube.applier.Ports(ctx)
		if err == nil {
			a.core.recoverEgress(ports)
			break
		}
		a.waitFor(err.Error())
		a.logger.Warn("waiting for the API server", "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.clock.After(secretRetry):
		}
	}
	a.kube.importer = &importer{
		core: a.core, facts: a.kube.source.Facts, factsChanged: a.kube.source.Changed(), writer: a.kube.applier, clock: a.clock, logger: a.logger,
	}
	return nil
}

// notes say what does not work at the API server while the agent goes on.
func (k *kubeParts) notes() []string {
	out := append(k.source.Problems(), k.trust.Problems()...)
	if trouble := deref(k.importer.trouble.Load()); trouble != "" {
		out = append(out, trouble)
	}
	return out
}
