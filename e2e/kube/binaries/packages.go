// Package binaries owns the programs that a cluster on one machine is made of: those of Kubernetes and CoreDNS are compiled once from the
// Go module proxy into a cache, the others are the machine's own.
package binaries

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// CNIFolder is where Debian's package puts the network plugins.
const CNIFolder = "/usr/lib/cni"

// packages names the Debian package of each program that the machine must have.
var packages = []struct{ program, name string }{
	{"etcd", "etcd-server"},
	{"containerd", "containerd"},
	{"ctr", "containerd"},
	{"runc", "runc"},
	{CNIFolder + "/bridge", "containernetworking-plugins"},
	{CNIFolder + "/host-local", "containernetworking-plugins"},
	{"nft", "nftables"},
	{"iptables", "iptables"},
	{"ip6tables", "iptables"},
	{"busybox", "busybox-static"},
	{"dash", "dash"},
	{"socat", "socat"},
	{"nc.openbsd", "netcat-openbsd"},
	{"dig", "bind9-dnsutils"},
	{"nslookup", "bind9-dnsutils"},
	{"curl", "curl"},
	{"ip", "iproute2"},
	{"unshare", "util-linux"},
}

// CheckMachine reports what keeps clusters from running here, with the command that mends it.
func CheckMachine() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("clusters need root (namespaces, cgroups, containerd); run as root, or name existing clusters in KUBECONFIGS")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return fmt.Errorf("the network between clusters needs /dev/net/tun: %w; try `modprobe tun`", err)
	}
	return missing(func(program string) bool {
		_, err := exec.LookPath(program)
		return err == nil
	})
}

// missing names the packages of the programs that are not installed.
func missing(installed func(program string) bool) error {
	var programs, names []string
	for _, p := range packages {
		if !installed(p.program) {
			programs = append(programs, p.program)
			names = append(names, p.name)
		}
	}
	if len(programs) == 0 {
		return nil
	}
	slices.Sort(names)
	return fmt.Errorf("not installed: %s; run\n  apt-get install -y --no-install-recommends %s",
		strings.Join(programs, ", "), strings.Join(slices.Compact(names), " "))
}
