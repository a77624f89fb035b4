package lab

import (
	"path/filepath"

	"github.com/hanse-mesh/hanse/e2e/kube/binaries"
)

// The names of a cluster's programs, in the order in which they start. Each logs to log/NAME.log in the cluster's folder.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Containerd        = "containerd"
	Kubelet           = "kubelet"
	KubeProxy         = "kube-proxy"
)

// components returns the command line of each program.
func (c *Cluster) components(b *binaries.Set) map[string][]string {
	kube := func(name string, flags ...string) []string {
		return append([]string{filepath.Join(b.Kubernetes, name)}, flags...)
	}
	user := func(name string) string { return "--kubeconfig=" + c.credentials.path(name+".conf") }
	controller := kube(ControllerManager, user("controller"), "--allocate-node-cidrs", "--cluster-cidr="+both(c.Addresses.Pods),
		"--node-cidr-mask-size-ipv4=24", "--node-cidr-mask-size-ipv6=64", "--service-cluster-ip-range="+both(c.Addresses.Services),
		"--root-ca-file="+c.credentials.path("ca.crt"), "--service-account-private-key-file="+c.credentials.path("account.key"),
		"--leader-elect=false", "--use-service-account-credentials", "--kube-api-qps=200", "--kube-api-burst=400")
	return map[string][]string{
		Etcd: {
			"etcd", "--name=" + c.Name, "--data-dir=" + c.file("etcd"), "--unsafe-no-fsync", "--listen-peer-urls=http://127.0.0.1:2380",
			"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
		},
		APIServer:         kube(APIServer, c.apiServerFlags()...),
		ControllerManager: controller,
		Scheduler:         kube(Scheduler, user("scheduler"), "--leader-elect=false"),
		Containerd:        {"containerd", "--config=" + c.file("containerd.toml")},
		Kubelet: kube(Kubelet, user("kubelet"), "--config="+c.file("kubelet.yaml"), "--hostname-override="+c.Name,
			"--node-ip="+c.Addresses.WAN4.String()+","+c.Addresses.WAN6.String(),
			"--node-labels=topology.kubernetes.io/region="+c.Region+",topology.kubernetes.io/zone="+c.Region+"-a"),
		KubeProxy: kube(KubeProxy, "--config="+c.file("kube-proxy.yaml")),
	}
}

func (c *Cluster) apiServerFlags() []string {
	pki := c.credentials.path
	return []string{
		"--etcd-servers=http://127.0.0.1:2379", "--bind-address=::", "--secure-port=6443", "--advertise-address=" + c.Addresses.WAN4.String(),
		"--tls-cert-file=" + pki("apiserver.crt"), "--tls-private-key-file=" + pki("apiserver.key"), "--client-ca-file=" + pki("ca.crt"),
		"--token-auth-file=" + pki("tokens.csv"), "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		// Otherwise exec and logs look the node up by its name.
		"--kubelet-preferred-address-types=InternalIP",
		"--kubelet-client-certificate=" + pki("kubelet-client.crt"), "--kubelet-client-key=" + pki("kubelet-client.key"),
		"--service-cluster-ip-range=" + both(c.Addresses.Services), "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + pki("account.key"), "--service-account-signing-key-file=" + pki("account.key"), "--allow-privileged",
		"--feature-gates=ClusterTrustBundle=true", "--runtime-config=certificates.k8s.io/v1beta1/clustertrustbundles=true",
	}
}
