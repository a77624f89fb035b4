package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/mcs-api/config/crd"
	mcsclient "sigs.k8s.io/mcs-api/pkg/client/clientset/versioned"
	"sigs.k8s.io/yaml"

	"github.com/hanse-mesh/hanse/e2e/fleet"
)

// plane is a cluster without nodes: etcd and an API server, which is all that an agent sees of a cluster.
type plane struct {
	name, region string
	kubeconfig   string
	kube         *kubernetes.Clientset
	mcs          *mcsclient.Clientset
	// site and health are the agent's addresses, gateway is where others reach the cluster.
	site, health, gateway string
}

// raisePlane starts a cluster and installs the definitions of the Multi-Cluster Services API.
func (w *world) raisePlane(ctx context.Context, i int) (*plane, error) {
	p := &plane{name: fmt.Sprint("c", i), region: region(i), site: w.address(), health: w.address()}
	dir := w.data("plane-" + p.name)
	token, err := writeCredentials(dir)
	if err != nil {
		return nil, err
	}
	etcd, peer, api := "http://"+w.address(), "http://"+w.address(), w.address()
	err = w.start("etcd-"+p.name, "etcd", "--name="+p.name, "--data-dir="+filepath.Join(dir, "etcd"), "--unsafe-no-fsync",
		"--listen-peer-urls="+peer, "--listen-client-urls="+etcd, "--advertise-client-urls="+etcd)
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(api)
	account := filepath.Join(dir, "account.key")
	err = w.start("apiserver-"+p.name, w.apiserver, "--etcd-servers="+etcd, "--bind-address="+loopback, "--secure-port="+port,
		"--cert-dir="+filepath.Join(dir, "tls"), "--token-auth-file="+filepath.Join(dir, "tokens.csv"), "--authorization-mode=RBAC",
		fmt.Sprintf("--service-cluster-ip-range=10.%d.0.0/16", 100+i), "--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+account, "--service-account-signing-key-file="+account)
	if err != nil {
		return nil, err
	}
	return p, p.connect(ctx, dir, "https://"+api, token)
}

// connect writes the kubeconfig, which an agent uses as well, and waits until the API server serves ServiceExports. Its certificate is
// of its own making, and it is on loopback: nobody checks it.
func (p *plane) connect(ctx context.Context, dir, server, token string) error {
	p.kubeconfig = filepath.Join(dir, "kubeconfig")
	text := fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: %q, insecure-skip-tls-verify: true}}]\n"+
		"contexts: [{name: c, context: {cluster: c, user: c}}]\nusers: [{name: c, user: {token: %s}}]\n", server, token)
	if err := os.WriteFile(p.kubeconfig, []byte(text), 0o600); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", p.kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 1000, 2000
	if p.kube, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	if p.mcs, err = mcsclient.NewForConfig(config); err != nil {
		return err
	}
	dynamics, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	err = fleet.Eventually(ctx, time.Minute, func() error { return p.kube.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() })
	if err != nil {
		return fmt.Errorf("API server of %s: %w", p.name, err)
	}
	for _, text := range [][]byte{crd.ServiceExportCRD, crd.ServiceImportCRD} {
		if err := define(ctx, dynamics, text); err != nil {
			return err
		}
	}
	return fleet.Eventually(ctx, 30*time.Second, func() error {
		_, err := p.mcs.MulticlusterV1beta1().ServiceImports("").List(ctx, metav1.ListOptions{})
		return err
	})
}

func define(ctx context.Context, client dynamic.Interface, text []byte) error {
	var object map[string]any
	if err := yaml.Unmarshal(text, &object); err != nil {
		return err
	}
	kind := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	_, err := client.Resource(kind).Create(ctx, &unstructured.Unstructured{Object: object}, metav1.CreateOptions{})
	return err
}

// writeCredentials writes the key that signs service accounts' tokens, and returns an administrator's token.
func writeCredentials(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "account.key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return "", err
	}
	secret := make([]byte, 16)
	if _, err := rand.Read(secret); err != nil {
		return "", err
	}
	token := hex.EncodeToString(secret)
	return token, os.WriteFile(filepath.Join(dir, "tokens.csv"), []byte(token+",admin,admin,system:masters\n"), 0o600)
}
