//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/rest"
)

const (
	// smallDisk has room for the first segment of the log, which is 64 MiB, and not for a second one; largeDisk has room for several.
	smallDisk = "size=100m"
	largeDisk = "size=400m"
	// bigPolicy is how many bytes a policy has that fills the log: near the most that the state takes.
	bigPolicy = 200 << 10
)

// TestFullDisk lets the disk of one node run full under writes: it must end and name the disk, the others must go on, and with space
// again it must come back with all that was acknowledged.
func TestFullDisk(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	// The first node leads the federation that it founds, unless it is too slow.
	f := newFederation(t, ctx, 3, func(i int, n *node) {
		if i == 0 {
			mountDisk(t, n.dir)
		}
	})
	victim := f.nodes[0]
	acknowledged := fillLog(t, ctx, f, victim)

	if victim.proc.err == nil {
		t.Error("the node with the full disk ended as if all were well")
	}
	for _, text := range []string{"no space left on device", "the disk takes no more of the log", "free space"} {
		if !victim.proc.said(t, text) {
			t.Errorf("it does not say %q:\n%s", text, victim.proc.tail())
		}
	}

	if err := syscall.Mount("", victim.dir, "", syscall.MS_REMOUNT, largeDisk); err != nil {
		t.Fatalf("enlarge the disk: %v", err)
	}
	f.start(victim)
	f.waitReady(ctx, victim)
	index, err := writeBig(ctx, victim, "after", 0)
	if err != nil {
		t.Fatal(err)
	}
	f.waitIndex(ctx, victim, index)
	checkBig(t, ctx, f, acknowledged)
}

// mountDisk mounts a small disk, or skips the test and says why.
func mountDisk(t *testing.T, dir string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("a small disk is mounted: this needs root")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, smallDisk+",mode=0700"); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
}

// fillLog writes big policies through the other nodes until the victim has ended and each writer has written on, and returns the last
// acknowledged value of each name.
func fillLog(t *testing.T, ctx context.Context, f *federation, victim *node) map[string]int {
	t.Helper()
	var mu sync.Mutex
	acknowledged := map[string]int{}
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			name := fmt.Sprintf("big-%d", w)
			for i, after := 0, 0; after < 5; i++ {
				if i > 500 {
					t.Error("the disk does not run full")
					return
				}
				if !victim.running() {
					after++
				}
				if _, err := writeBig(ctx, f.nodes[1+w%2], name, i); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acknowledged[name] = i
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if victim.running() {
		t.FailNow()
	}
	return acknowledged
}

// writeBig writes value i of a name through a node until it is acknowledged, and returns the index.
func writeBig(ctx context.Context, n *node, name string, i int) (index uint64, err error) {
	for range 100 {
		var r reply
		r, err = n.api.do(ctx, http.MethodPut, policyPath+name, rest.FailoverPolicy{Spec: bigSpec(i)})
		if err == nil && r.status == http.StatusOK {
			return r.index, nil
		}
		if err == nil {
			err = fmt.Errorf("status %d: %.300s", r.status, r.body)
		}
		sleep(ctx, 200*time.Millisecond)
	}
	return 0, fmt.Errorf("%s does not take value %d of %s: %w", n.name, i, name, err)
}

func bigSpec(i int) policy.FailoverPolicySpec {
	spec := policy.FailoverPolicySpec{Failover: []policy.RegionOrder{{From: "a", To: []string{fmt.Sprintf("v%d", i)}}}}
	service := strings.Repeat("s", 60)
	for range bigPolicy / (len(service) + len(`"",`)) {
		spec.Services = append(spec.Services, service)
	}
	return spec
}

// checkBig reads what was acknowledged from every node's own replica.
func checkBig(t *testing.T, ctx context.Context, f *federation, acknowledged map[string]int) {
	t.Helper()
	for _, n := range f.nodes {
		var held map[string]string
		f.eventually(ctx, 10*time.Second, n.name+" answers", func() (err error) {
			held, err = heldPolicies(ctx, n.api)
			return err
		})
		for name, i := range acknowledged {
			if want := fmt.Sprintf("v%d", i); held[name] != want {
				t.Errorf("%s holds %q for %s, but %q was acknowledged", n.name, held[name], name, want)
			}
		}
		if len(held) != len(acknowledged)+1 {
			t.Errorf("%s holds %d policies", n.name, len(held))
		}
	}
}
