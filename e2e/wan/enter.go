// Package wan owns a wide-area network in one machine: a network namespace per region, and between them a switch in user space that
// delays, loses and cuts what travels from one region to another. It needs no root: it lives in a user namespace.
package wan

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideVariable marks the process that Enter started.
const insideVariable = "HANSE_WAN_INSIDE"

// Inside reports whether this process runs in namespaces that Enter made.
func Inside() bool { return os.Getenv(insideVariable) != "" }

// Enter runs this program once more, with the same arguments and the variables env beside its own, in new namespaces for network,
// processes and mounts, and for users too unless it is root with all rights. It returns the exit code. The program's second self is the
// first process of its namespace: when it ends, or when ctx or this process does, the kernel ends all processes below it, and with them
// go the networks.
func Enter(ctx context.Context, env ...string) (int, error) {
	// The kernel ties the second self to the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	users := []bool{true}
	if os.Geteuid() == 0 {
		users = []bool{false, true}
	}
	var err error
	for _, user := range users {
		cmd := again(ctx, user, env)
		if err = cmd.Start(); err != nil {
			continue
		}
		err = cmd.Wait()
		var exit *exec.ExitError
		if errors.As(err, &exit) || err == nil {
			return cmd.ProcessState.ExitCode(), ctx.Err()
		}
		return 1, err
	}
	return 1, refused(err)
}

func again(ctx context.Context, user bool, env []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(append(os.Environ(), insideVariable+"=1"), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// A group of its own: Ctrl-C goes to this process alone, which then ends the other.
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Setpgid: true, Pdeathsig: syscall.SIGKILL,
	}
	if user {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return cmd
}

// refused says what to do about a kernel that gives no namespaces.
func refused(err error) error {
	return fmt.Errorf(`this machine refuses new namespaces: %w; allow user namespaces to ordinary users:
  sysctl -w user.max_user_namespaces=10000
  sysctl -w kernel.unprivileged_userns_clone=1                   # older Debian
  sysctl -w kernel.apparmor_restrict_unprivileged_userns=0       # Ubuntu from 23.10 on, or an AppArmor profile that allows userns
or, in a container, start it with --privileged (seccomp and masked /proc stand in the way), or run as root`, err)
}

// settled makes /proc show the processes of this namespace, once.
var settled = sync.OnceValue(settle)

func settle() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return refused(fmt.Errorf("make mounts private: %w", err))
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return refused(fmt.Errorf("mount /proc: %w", err))
	}
	return nil
}
