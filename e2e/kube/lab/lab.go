// Package lab owns real Kubernetes clusters on one machine: each in namespaces of its own, joined by a network in user space that can
// be slow, lossy, narrow and cut, with a federation's nodes beside them. Everything ends with the process that made it.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/hanse-mesh/hanse/e2e/kube/binaries"
	"github.com/hanse-mesh/hanse/e2e/kube/image"
	"github.com/hanse-mesh/hanse/e2e/wan"
)

// HanseImage is the name of Hanse's image in the clusters.
const HanseImage = "docker.io/hanse-mesh/hanse:lab"

// Options are what a lab is made of.
type Options struct {
	// Root is the repository's root, Dir the folder for everything that the lab writes; what an earlier lab left there is removed.
	Root, Dir string
	// Clusters is how many, from 1 to MaxClusters; they are named c1, c2 and so on.
	Clusters int
	// ProxyMode is kube-proxy's: nftables, the default, or iptables.
	ProxyMode string
	// Hanse and Envoy are programs of this machine. Without them there is neither Hanse's image nor a federation.
	Hanse, Envoy string
	// Log gets a line per step.
	Log io.Writer
}

// Lab is some clusters and the network between them.
type Lab struct {
	Clusters []*Cluster
	// WAN connects sites by the clusters' names, and the federation's nodes by the name FederationSite.
	WAN *wan.Switch
	// Federation is nil without a Hanse binary.
	Federation *Federation
	// Binaries are the programs that the clusters run.
	Binaries *binaries.Set
	// Dir is the folder that the lab writes to.
	Dir string

	lock *os.File
}

// Up makes a lab. It takes under half a minute once the programs are compiled. Down must be called whether or not there is an error.
func Up(ctx context.Context, o Options) (*Lab, error) {
	l := &Lab{Dir: o.Dir}
	if o.Clusters < 1 || o.Clusters > MaxClusters {
		return l, fmt.Errorf("%d clusters: must be from 1 to %d", o.Clusters, MaxClusters)
	}
	if err := binaries.CheckMachine(); err != nil {
		return l, err
	}
	var err error
	if l.lock, err = claim(); err != nil {
		return l, err
	}
	if err := clear(o.Dir); err != nil {
		return l, err
	}
	if l.Binaries, err = binaries.Compile(ctx, o.Root, o.Log); err != nil {
		return l, err
	}
	archives, err := l.images(o)
	if err != nil {
		return l, err
	}
	begin := time.Now()
	if err := l.raise(ctx, o, archives); err != nil {
		return l, err
	}
	_, _ = fmt.Fprintf(o.Log, "%d clusters are up after %.1f s\n", o.Clusters, time.Since(begin).Seconds())
	return l, os.WriteFile(l.KubeconfigFile(), []byte(Kubeconfigs(l.Clusters)), 0o600)
}

// KubeconfigFile has one context per cluster.
func (l *Lab) KubeconfigFile() string { return filepath.Join(l.Dir, "kubeconfig") }

// claim makes this process the only one with a lab: the addresses are the same in every lab.
func claim() (*os.File, error) {
	f, err := os.OpenFile("/run/hanse-lab.lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("this machine has clusters already: %w; end them with `make kube-down`, or wait for the tests that use them", err)
	}
	return f, nil
}

// clear removes what an earlier lab left: folders, and cgroups and cables if it was killed.
func clear(dir string) error {
	for i := range MaxClusters {
		name := fmt.Sprintf("%sc%d", cgroupPrefix, i+1)
		thaw(name)
		removeCgroups(name)
		unwire(i + 1)
	}
	removeCgroups(cgroupPrefix + FederationSite)
	unwire(federationIndex)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.MkdirAll(dir, 0o755)
}

// images writes the archives that the clusters need.
func (l *Lab) images(o Options) ([]string, error) {
	images, err := image.Lab(l.Binaries)
	if err != nil {
		return nil, err
	}
	if o.Hanse != "" {
		hanse, err := image.Hanse(HanseImage, o.Hanse, o.Envoy)
		if err != nil {
			return nil, err
		}
		images = append(images, hanse)
	}
	cache, err := binaries.Cache()
	if err != nil {
		return nil, err
	}
	return image.Store(filepath.Join(cache, "images"), images)
}

// Refresh gives the clusters the image of a Hanse that was built anew. Pods that are made from now on run it.
func (l *Lab) Refresh(ctx context.Context, o Options) error {
	archives, err := l.images(o)
	if err != nil {
		return err
	}
	all, running := errgroup.WithContext(ctx)
	for _, c := range l.Clusters {
		// Hanse's image is the last one; the others stay what they are.
		all.Go(func() error { return c.importImages(running, archives[len(archives)-1:]) })
	}
	return all.Wait()
}

// raise starts everything at once: first all namespaces and cables, one after another, then what runs in them.
func (l *Lab) raise(ctx context.Context, o Options, archives []string) error {
	l.WAN = wan.NewSwitch()
	for i := range o.Clusters {
		name := fmt.Sprintf("c%d", i+1)
		c := &Cluster{Name: name, Region: fmt.Sprintf("r%d", i+1), dir: filepath.Join(o.Dir, name), Addresses: addressesOf(i + 1)}
		l.Clusters = append(l.Clusters, c)
		var err error
		if c.sandbox, err = newSandbox(ctx, name, c.dir); err != nil {
			return err
		}
		if err := wire(ctx, c.sandbox, l.WAN, c.Addresses); err != nil {
			return err
		}
		if err := routeServices(ctx, c.sandbox, c.Addresses); err != nil {
			return err
		}
	}
	mode := o.ProxyMode
	if mode == "" {
		mode = "nftables"
	}
	parts, running := errgroup.WithContext(ctx)
	for _, c := range l.Clusters {
		parts.Go(func() error {
			if err := c.up(running, l.Binaries, archives, mode); err != nil {
				return fmt.Errorf("cluster %s: %w", c.Name, err)
			}
			return c.balance(running)
		})
	}
	if o.Hanse != "" {
		parts.Go(func() error {
			var err error
			l.Federation, err = newFederation(running, filepath.Join(o.Dir, FederationSite), o.Hanse, l.WAN)
			return err
		})
	}
	return parts.Wait()
}

// Down ends every process and removes what they left outside of the lab's folder. It may be called more than once.
func (l *Lab) Down() error {
	for _, c := range l.Clusters {
		c.down()
	}
	if l.Federation != nil {
		l.Federation.close()
	}
	if l.WAN != nil {
		l.WAN.Close()
	}
	var err error
	if l.lock != nil {
		err = l.lock.Close()
	}
	l.Clusters, l.Federation, l.WAN, l.lock = nil, nil, nil, nil
	if err != nil {
		return errors.Join(errors.New("release the lab's lock"), err)
	}
	return nil
}
