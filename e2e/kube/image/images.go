package image

import (
	"fmt"

	"github.com/hanse-mesh/hanse/e2e/kube/binaries"
)

// The images' names. The upstream conformance suite names Client and Server; their tags are not "latest", so nothing is ever pulled.
const (
	Pause   = "docker.io/library/hanse-lab-pause:1"
	Client  = "docker.io/nicolaka/netshoot:v0.15"
	Server  = "docker.io/alpine/socat:1.7.4.4"
	CoreDNS = "docker.io/coredns/coredns:1.15.0"
	// Sample is the sample application and its callers.
	Sample = "docker.io/library/hanse-lab-sample:1"
)

// applets are the small commands of a shell script. Not nc and nslookup: busybox's differ from those that suites expect.
var applets = []string{
	"cat", "ls", "sleep", "grep", "awk", "sed", "head", "tail", "tr", "cut", "sort", "uniq", "wc", "env", "hostname", "ip", "ping", "seq", "date",
	"timeout", "true", "false", "test", "echo", "printf", "tee", "kill", "ps", "id", "mkdir", "rm", "cp", "mv", "touch", "chmod", "stat", "wget",
}

// Lab returns the images of the clusters' own parts and of the tests' pods.
func Lab(b *binaries.Set) ([]Image, error) {
	pause, err := Programs(map[string]string{"pause": b.Pause})
	if err != nil {
		return nil, err
	}
	coreDNS, err := Programs(map[string]string{"coredns": b.CoreDNS})
	if err != nil {
		return nil, err
	}
	sample, err := Programs(map[string]string{"sample": b.Sample})
	if err != nil {
		return nil, err
	}
	// Debian's busybox prefers its own applets to programs on PATH when it is the shell: the shell must be another.
	client, err := Programs(map[string]string{
		"usr/bin/busybox": "busybox", "usr/bin/sh": "dash", "usr/bin/nc": "nc.openbsd", "usr/bin/dig": "dig", "usr/bin/nslookup": "nslookup",
		"usr/bin/curl": "curl", "usr/bin/socat": "socat",
	})
	if err != nil {
		return nil, err
	}
	server, err := Programs(map[string]string{
		"usr/bin/busybox": "busybox", "usr/bin/sh": b.LateShell, "usr/bin/dash": "dash", "usr/bin/socat": "socat",
	})
	if err != nil {
		return nil, err
	}
	return []Image{
		{Name: Pause, Layers: [][]File{pause}, Entrypoint: []string{"/pause"}},
		{Name: CoreDNS, Layers: [][]File{append(Base(), coreDNS...)}, Entrypoint: []string{"/coredns"}},
		{Name: Sample, Layers: [][]File{append(Base(), sample...)}, Entrypoint: []string{"/sample"}},
		{Name: Client, Layers: [][]File{append(append(Base(), client...), Applets(applets...)...)}},
		{Name: Server, Layers: [][]File{append(append(Base(), server...), Applets(applets...)...)}, Entrypoint: []string{"/usr/bin/socat"}},
	}, nil
}

// Hanse returns the image of Hanse: the binary, an Envoy in a layer of its own since it is large and stays the same, and nothing else.
func Hanse(name, binary, envoy string) (Image, error) {
	below, err := Programs(map[string]string{"usr/local/bin/envoy": envoy})
	if err != nil {
		return Image{}, fmt.Errorf("%w; deploy/scripts/envoy.sh prints the path of an Envoy", err)
	}
	above, err := Programs(map[string]string{"usr/local/bin/hanse": binary})
	if err != nil {
		return Image{}, fmt.Errorf("%w; run `make build`", err)
	}
	return Image{
		Name: name, Layers: [][]File{append(Base(), below...), above}, Entrypoint: []string{"/usr/local/bin/hanse"}, User: "65532:65532",
	}, nil
}
