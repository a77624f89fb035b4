package lab

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// Freeze stops every process of the cluster at once, its pods' included, as a machine does that hangs: its kernel still takes what arrives,
// and nobody answers.
func (c *Cluster) Freeze(ctx context.Context) error { return freeze(ctx, c.sandbox.cgroup(), true) }

// Thaw lets the processes of a frozen cluster go on. It does nothing to one that is not frozen.
func (c *Cluster) Thaw(ctx context.Context) error { return freeze(ctx, c.sandbox.cgroup(), false) }

// cgroup is the name of the sandbox's.
func (s *sandbox) cgroup() string { return cgroupPrefix + s.name }

// freeze stops the processes of a cgroup, or lets them go on, and waits until it is so.
func freeze(ctx context.Context, name string, frozen bool) error {
	file, value, read, want := "/sys/fs/cgroup/"+name+"/cgroup.freeze", "0", "/sys/fs/cgroup/"+name+"/cgroup.events", "frozen 0"
	if frozen {
		value, want = "1", "frozen 1"
	}
	if _, err := os.Stat(file); err != nil { // v1: a hierarchy of its own
		file, value = "/sys/fs/cgroup/freezer/"+name+"/freezer.state", "THAWED"
		if frozen {
			value = "FROZEN"
		}
		read, want = file, value
	}
	if err := os.WriteFile(file, []byte(value), 0o644); err != nil {
		return fmt.Errorf("freeze or thaw %s: %w", name, err)
	}
	return Eventually(ctx, 10*time.Second, func(context.Context) error {
		state, err := os.ReadFile(read)
		if err == nil && !strings.Contains(string(state), want) {
			err = fmt.Errorf("%s says %q, want %q", read, state, want)
		}
		return err
	})
}

// thaw lets processes go on that are to be killed: a frozen one does not die.
func thaw(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = freeze(ctx, name, false)
}
