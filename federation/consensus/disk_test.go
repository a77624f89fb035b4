package consensus

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/types"
)

// A crash in the middle of a write leaves anything behind the last complete one.
func TestATornTailLosesNothingCommitted(t *testing.T) {
	for name, tail := range map[string][]byte{
		"no frame":        bytes.Repeat([]byte{0xff}, 100),
		"half an entry":   append([]byte{1, 0, 0, 0, 0, 4, 0, 0}, "half"...),
		"a wrong commit":  {3, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef},
		"a short garbage": {7},
	} {
		t.Run(name, func(t *testing.T) {
			m := start(t, config(t, "n1"))
			for i := range 20 {
				propose(t, []*member{m}, rule(fmt.Sprintf("r%d", i)))
			}
			if err := m.end(); err != nil {
				t.Fatal(err)
			}
			tear(t, m.cfg.Dir, tail)
			m = m.restart()
			for i := range 20 {
				m.awaitRule(fmt.Sprintf("r%d", i))
			}
			propose(t, []*member{m}, rule("after"))
			m = m.restart()
			m.awaitRule("after")
		})
	}
}

// tear writes tail right behind the last thing written to the newest segment; the rest of the file is zeros.
func tear(t *testing.T, dir string, tail []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no segments: %v", err)
	}
	newest := slices.Max(files)
	data, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	end := len(bytes.TrimRight(data, "\x00"))
	// Frames begin at multiples of eight.
	end = (end + 7) / 8 * 8
	if end+len(tail) > len(data) {
		t.Fatal("the segment has no room")
	}
	copy(data[end:], tail)
	if err := os.WriteFile(newest, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// brokenStore fails all writes once it is told to.
type brokenStore struct {
	logStore
	full chan struct{}
}

func (b *brokenStore) err() error {
	select {
	case <-b.full:
		return syscall.ENOSPC
	default:
		return nil
	}
}

func (b *brokenStore) StoreLogs(l []*raft.Log) error {
	if err := b.err(); err != nil {
		return err
	}
	return b.logStore.StoreLogs(l)
}

func (b *brokenStore) SetUint64(k []byte, v uint64) error {
	if err := b.err(); err != nil {
		return err
	}
	return b.logStore.SetUint64(k, v)
}

func TestALeaderWithAFullDiskStops(t *testing.T) {
	broken := &brokenStore{full: make(chan struct{})}
	cfg := config(t, "n1")
	cfg.wrapStore = func(s logStore) logStore { broken.logStore = s; return broken }
	m := start(t, cfg)
	propose(t, []*member{m}, rule("before"))
	close(broken.full)
	if _, err := m.Propose(bounded(t), rule("after")); !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("a write to a full disk: %v", err)
	}
	stopsByItself(t, m, syscall.ENOSPC)

	m.cfg.wrapStore = nil
	m.cfg.Listener = listen(t, m.cfg.Address)
	back := open(t, m.cfg)
	back.awaitRule("before")
	propose(t, []*member{back}, rule("again"))
}

// Raft itself would hide the failure of a follower's log, and panic when it cannot write its term.
func TestAFollowerWithAFullDiskStops(t *testing.T) {
	broken := &brokenStore{full: make(chan struct{})}
	group := trio(t, func(c *Config) {
		if c.Name == "n3" {
			c.wrapStore = func(s logStore) logStore { broken.logStore = s; return broken }
		}
	})
	propose(t, group, rule("before"))
	close(broken.full)
	propose(t, group[:2], rule("after"))
	stopsByItself(t, group[2], syscall.ENOSPC)
	group[1].awaitRule("after")
}

func TestANodeThatCannotWriteItsTermStops(t *testing.T) {
	broken := &brokenStore{full: make(chan struct{})}
	group := trio(t, func(c *Config) {
		if c.Name == "n3" {
			c.wrapStore = func(s logStore) logStore { broken.logStore = s; return broken }
		}
	})
	propose(t, group, rule("before"))
	group[2].awaitRule("before")
	close(broken.full)
	// Without a leader the node asks for votes, and its term grows: either when it is a candidate or when it gives its vote.
	if err := group[0].end(); err != nil {
		t.Fatal(err)
	}
	stopsByItself(t, group[2], syscall.ENOSPC)
}

func stopsByItself(t *testing.T, m *member, want error) {
	t.Helper()
	select {
	case err := <-m.done:
		m.done <- nil
		if !errors.Is(err, want) || !strings.Contains(err.Error(), "free space") {
			t.Errorf("the node stopped with %v", err)
		}
	case <-bounded(t).Done():
		t.Fatal("the node goes on with a broken disk")
	}
}

func TestAnEntryOfANewerBuildStopsTheNode(t *testing.T) {
	m := start(t, config(t, "n1"))
	index := m.View().Index
	// Version 99 of the command schema, at the epoch.
	future := m.raft.Apply([]byte{0x08, 99, 0x12, 0}, 0)
	if err := future.Error(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-m.done:
		m.done <- nil
		if err == nil || !strings.Contains(err.Error(), "upgrade this node") {
			t.Errorf("the node stopped with %v", err)
		}
	case <-bounded(t).Done():
		t.Fatal("the node goes on")
	}
	if m.View().Index != index {
		t.Error("the entry has moved the state")
	}
}

// logOf opens a bare log with small segments, appends entries 1 to n and returns it.
func logOf(t *testing.T, dir string, meta types.MetaStore, n int) *wal.WAL {
	t.Helper()
	w, err := wal.Open(dir, wal.WithMetaStore(meta), wal.WithSegmentSize(4096), wal.WithLogger(newLogger(config(t, "n1").Logger, wallClock{}.Now)))
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= n; i++ {
		if err := w.StoreLog(entry(i)); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func entry(i int) *raft.Log {
	return &raft.Log{Index: uint64(i), Term: 1, Data: fmt.Appendf(nil, "entry %d %s", i, strings.Repeat("x", 100))}
}

// reopened repairs the log and checks that it holds entries 1 to n and takes more.
func reopened(t *testing.T, dir string, n int) {
	t.Helper()
	meta := &metadb.BoltMetaDB{}
	defer func() { _ = meta.Close() }()
	if err := repair(dir, meta); err != nil {
		t.Fatal(err)
	}
	w := logOf(t, dir, meta, 0)
	defer func() { _ = w.Close() }()
	if last, err := w.LastIndex(); err != nil || last != uint64(n) {
		t.Fatalf("the log ends at %d, not at %d: %v", last, n, err)
	}
	for i := n + 1; i <= n+100; i++ {
		if err := w.StoreLog(entry(i)); err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
	}
	for i := 1; i <= n+100; i++ {
		var got raft.Log
		if err := w.GetLog(uint64(i), &got); err != nil || !bytes.Equal(got.Data, entry(i).Data) {
			t.Fatalf("entry %d is %q, %v", i, got.Data, err)
		}
	}
}

func closeLog(t *testing.T, w *wal.WAL, meta types.MetaStore) {
	t.Helper()
	if err := errors.Join(w.Close(), meta.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestALogWithItsEndCutOffIsReadAgain(t *testing.T) {
	for _, keep := range []int{9, 10, 70, 71, 72, 99} {
		t.Run(fmt.Sprint(keep), func(t *testing.T) {
			dir, meta := t.TempDir(), &metadb.BoltMetaDB{}
			w := logOf(t, dir, meta, 100)
			if err := w.DeleteRange(uint64(keep)+1, 100); err != nil {
				t.Fatal(err)
			}
			closeLog(t, w, meta)
			reopened(t, dir, keep)
			reopened(t, dir, keep+100)
		})
	}
}

// forgetful is a note store that crashes: it takes no more notes.
type forgetful struct {
	types.MetaStore
	crashed bool
}

func (f *forgetful) CommitState(s types.PersistentState) error {
	if f.crashed {
		return syscall.EIO
	}
	return f.MetaStore.CommitState(s)
}

func TestACrashBetweenFillingAndNotingASegment(t *testing.T) {
	dir, meta := t.TempDir(), &forgetful{MetaStore: &metadb.BoltMetaDB{}}
	w := logOf(t, dir, meta, 1)
	meta.crashed = true
	n := 1
	for w.StoreLog(entry(n+1)) == nil {
		if n++; n > 1000 {
			t.Fatal("the segment never fills")
		}
	}
	closeLog(t, w, meta)
	reopened(t, dir, n)
}

func TestADamagedListOfSegmentsIsAnError(t *testing.T) {
	dir, meta := t.TempDir(), &metadb.BoltMetaDB{}
	closeLog(t, logOf(t, dir, meta, 10), meta)
	for name, content := range map[string][]byte{"empty": nil, "noise": bytes.Repeat([]byte{0xa5}, 32<<10)} {
		if err := os.WriteFile(filepath.Join(dir, metadb.FileName), content, 0o600); err != nil {
			t.Fatal(err)
		}
		damaged := &metadb.BoltMetaDB{}
		if err := repair(dir, damaged); err == nil {
			t.Errorf("%s: the log was taken for whole", name)
		}
		if err := damaged.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnEmptyLogNeedsNoRepair(t *testing.T) {
	dir, meta := t.TempDir(), &metadb.BoltMetaDB{}
	if err := repair(dir, meta); err != nil {
		t.Fatal(err)
	}
	closeLog(t, logOf(t, dir, meta, 0), meta)
	reopened(t, dir, 0)
}
