package lab

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

//go:embed files/node.sh
var nodeScript []byte

// sandbox is a set of namespaces with a folder of its own. All its processes end with the first one, which ends with this process.
type sandbox struct {
	name, dir string
	cmd       *exec.Cmd
	done      chan struct{}

	mu    sync.Mutex
	lines io.WriteCloser
}

// namespaces are what a node does not share with the machine. Its cgroups are the script's work.
const namespaces = syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC

// cgroupPrefix begins the names of the nodes' cgroups.
const cgroupPrefix = "hanse-lab-"

// newSandbox starts the namespaces; dir is made anew.
func newSandbox(ctx context.Context, name, dir string) (*sandbox, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	script := filepath.Join(dir, "node.sh")
	if err := os.WriteFile(script, nodeScript, 0o755); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "node.log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	s := &sandbox{name: name, dir: dir, done: make(chan struct{})}
	s.cmd = exec.Command("bash", script, cgroupPrefix+name, dir)
	s.cmd.Stderr = log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if s.lines, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	said, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := startTied(s.cmd); err != nil {
		return nil, fmt.Errorf("start the namespaces of %s: %w", name, err)
	}
	if err := s.awaitReady(ctx, said); err != nil {
		s.close()
		text, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("the namespaces of %s: %w\n%s", name, err, text)
	}
	return s, nil
}

// awaitReady waits for the script's word, and from then on for its end.
func (s *sandbox) awaitReady(ctx context.Context, said io.Reader) error {
	ready := make(chan error, 1)
	go func() {
		r := bufio.NewReader(said)
		line, err := r.ReadString('\n')
		if err == nil && line != "ready\n" {
			err = fmt.Errorf("the script says %q", line)
		}
		ready <- err
		_, _ = io.Copy(io.Discard, r)
		_ = s.cmd.Wait()
		close(s.done)
	}()
	select {
	case err := <-ready:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(10 * time.Second):
		return errors.New("not ready within 10 s")
	}
}

// startTied starts a command from a thread that lives as long as this process: the kernel ties a child with Pdeathsig to the thread.
func startTied(cmd *exec.Cmd) error {
	tied.once.Do(func() {
		tied.start = make(chan func())
		go func() {
			runtime.LockOSThread()
			for f := range tied.start {
				f()
			}
		}()
	})
	result := make(chan error, 1)
	tied.start <- func() { result <- cmd.Start() }
	return <-result
}

var tied struct {
	once  sync.Once
	start chan func()
}

// pid is the first process's, as the machine sees it.
func (s *sandbox) pid() string { return strconv.Itoa(s.cmd.Process.Pid) }

// tell gives the first process a line of bash to run.
func (s *sandbox) tell(line string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := io.WriteString(s.lines, line+"\n")
	return err
}

// start runs a program in the background, with its output in log/NAME.log and its process id, as the node sees it, in pid/NAME.
func (s *sandbox) start(name string, argv ...string) error {
	quoted := make([]string, len(argv))
	for i, a := range argv {
		quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	return s.tell(fmt.Sprintf("(exec %s) >>%s/log/%s.log 2>&1 </dev/null & echo $! >%s/pid/%s", strings.Join(quoted, " "), s.dir, name, s.dir, name))
}

// signal sends a signal to a program that start started.
func (s *sandbox) signal(name, signal string) error {
	return s.tell(fmt.Sprintf("kill -%s $(cat %s/pid/%s)", signal, s.dir, name))
}

// command is a program to run in the sandbox, and to wait for.
func (s *sandbox) command(ctx context.Context, argv ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"-t", s.pid(), "-m", "-n", "-p", "-u", "-i", "-C", "--"}, argv...)...)
}

// run runs a script in the sandbox and returns its output.
func (s *sandbox) run(ctx context.Context, script string) (string, error) {
	out, err := s.command(ctx, "bash", "-euc", script).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("in %s: %w: %s\n%s", s.name, err, out, script)
	}
	return string(out), nil
}

// close ends every process of the sandbox and removes its cgroups.
func (s *sandbox) close() {
	_ = s.lines.Close()
	_ = s.cmd.Process.Kill()
	thaw(s.cgroup())
	<-s.done
	removeCgroups(s.cgroup())
}

// removeCgroups removes a node's cgroups, deepest first. The kernel may need a moment until the last process is out.
func removeCgroups(name string) {
	for range 50 {
		roots, _ := filepath.Glob("/sys/fs/cgroup/*/" + name)
		if _, err := os.Stat("/sys/fs/cgroup/" + name); err == nil {
			roots = append(roots, "/sys/fs/cgroup/"+name)
		}
		if len(roots) == 0 {
			return
		}
		for _, root := range roots {
			removeTree(root)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// removeTree removes folders alone: a cgroup's files go with it.
func removeTree(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			removeTree(filepath.Join(dir, e.Name()))
		}
	}
	_ = syscall.Rmdir(dir)
}
