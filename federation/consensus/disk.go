package consensus

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	mark      *mark
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
	if d.snapshots, err = raft.NewFileSnapshotStoreWithLogger(cfg.Dir, 2, logger); err != nil {
		return d, fmt.Errorf("snapshots: %w", err)
	}
	if d.mark, err = openMark(cfg.Dir); err != nil {
		return d, err
	}
	next := func() error { return tryNextSegment(logDir, cfg.segmentSize) }
	d.store = &store{logStore: under, mark: d.mark, fail: fail, next: next, released: make(chan struct{})}
	return d, d.checkMark(cfg.Dir, logger)
}

func (d *disk) close() error {
	var errs []error
	if d.wal != nil {
		errs = append(errs, d.wal.Close())
	}
	errs = append(errs, d.meta.Close())
	if d.mark != nil {
		errs = append(errs, d.mark.file.Close())
	}
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
