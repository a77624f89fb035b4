package consensus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/fs"
)

// store stands between raft and its log. After the first failed write it refuses all others: what is on the disk is not known until
// the log is opened anew, and a follower that cannot write would be no use and never say so.
type store struct {
	logStore
	mark *mark
	fail func(error)
	// next tries whether there is room for another segment.
	next     func() error
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
	if len(logs) == 0 {
		return nil
	}
	return s.write(func() error {
		if err := s.logStore.StoreLogs(logs); err != nil {
			return s.explain(err)
		}
		return s.mark.raise(logs[len(logs)-1].Index)
	})
}

// DeleteRange cuts a beginning or an end off the log.
func (s *store) DeleteRange(first, last uint64) error {
	return s.write(func() error {
		held, err := s.logStore.LastIndex()
		if err != nil {
			return err
		}
		if last >= held {
			if err := s.lowerMark(first); err != nil {
				return err
			}
		}
		return s.logStore.DeleteRange(first, last)
	})
}

// lowerMark prepares the mark for a log that loses its end from the entry on, or all of it.
func (s *store) lowerMark(from uint64) error {
	first, err := s.logStore.FirstIndex()
	if err != nil {
		return err
	}
	if from <= first {
		return s.mark.lower(0)
	}
	return s.mark.lower(from - 1)
}

// Set keeps a value of raft's own.
func (s *store) Set(key, value []byte) error {
	return s.hold(s.write(func() error { return s.logStore.Set(key, value) }))
}

// SetUint64 keeps a number of raft's own.
func (s *store) SetUint64(key []byte, value uint64) error {
	return s.hold(s.write(func() error { return s.logStore.SetUint64(key, value) }))
}

// explain finds out why the log takes no more when its library says only that the last segment is closed: it could not make a new one
// after the entry before, and has told nobody.
func (s *store) explain(err error) error {
	if !errors.Is(err, wal.ErrSealed) {
		return err
	}
	if why := s.next(); why != nil {
		return fmt.Errorf("no new segment: %w", why)
	}
	return fmt.Errorf("no new segment could be made, though there is room for one now: %w", err)
}

// tryNextSegment makes a file as the log's library makes a segment, and removes it.
func tryNextSegment(dir string, size int) error {
	if size == 0 {
		size = wal.DefaultSegmentSize
	}
	const name = "next.tmp"
	remove := func() error {
		if err := os.Remove(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := remove(); err != nil {
		return err
	}
	f, err := fs.New().Create(dir, name, uint64(size))
	if err == nil {
		err = f.Close()
	}
	return errors.Join(err, remove())
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
