package binaries

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// KubernetesVersion is what tools/kubernetes.mod requires.
const KubernetesVersion = "v1.36.3"

// kubernetes are the commands of Kubernetes. They are compiled by one command with one set of flags: so the packages that they share are
// compiled once.
var kubernetes = []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"}

// Set is where the compiled programs are.
type Set struct {
	// Kubernetes is a folder with kube-apiserver, kube-controller-manager, kube-scheduler, kubelet and kube-proxy.
	Kubernetes string
	// CoreDNS, Pause, LateShell and Sample are programs; see the folders coredns and helpers.
	CoreDNS, Pause, LateShell, Sample string
}

// Cache is the folder that outlives runs: $HANSE_KUBE_CACHE, else hanse/kube in the user's cache folder.
func Cache() (string, error) {
	if dir := os.Getenv("HANSE_KUBE_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a folder to keep compiled programs in: %w; set HANSE_KUBE_CACHE", err)
	}
	return filepath.Join(dir, "hanse", "kube"), nil
}

// Compile returns the programs. What the cache does not have is compiled: Kubernetes takes some nine minutes of one processor, CoreDNS
// two. root is the repository's root. A second process that compiles waits for the first.
func Compile(ctx context.Context, root string, log io.Writer) (*Set, error) {
	cache, err := Cache()
	if err != nil {
		return nil, err
	}
	unlock, err := lock(cache)
	if err != nil {
		return nil, err
	}
	defer unlock()
	c := compiler{ctx: ctx, root: root, cache: cache, log: log}
	s := &Set{}
	if s.Kubernetes, err = c.kubernetes(); err != nil {
		return nil, err
	}
	s.CoreDNS, s.Pause, s.LateShell, s.Sample = c.ours("coredns"), c.ours("pause"), c.ours("latesh"), c.ours("sample")
	return s, errors.Join(
		c.build(filepath.Join(root, "e2e", "kube", "coredns"), "-ldflags", "-s -w", "-o", s.CoreDNS, "."),
		c.build(root, "-ldflags", "-s -w", "-o", s.Pause, "./e2e/kube/helpers/pause"),
		c.build(root, "-ldflags", "-s -w", "-o", s.LateShell, "./e2e/kube/helpers/latesh"),
		c.build(root, "-ldflags", "-s -w", "-o", s.Sample, "./e2e/kube/helpers/sample"),
	)
}

// lock holds the cache for this process.
func lock(cache string) (unlock func(), err error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", cache, err)
	}
	return func() { _ = f.Close() }, nil
}

type compiler struct {
	ctx         context.Context
	root, cache string
	log         io.Writer
}

// kubernetes builds into a folder of the cache. A folder that is there is complete, since it is made beside and then renamed.
func (c *compiler) kubernetes() (string, error) {
	dir := filepath.Join(c.cache, "kubernetes-"+KubernetesVersion)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	_, _ = fmt.Fprintf(c.log, "compiling Kubernetes %s into %s: some minutes, once\n", KubernetesVersion, dir)
	fresh := dir + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return "", err
	}
	if err := os.MkdirAll(fresh, 0o755); err != nil {
		return "", err
	}
	const version = "k8s.io/component-base/version."
	args := []string{
		"-modfile=tools/kubernetes.mod", "-ldflags",
		"-s -w -X " + version + "gitVersion=" + KubernetesVersion + " -X " + version + "gitMajor=1 -X " + version + "gitMinor=36", "-o", fresh,
	}
	for _, name := range kubernetes {
		args = append(args, "k8s.io/kubernetes/cmd/"+name)
	}
	if err := c.build(c.root, args...); err != nil {
		return "", err
	}
	return dir, os.Rename(fresh, dir)
}

// ours is where a program is that is built every time: the Go command sees whether there is anything to do.
func (c *compiler) ours(name string) string { return filepath.Join(c.cache, "ours", name) }

// build runs the Go compiler, niced: whoever works at the machine meanwhile comes first.
func (c *compiler) build(dir string, args ...string) error {
	argv := append([]string{"-n", "10", "go", "build", "-trimpath"}, args...)
	cmd := exec.CommandContext(c.ctx, "nice", argv...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build %v in %s: %w\n%s", args, dir, err, output.String())
	}
	return nil
}
