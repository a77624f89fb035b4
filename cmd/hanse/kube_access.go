package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/spf13/pflag"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	mcsclient "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"
)

// kubeAccess says how a role reaches the API server of its own cluster.
type kubeAccess struct{ kubeconfig string }

func (o *kubeAccess) bind(flags *pflag.FlagSet) {
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig of the cluster's API server (default: the service account of the pod that this runs in)")
}

// config is the API server's address with credentials; role stands in the API server's audit log. The file's credentials and the pod's token
// are read anew as they change. What Kubernetes' client logs of itself goes to the role's log.
func (o *kubeAccess) config(role string, logger *slog.Logger) (*rest.Config, error) {
	klog.SetSlogLogger(logger)
	config, err := o.load()
	if err != nil {
		return nil, err
	}
	config.UserAgent = "hanse-" + role + "/" + version
	return config, nil
}

func (o *kubeAccess) load() (*rest.Config, error) {
	if o.kubeconfig != "" {
		config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, codedError{exitNotFound, fmt.Errorf("--kubeconfig %s does not exist", o.kubeconfig)}
		case err != nil:
			return nil, fmt.Errorf("--kubeconfig %s: %w", o.kubeconfig, err)
		}
		return config, nil
	}
	config, err := rest.InClusterConfig()
	if errors.Is(err, rest.ErrNotInCluster) {
		return nil, codedError{exitNotFound, errors.New("no cluster is named: this does not run in a pod of Kubernetes, so give --kubeconfig")}
	}
	if err != nil {
		return nil, fmt.Errorf("the pod's service account cannot be used: %w (is automountServiceAccountToken off?)", err)
	}
	return config, nil
}

// kubeClients are for the API server's own kinds, and for those of the Multi-Cluster Services API.
func kubeClients(config *rest.Config) (kubernetes.Interface, mcsclient.Interface, error) {
	// The API server's own kinds have a shorter form than JSON; custom ones do not.
	short := rest.CopyConfig(config)
	short.AcceptContentTypes, short.ContentType = "application/vnd.kubernetes.protobuf,application/json", "application/vnd.kubernetes.protobuf"
	core, err := kubernetes.NewForConfig(short)
	if err != nil {
		return nil, nil, fmt.Errorf("kubeconfig: %w", err)
	}
	mcs, err := mcsclient.NewForConfig(config)
	if err != nil {
		return nil, nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return core, mcs, nil
}
