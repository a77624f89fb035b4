// Package install owns what an operator's machine does to a Kubernetes cluster to have it join a federation, and to have it leave: it
// looks, checks rights, plans, applies on the server's side, waits, and takes away. It touches nothing that is not labelled as its own,
// except for the definitions of the Multi-Cluster Services API and one block of CoreDNS's configuration.
package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/hanse-mesh/hanse/deploy/helm"
)

// Manager is the field manager of what is applied here, and the value of the label app.kubernetes.io/managed-by on it.
const Manager = "hanse-join"

const (
	labelManagedBy = "app.kubernetes.io/managed-by"
	labelName      = "app.kubernetes.io/name"
	helmManager    = "Helm"
	agentName      = "hanse-agent"
	identitySecret = "hanse-agent-identity"
	tokenSecret    = "hanse-join"
)

// Clock makes the pauses between two looks.
type Clock interface {
	After(d time.Duration) <-chan time.Time
}

// Config is what an Installer needs. Say is told what happens, a line at a time.
type Config struct {
	Objects dynamic.Interface
	Cluster kubernetes.Interface
	Clock   Clock
	Say     func(format string, args ...any)
}

// Installer changes one cluster. It holds no state: everything is read anew, so that what was interrupted is repeated.
type Installer struct{ Config }

// New makes an Installer.
func New(c Config) *Installer { return &Installer{c} }

// Found is what a cluster has before anything is done.
type Found struct {
	// Version of Kubernetes, for example "v1.36.3".
	Version string
	// APIs beyond what every supported cluster has, as helm.Options takes them.
	APIs []string
	// Manager is who installed the agent that is there: Manager, "Helm", somebody else, or empty if there is none.
	Manager string
	// Cluster and Region are what that agent was told.
	Cluster, Region string
	// Admitted is whether the agent has an identity, Token whether it has a join token, which may be good no more.
	Admitted, Token bool
}

// Look reads what the cluster is and has.
func (i *Installer) Look(ctx context.Context) (Found, error) {
	var f Found
	var err error
	if f.Version, err = i.version(ctx); err != nil {
		return f, err
	}
	if f.APIs, err = i.policies(ctx); err != nil {
		return f, err
	}
	// Who lacks one right lacks several: they are named together.
	if err := i.check(ctx, toLook(f)); err != nil {
		return f, err
	}
	agent, err := i.get(ctx, "Deployment", helm.Namespace, agentName)
	if err != nil || agent == nil {
		return f, err
	}
	f.Manager = agent.GetLabels()[labelManagedBy]
	if f.Manager == "" {
		f.Manager = "somebody"
	}
	f.Cluster, f.Region = argument(agent, "--cluster="), argument(agent, "--region=")
	for name, found := range map[string]*bool{identitySecret: &f.Admitted, tokenSecret: &f.Token} {
		s, err := i.get(ctx, "Secret", helm.Namespace, name)
		if err != nil {
			return f, err
		}
		*found = s != nil
	}
	return f, nil
}

func (i *Installer) version(ctx context.Context) (string, error) {
	data, err := i.Cluster.Discovery().RESTClient().Get().AbsPath("/version").Do(ctx).Raw()
	if err != nil {
		return "", fmt.Errorf("ask the API server for its version: %w", err)
	}
	var v version.Info
	if err := json.Unmarshal(data, &v); err != nil || v.GitVersion == "" {
		return "", errors.New("what answers is no Kubernetes API server: check the server's address in the kubeconfig")
	}
	// Some providers add words of their own behind the version.
	number, _, _ := strings.Cut(v.GitVersion, "-")
	number, _, _ = strings.Cut(number, "+")
	return number, nil
}

// policies says whether the API server has ValidatingAdmissionPolicies.
func (i *Installer) policies(ctx context.Context) ([]string, error) {
	const group = "admissionregistration.k8s.io/v1"
	data, err := i.Cluster.Discovery().RESTClient().Get().AbsPath("/apis/" + group).Do(ctx).Raw()
	if err != nil {
		return nil, fmt.Errorf("ask the API server for %s: %w", group, err)
	}
	var list metav1.APIResourceList
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("read the API server's resources of %s: %w", group, err)
	}
	for _, r := range list.APIResources {
		if r.Kind == "ValidatingAdmissionPolicy" {
			return []string{group + "/" + r.Kind}, nil
		}
	}
	return nil, nil
}

// get reads an object; one that is not there is nil.
func (i *Installer) get(ctx context.Context, kind, namespace, name string) (*unstructured.Unstructured, error) {
	out, err := i.of(kind, namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", kind, name, err)
	}
	return out, nil
}

// argument is what stands behind a flag of the object's first container.
func argument(o *unstructured.Unstructured, flag string) string {
	containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	for _, c := range containers {
		fields, _ := c.(map[string]any)
		args, _, _ := unstructured.NestedStringSlice(fields, "args")
		for _, a := range args {
			if value, ok := strings.CutPrefix(a, flag); ok {
				return value
			}
		}
	}
	return ""
}
