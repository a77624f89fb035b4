package consensus

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// joinAnew is what to do about a node whose log is lost. Its name stays taken: it may have voted.
const joinAnew = "move the data directory away and let a node of another name join in its place"

// repair finishes what the log's library can leave half done, before it opens the log:
//
//   - a crash between the write that fills a segment and the note that it is full leaves a last segment that takes no entries, for ever;
//   - cutting the end off the log, as a follower does that had entries of a lost leader, closes a segment without the index by which
//     it is read after the next start (raft-wal issue 31).
//
// In both cases all entries are there. The repaired segment is compared with them before the note is changed.
func repair(dir string, meta types.MetaStore) error {
	if err := checkList(dir); err != nil {
		return err
	}
	log, err := loadMeta(dir, meta)
	if err != nil {
		return err
	}
	filer := segment.NewFiler(dir, fs.New())
	changed := false
	for i := range log.Segments {
		s := &log.Segments[i]
		if s.IndexStart != 0 {
			continue
		}
		open := s.SealTime.IsZero()
		fixed, err := closeSegment(filer, s)
		if err != nil {
			return fmt.Errorf("segment %d cannot be repaired: %w: %s", s.ID, err, joinAnew)
		}
		if changed = changed || fixed; fixed && open {
			log.Segments = append(log.Segments, successor(*s, log.NextSegmentID))
			log.NextSegmentID++
		}
	}
	if !changed {
		return nil
	}
	return meta.CommitState(log)
}

// checkList refuses segments without their list: the log's library would begin a new log and delete them.
func checkList(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, metadb.FileName)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	segments, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil || len(segments) == 0 {
		return err
	}
	return fmt.Errorf("its list of segments, %s, is gone, and with it this node's last vote, while %d segments are there: bring it back, or %s",
		filepath.Join(dir, metadb.FileName), len(segments), joinAnew)
}

// loadMeta reads the note of the log's segments. Its library panics on a file that has the form of a database and not its content.
func loadMeta(dir string, meta types.MetaStore) (log types.PersistentState, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("its list of segments in %s is damaged (%v): %s", dir, p, joinAnew)
		}
	}()
	return meta.Load(dir)
}

// closeSegment notes where the index of a full or cut segment is, and writes one when there is none. It reports false for a segment
// that is neither.
func closeSegment(filer *segment.Filer, s *types.SegmentInfo) (bool, error) {
	open, cut := *s, !s.SealTime.IsZero()
	open.MaxIndex = 0
	if cut {
		// With no room left, the next entry makes the writer write the index.
		open.SizeLimit = 0
	}
	w, err := filer.RecoverTail(open)
	if errors.Is(err, os.ErrNotExist) && !cut {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = w.Close() }()
	full, at, err := w.Sealed()
	if err != nil || !full && !cut {
		return false, err
	}
	if w.LastIndex() < s.MinIndex {
		return false, errors.New("it is closed but has no entries")
	}
	next := *s
	if !cut {
		next.SealTime, next.MaxIndex = s.CreateTime, w.LastIndex()
	}
	if !full {
		// The entry lies beyond MaxIndex: nobody sees it.
		if err := w.Append([]types.LogEntry{{Index: w.LastIndex() + 1}}); err != nil {
			return false, err
		}
		if _, at, err = w.Sealed(); err != nil {
			return false, err
		}
	}
	next.IndexStart = at
	if err := compare(filer, next, w); err != nil {
		return false, err
	}
	*s = next
	return true, nil
}

// compare reads the segment by its index and entry by entry: both must agree.
func compare(filer *segment.Filer, s types.SegmentInfo, entries types.SegmentReader) error {
	r, err := filer.Open(s)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	for i := s.MinIndex; i <= s.MaxIndex; i++ {
		a, err := r.GetLog(i)
		if err != nil {
			return err
		}
		b, err := entries.GetLog(i)
		if err != nil {
			return err
		}
		equal := bytes.Equal(a.Bs, b.Bs)
		if err := errors.Join(a.Close(), b.Close()); err != nil {
			return err
		}
		if !equal {
			return fmt.Errorf("its index is wrong about entry %d", i)
		}
	}
	return nil
}

func successor(s types.SegmentInfo, id uint64) types.SegmentInfo {
	return types.SegmentInfo{
		ID: id, BaseIndex: s.MaxIndex + 1, MinIndex: s.MaxIndex + 1, Codec: s.Codec, CreateTime: s.CreateTime, SizeLimit: s.SizeLimit,
	}
}
