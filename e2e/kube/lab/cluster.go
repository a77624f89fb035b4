package lab

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/hanse-mesh/hanse/e2e/kube/binaries"
)

//go:embed files/coredns.yaml
var coreDNSManifest string

// Cluster is one Kubernetes cluster with one node.
type Cluster struct {
	Name, Region string
	// Config, Kube and Dynamic reach the API server over the cable that is not part of the wide-area network.
	Config  *rest.Config
	Kube    *kubernetes.Clientset
	Dynamic dynamic.Interface
	// Addresses are the zero value when the cluster is not of this lab's making.
	Addresses Addresses

	dir         string
	sandbox     *sandbox
	credentials *credentials
	balancer    context.CancelFunc
	mapper      meta.RESTMapper
}

// file is a path in the cluster's folder, which has the same name inside and outside of the sandbox.
func (c *Cluster) file(name string) string { return filepath.Join(c.dir, name) }

// TrustDomain is the cluster's in the lab's federation.
func (c *Cluster) TrustDomain() string { return c.Name + "." + federationName }

func (c *Cluster) server() string { return "https://" + c.Addresses.Node.String() + ":6443" }

// KubeconfigFile is for the cluster's administrator.
func (c *Cluster) KubeconfigFile() string { return c.file("kubeconfig") }

// Kubeconfig is the file's content.
func (c *Cluster) Kubeconfig() string {
	return kubeconfig(c.Name, c.server(), c.credentials.caPEM, c.credentials.tokens["admin"])
}

// Connect makes the clients from a kubeconfig.
func (c *Cluster) Connect(kubeconfig []byte) error {
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return fmt.Errorf("kubeconfig of %s: %w", c.Name, err)
	}
	config.QPS, config.Burst, c.Config = 200, 400, config
	if c.Kube, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(c.Kube.Discovery()))
	c.Dynamic, err = dynamic.NewForConfig(config)
	return err
}

// up starts the cluster's programs; the node is ready and names are answered when it returns. Its cables must be there already.
func (c *Cluster) up(ctx context.Context, b *binaries.Set, images []string, proxyMode string) error {
	var err error
	if c.credentials, err = newCredentials(c.file("pki"), c.Name, c.Addresses); err != nil {
		return err
	}
	if err := c.writeConfig(proxyMode); err != nil {
		return err
	}
	if err := os.WriteFile(c.KubeconfigFile(), []byte(c.Kubeconfig()), 0o600); err != nil {
		return err
	}
	if err := c.Connect([]byte(c.Kubeconfig())); err != nil {
		return err
	}
	programs := c.components(b)
	start := func(names ...string) error {
		for _, name := range names {
			if err := c.sandbox.start(name, programs[name]...); err != nil {
				return err
			}
		}
		return nil
	}
	if err := start(Etcd, APIServer, Containerd); err != nil {
		return err
	}
	both, running := errgroup.WithContext(ctx)
	both.Go(func() error { return c.importImages(running, images) })
	both.Go(func() error {
		if err := c.AwaitAPI(running); err != nil {
			return err
		}
		if err := start(ControllerManager, Scheduler, Kubelet, KubeProxy); err != nil {
			return err
		}
		dns := strings.NewReplacer("DNS4", c.Addresses.DNS[0].String(), "DNS6", c.Addresses.DNS[1].String()).Replace(coreDNSManifest)
		return c.Apply(running, dns)
	})
	if err := both.Wait(); err != nil {
		return err
	}
	return Eventually(ctx, time.Minute, func(ctx context.Context) error { return c.deploymentReady(ctx, "kube-system", "coredns") })
}

// AwaitAPI waits until the API server is ready.
func (c *Cluster) AwaitAPI(ctx context.Context) error {
	return Eventually(ctx, time.Minute, func(ctx context.Context) error {
		if err := c.Kube.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error(); err != nil {
			return fmt.Errorf("API server of %s: %w; see %s", c.Name, err, c.file("log/kube-apiserver.log"))
		}
		return nil
	})
}

// importImages gives containerd the images, once it answers.
func (c *Cluster) importImages(ctx context.Context, images []string) error {
	err := Eventually(ctx, 30*time.Second, func(ctx context.Context) error {
		_, err := c.sandbox.run(ctx, "ctr version")
		return err
	})
	if err != nil {
		return err
	}
	for _, path := range images {
		if _, err := c.sandbox.run(ctx, "ctr -n k8s.io images import --snapshotter overlayfs "+path); err != nil {
			return err
		}
	}
	return nil
}

// deploymentReady reports why not all replicas of a Deployment are available.
func (c *Cluster) deploymentReady(ctx context.Context, namespace, name string) error {
	d, err := c.Kube.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("deployment %s/%s in %s: %w", namespace, name, c.Name, err)
	}
	if d.Status.ObservedGeneration < d.Generation || d.Status.AvailableReplicas < *d.Spec.Replicas || d.Status.UpdatedReplicas < *d.Spec.Replicas {
		return fmt.Errorf("deployment %s/%s in %s: %d of %d replicas available", namespace, name, c.Name, d.Status.AvailableReplicas, *d.Spec.Replicas)
	}
	return nil
}

// AwaitDeployments waits until all replicas are available.
func (c *Cluster) AwaitDeployments(ctx context.Context, within time.Duration, namespace string, names ...string) error {
	return Eventually(ctx, within, func(ctx context.Context) error {
		var all []error
		for _, name := range names {
			all = append(all, c.deploymentReady(ctx, namespace, name))
		}
		return errors.Join(all...)
	})
}

// Signal sends a signal such as KILL, STOP or CONT to one of the cluster's programs.
func (c *Cluster) Signal(program, signal string) error { return c.sandbox.signal(program, signal) }

// Restart starts one of the cluster's programs again after it was killed.
func (c *Cluster) Restart(b *binaries.Set, program string) error {
	return c.sandbox.start(program, c.components(b)[program]...)
}

// down ends everything. The folder stays.
func (c *Cluster) down() {
	if c.balancer != nil {
		c.balancer()
	}
	if c.sandbox != nil {
		c.sandbox.close()
	}
	unwire(c.Addresses.index)
	// What is large and says nothing about a failure.
	for _, name := range []string{"etcd", "containers", "kubelet"} {
		_ = os.RemoveAll(c.file(name))
	}
}
