package consensus

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	"pgregory.net/rapid"
)

// stopped is a node with twenty acknowledged rules that does not run.
func stopped(t *testing.T) *member {
	t.Helper()
	m := start(t, config(t, "n1"))
	for i := range 20 {
		propose(t, []*member{m}, rule(fmt.Sprintf("r%d", i)))
	}
	if err := m.end(); err != nil {
		t.Fatal(err)
	}
	return m
}

// again opens the node anew.
func (m *member) again() (*Node, error) {
	m.t.Helper()
	m.cfg.Listener = listen(m.t, m.cfg.Address)
	return Open(m.cfg)
}

func refused(t *testing.T, m *member, says ...string) {
	t.Helper()
	n, err := m.again()
	if err == nil {
		open := &member{Node: n, t: t, done: make(chan error, 1)}
		open.done <- n.raft.Shutdown().Error()
		t.Fatal("the node starts as if nothing had happened")
	}
	_ = m.cfg.Listener.Close()
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("it says %v, and not %q", err, text)
		}
	}
}

func newestSegment(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no segments: %v", err)
	}
	return slices.Max(files)
}

func TestALogThatWasOverwrittenIsNotTakenForWhole(t *testing.T) {
	for name, fill := range map[string]byte{"zeros": 0, "noise": 0xa5} {
		t.Run(name, func(t *testing.T) {
			m := stopped(t)
			path := newestSegment(t, m.cfg.Dir)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			used := len(bytes.TrimRight(data, "\x00"))
			copy(data[used/2:used], bytes.Repeat([]byte{fill}, used-used/2))
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			refused(t, m, "acknowledged entry", "another name", markFile)

			// Whoever has no other node decides to go on with the rest.
			if err := os.Remove(filepath.Join(m.cfg.Dir, markFile)); err != nil {
				t.Fatal(err)
			}
			m.cfg.Listener = listen(t, m.cfg.Address)
			m = open(t, m.cfg)
			m.awaitRule("r0")
			propose(t, []*member{m}, rule("after"))
			m.restart().awaitRule("after")
		})
	}
}

func TestALogThatIsGoneIsNotTakenForANewOne(t *testing.T) {
	t.Run("its list of segments", func(t *testing.T) {
		m := stopped(t)
		if err := os.Remove(filepath.Join(m.cfg.Dir, "wal", metadb.FileName)); err != nil {
			t.Fatal(err)
		}
		refused(t, m, metadb.FileName, "another name")
		if _, err := os.Stat(newestSegment(t, m.cfg.Dir)); err != nil {
			t.Errorf("the refusal has removed what is left: %v", err)
		}
	})
	t.Run("all of it", func(t *testing.T) {
		m := stopped(t)
		if err := os.RemoveAll(filepath.Join(m.cfg.Dir, "wal")); err != nil {
			t.Fatal(err)
		}
		refused(t, m, "ends at entry 0", "another name")
	})
}

func TestADamagedMarkAccusesNobody(t *testing.T) {
	for name, content := range map[string][]byte{"cut": {1, 2, 3}, "noise": bytes.Repeat([]byte{0xa5}, markSize), "long": make([]byte, 100), "empty": nil} {
		t.Run(name, func(t *testing.T) {
			m := stopped(t)
			path := filepath.Join(m.cfg.Dir, markFile)
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			m.cfg.Listener = listen(t, m.cfg.Address)
			m = open(t, m.cfg)
			m.awaitRule("r19")
			if at, err := m.disk.mark.read(); name != "long" && (err != nil || at == 0) {
				t.Errorf("the mark is not mended: %d, %v", at, err)
			}
		})
	}
}

// power is what fails after some steps: nothing that comes later happens.
type power struct{ steps int }

func (p *power) fails() bool { p.steps--; return p.steps < 0 }

// cachedFile is a file whose writes stay in memory until Sync: a power cut keeps any number of them, from the oldest on.
type cachedFile struct {
	power   *power
	content []byte
	pending [][]byte
}

func (f *cachedFile) ReadAt(p []byte, _ int64) (int, error) {
	now := f.content
	if n := len(f.pending); n > 0 {
		now = f.pending[n-1]
	}
	return copy(p, now), io.EOF
}

func (f *cachedFile) WriteAt(p []byte, _ int64) (int, error) {
	if f.power.fails() {
		return 0, syscall.EIO
	}
	f.pending = append(f.pending, bytes.Clone(p))
	return len(p), nil
}

func (f *cachedFile) Sync() error {
	if f.power.fails() {
		return syscall.EIO
	}
	f.keep(len(f.pending))
	return nil
}

func (f *cachedFile) Close() error { return nil }

// keep brings the first n writes to the disk and forgets the others.
func (f *cachedFile) keep(n int) {
	if n > 0 {
		f.content = f.pending[n-1]
	}
	f.pending = nil
}

// syncedLog is a log that is on the disk at once, as far as it is told here.
type syncedLog struct {
	logStore
	power       *power
	first, last uint64
}

func (l *syncedLog) FirstIndex() (uint64, error) { return l.first, nil }
func (l *syncedLog) LastIndex() (uint64, error)  { return l.last, nil }

func (l *syncedLog) StoreLogs(logs []*raft.Log) error {
	if l.power.fails() {
		return syscall.EIO
	}
	if l.last == 0 {
		l.first = logs[0].Index
	}
	l.last = logs[len(logs)-1].Index
	return nil
}

func (l *syncedLog) DeleteRange(from, to uint64) error {
	if l.power.fails() {
		return syscall.EIO
	}
	switch {
	case from <= l.first && to >= l.last:
		l.first, l.last = 0, 0
	case from <= l.first:
		l.first = to + 1
	default:
		l.last = from - 1
	}
	return nil
}

// Whatever is appended and cut off, and wherever in it the power fails: the mark never names an entry that the disk lacks. While the
// power is on it names the last one.
func TestTheMarkIsNeverAheadOfTheDisk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &power{steps: rapid.IntRange(0, 60).Draw(t, "steps")}
		log, file := &syncedLog{power: p}, &cachedFile{power: p}
		s := &store{logStore: log, mark: &mark{file: file}, fail: func(error) {}}
		next := uint64(1)
		for p.steps >= 0 {
			var err error
			switch rapid.SampledFrom([]string{"append", "append", "cut the end", "cut the beginning", "cut all"}).Draw(t, "do") {
			case "append":
				n := rapid.IntRange(1, 5).Draw(t, "entries")
				err = s.StoreLogs(entries(max(next, log.last+1), n))
			case "cut the end":
				err = s.DeleteRange(rapid.Uint64Range(max(1, log.first), log.last+1).Draw(t, "from"), log.last)
			case "cut the beginning":
				err = s.DeleteRange(log.first, rapid.Uint64Range(log.first, max(log.first, log.last)).Draw(t, "to"))
			case "cut all":
				// As after a snapshot: the log goes on behind it.
				next = log.last + rapid.Uint64Range(1, 10).Draw(t, "beyond")
				err = s.DeleteRange(log.first, log.last)
			}
			if at, _ := s.mark.read(); err == nil && at > 0 && at != log.last {
				t.Fatalf("the mark is at %d, the log ends at %d", at, log.last)
			}
		}
		file.keep(rapid.IntRange(0, len(file.pending)).Draw(t, "writes that reach the disk"))
		at, err := s.mark.read()
		if err != nil || at > log.last {
			t.Fatalf("the mark names entry %d of a log that ends at %d (%v)", at, log.last, err)
		}
	})
}

func entries(first uint64, n int) []*raft.Log {
	out := make([]*raft.Log, n)
	for i := range out {
		out[i] = &raft.Log{Index: first + uint64(i)}
	}
	return out
}

// sealed is a log whose library could not begin the next segment.
type sealed struct{ logStore }

func (sealed) StoreLogs([]*raft.Log) error { return wal.ErrSealed }

func TestAClosedSegmentIsExplained(t *testing.T) {
	for name, c := range map[string]struct {
		next error
		want error
	}{
		"a full disk": {syscall.ENOSPC, syscall.ENOSPC},
		"room again":  {nil, wal.ErrSealed},
	} {
		var failed error
		s := &store{logStore: sealed{}, fail: func(err error) { failed = err }, next: func() error { return c.next }}
		if err := s.StoreLog(&raft.Log{Index: 1}); !errors.Is(err, c.want) || !errors.Is(failed, c.want) {
			t.Errorf("%s: %v, the node ends with %v", name, err, failed)
		}
	}
}

func TestTryingTheNextSegmentLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "next.tmp"), []byte("of a crash"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := tryNextSegment(dir, 1<<20); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := tryNextSegment(filepath.Join(dir, "none"), 0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}
