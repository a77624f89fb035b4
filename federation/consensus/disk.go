package consensus

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/metrics"

	"github.com/hanse-mesh/hanse/internal/atomicfile"
)

// logStore is what raft needs of the disk, besides snapshots.
type logStore interface {
	raft.LogStore
	raft.StableStore
}

// disk is the node's data directory: who it belongs to, a lock, the log and the snapshots.
type disk struct {
	lock      *os.File
	meta      *metadb.BoltMetaDB
	wal       *wal.WAL
	store     *store
	snapshots *raft.FileSnapshotStore
}

func openDisk(cfg *Config, logger raftLogger, fail func(error)) (d *disk, err error) {
	logDir := filepath.Join(cfg.Dir, "wal")
	if err := os.MkdirAll(logDir, 0o700); err != nil {
		return nil, err
	}
	d = &disk{meta: &metadb.BoltMetaDB{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	if d.lock, err = lockDir(cfg.Dir); err != nil {
		return d, err
	}
	if err := claim(cfg.Dir, identity{Name: cfg.Name, Federation: cfg.Federation}); err != nil {
		return d, err
	}
	if err := repair(logDir, d.meta); err != nil {
		return d, fmt.Errorf("log: %w", err)
	}
	d.wal, err = wal.Open(logDir, wal.WithMetaStore(d.meta), wal.WithLogger(logger), wal.WithSegmentSize(cfg.segmentSize),
		wal.WithMetricsCollector(metrics.NewAtomicCollector(wal.MetricDefinitions)))
	if err != nil {
		return d, fmt.Errorf("log: %w", err)
	}
	var under logStore = d.wal
	if cfg.wrapStore != nil {
		under = cfg.wrapStore(under)
	}
	d.store = &store{logStore: under, fail: fail, released: make(chan struct{})}
	if d.snapshots, err = raft.NewFileSnapshotStoreWithLogger(cfg.Dir, 2, logger); err != nil {
		return d, fmt.Errorf("snapshots: %w", err)
	}
	return d, nil
}

func (d *disk) close() error {
	var errs []error
	if d.wal != nil {
		errs = append(errs, d.wal.Close())
	}
	errs = append(errs, d.meta.Close())
	if d.lock != nil {
		errs = append(errs, d.lock.Close())
	}
	return errors.Join(errs...)
}

// lockDir keeps a second process out; the lock ends with the file.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another process uses the data directory: stop it, or give this node its own (%w)", err), f.Close())
	}
	return f, nil
}

// identity is whose data directory it is.
type identity struct {
	Name       string `json:"name"`
	Federation string `json:"federation"`
}

// claim marks the directory as the node's, or refuses one that is another's: a log under a wrong name would vote twice.
func claim(dir string, self identity) error {
	path := filepath.Join(dir, "node.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		data, err := json.Marshal(self)
		if err != nil {
			return err
		}
		return atomicfile.Write(path, append(data, '\n'), 0o600)
	}
	if err != nil {
		return err
	}
	var owner identity
	if err := json.Unmarshal(data, &owner); err != nil {
		return fmt.Errorf("node.json is not readable: %w", err)
	}
	if owner != self {
		return fmt.Errorf("the data directory belongs to node %s of federation %s, not to node %s of %s: give this node its own", owner.Name, owner.Federation, self.Name, self.Federation)
	}
	return nil
}

// store stands between raft and its log. After the first failed write it refuses all others: what is on the disk is not known until
// the log is opened anew, and a follower that cannot write would be no use and never say so.
type store struct {
	logStore
	fail     func(error)
	failed   atomic.Bool
	running  atomic.Bool
	released chan struct{}
}

var errFailed = errors.New("the log has failed before")

// IsMonotonic tells raft that the log has no gaps.
func (s *store) IsMonotonic() bool { return true }

// StoreLog appends an entry.
func (s *store) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs appends entries and returns when they are on the disk.
func (s *store) StoreLogs(logs []*raft.Log) error {
	return s.write(func() error { return s.logStore.StoreLogs(logs) })
}

// DeleteRange cuts a beginning or an end off the log.
func (s *store) DeleteRange(first, last uint64) error {
	return s.write(func() error { return s.logStore.DeleteRange(first, last) })
}

// Set keeps a value of raft's own.
func (s *store) Set(key, value []byte) error {
	return s.hold(s.write(func() error { return s.logStore.Set(key, value) }))
}

// SetUint64 keeps a number of raft's own.
func (s *store) SetUint64(key []byte, value uint64) error {
	return s.hold(s.write(func() error { return s.logStore.SetUint64(key, value) }))
}

func (s *store) write(do func() error) error {
	if s.failed.Load() {
		return errFailed
	}
	err := do()
	if err != nil {
		s.failed.Store(true)
		s.fail(fmt.Errorf("the disk takes no more of the log: free space or mend it, then start this node again: %w", err))
	}
	return err
}

// hold keeps raft from going on without a term or vote on the disk, which it would meet with a panic, until the node is cut off from
// the others.
func (s *store) hold(err error) error {
	if err == nil || !s.running.Load() {
		return err
	}
	<-s.released
	return nil
}

func (s *store) release() { close(s.released) }
