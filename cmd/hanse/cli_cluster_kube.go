package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/hanse-mesh/hanse/deploy/helm"
	"github.com/hanse-mesh/hanse/deploy/install"
	"github.com/hanse-mesh/hanse/internal/clock"
)

// kubeTarget says which Kubernetes cluster a command is about, and as whom it goes there.
type kubeTarget struct{ file, context string }

func (o *kubeTarget) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.file, "kubeconfig", "", "kubeconfig of the cluster (default: $KUBECONFIG, or ~/.kube/config)")
	cmd.Flags().StringVar(&o.context, "kube-context", "", "context of the kubeconfig (default: its current one)")
}

// installer talks to the cluster that the options name, and tells what it does on the command's standard error.
func (o *kubeTarget) installer(cmd *cobra.Command) (*install.Installer, error) {
	config, err := o.config()
	if err != nil {
		return nil, err
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	cluster, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	say := func(format string, args ...any) { fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...) }
	return install.New(install.Config{Objects: objects, Cluster: cluster, Clock: clock.Real{}, Say: say}), nil
}

func (o *kubeTarget) config() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.file
	overrides := &clientcmd.ConfigOverrides{CurrentContext: o.context}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, codedError{exitNotFound, fmt.Errorf("--kubeconfig %s does not exist", o.file)}
	case clientcmd.IsEmptyConfig(err):
		return nil, codedError{exitNotFound, errors.New("no cluster is named: give --kubeconfig, or set KUBECONFIG")}
	case err != nil:
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	// The client's own limit is for programs that go on for ever; here somebody waits, and one request follows the other.
	config.QPS, config.Timeout = -1, 30*time.Second
	config.UserAgent = "hanse/" + version
	return config, nil
}

// clusterError gives what a Kubernetes cluster answers an exit code.
func clusterError(err error) error {
	var coded codedError
	var refused *url.Error
	var network net.Error
	switch {
	case err == nil || errors.As(err, &coded) || errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, install.ErrDenied) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err):
		return codedError{exitDenied, err}
	case errors.Is(err, helm.ErrValues):
		return codedError{exitUsage, err}
	case errors.Is(err, install.ErrTaken):
		return codedError{exitConflict, err}
	case errors.Is(err, install.ErrLate) || errors.Is(err, context.DeadlineExceeded):
		return codedError{exitDifferences, err}
	case errors.As(err, &refused) || errors.As(err, &network):
		return codedError{exitUnavailable, fmt.Errorf("the cluster's API server does not answer: %w", err)}
	default:
		return err
	}
}
