package lab

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/hanse-mesh/hanse/e2e/kube/binaries"
	"github.com/hanse-mesh/hanse/e2e/kube/image"
)

// kubelet's configuration: of a node whose cgroups are a folder of the machine's, and whose disk is the machine's, so that nobody is
// evicted because the machine is full.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: %s}
authorization: {mode: Webhook}
clusterDNS: [%s]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
resolvConf: %s
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
localStorageCapacityIsolation: false
oomScoreAdj: 0
failSwapOn: false
# How soon pods see a changed ConfigMap.
syncFrequency: 5s
registryPullQPS: 0
kubeAPIQPS: 200
kubeAPIBurst: 400
evictionHard:
  memory.available: 0%%
  nodefs.available: 0%%
  nodefs.inodesFree: 0%%
  imagefs.available: 0%%
  imagefs.inodesFree: 0%%
`

// kube-proxy's: the limits of the connection table are the machine's and not to be written.
const kubeProxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: %s
clusterCIDR: %q
oomScoreAdj: 0
clientConnection: {kubeconfig: %s}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`

const containerdConfig = `version = 2
root = %q
state = "/run/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt"]

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %q
  disable_hugetlb_controller = true
  restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = %q
  conf_dir = %q

[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
`

// cniConfig is a bridge with one range per family. A pod may reach itself through its own service: that is the hairpin.
func (c *Cluster) cniConfig() ([]byte, error) {
	type object map[string]any
	ranges := [][]object{
		{{"subnet": netip.PrefixFrom(c.Addresses.Pods[0].Addr(), 24).String()}}, {{"subnet": netip.PrefixFrom(c.Addresses.Pods[1].Addr(), 64).String()}},
	}
	return json.Marshal(object{
		"cniVersion": "0.4.0", "name": "pods", "plugins": []object{
			{
				"type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "ipMasq": true, "hairpinMode": true,
				"ipam": object{"type": "host-local", "ranges": ranges, "dataDir": c.file("ipam")},
			},
			{"type": "portmap", "capabilities": object{"portMappings": true}},
		},
	})
}

// writeConfig writes the programs' configuration files.
func (c *Cluster) writeConfig(proxyMode string) error {
	cni, err := c.cniConfig()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.file("cni"), 0o755); err != nil {
		return err
	}
	resolv := c.file("resolv.conf")
	files := map[string]string{
		filepath.Join("cni", "10-pods.conflist"): string(cni),
		// Nothing outside the clusters has a name; CoreDNS says so itself.
		"resolv.conf":     "nameserver " + c.Addresses.DNS[0].String() + "\n",
		"kubelet.yaml":    fmt.Sprintf(kubeletConfig, c.credentials.path("ca.crt"), c.Addresses.DNS[0], resolv),
		"kube-proxy.yaml": fmt.Sprintf(kubeProxyConfig, proxyMode, both(c.Addresses.Pods), c.credentials.path("proxy.conf")),
		"containerd.toml": fmt.Sprintf(containerdConfig, c.file("containers"), image.Pause, binaries.CNIFolder, c.file("cni")),
	}
	for name, text := range files {
		if err := os.WriteFile(c.file(name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
