package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// markFile is the name of the mark's file in the data directory. It stands beside the log's folder, so that it outlives that.
const markFile = "acknowledged"

// mark is the last entry of which the others may have been told that it is on this disk. A log that ends before it has been damaged:
// its library takes a segment that was overwritten for one whose last write was cut short, and a node that went on with the rest would
// vote as if it had never promised more.
//
// The mark is never ahead of the disk. It is raised after the entries are synced, and not synced itself: a power cut leaves an older
// one, which proves less and accuses nobody. It is lowered, and synced, before entries are taken off the end.
type mark struct {
	mu   sync.Mutex
	file markStore
}

// markStore is the file as a mark needs it.
type markStore interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
	Close() error
}

// markSize is the length of the file: an index and its checksum, little endian. One sector holds both, so that a write is not torn.
const markSize = 8 + 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func openMark(dir string) (*mark, error) {
	f, err := os.OpenFile(filepath.Join(dir, markFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	return &mark{file: f}, nil
}

// read returns the index; 0 when there is none. A file that is not a mark is an error.
func (m *mark) read() (uint64, error) {
	var data [markSize + 1]byte
	n, err := m.file.ReadAt(data[:], 0)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return 0, err
	case n == 0:
		return 0, nil
	case n != markSize || crc32.Checksum(data[:8], castagnoli) != binary.LittleEndian.Uint32(data[8:]):
		return 0, errors.New("its content is not a number with its checksum")
	}
	return binary.LittleEndian.Uint64(data[:]), nil
}

// raise notes that the entries up to the index are on the disk.
func (m *mark) raise(index uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.write(index)
}

// lower notes that the entries after the index are about to be taken off the log.
func (m *mark) lower(index uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.write(index); err != nil {
		return err
	}
	return m.file.Sync()
}

func (m *mark) write(index uint64) error {
	var data [markSize]byte
	binary.LittleEndian.PutUint64(data[:], index)
	binary.LittleEndian.PutUint32(data[8:], crc32.Checksum(data[:8], castagnoli))
	_, err := m.file.WriteAt(data[:], 0)
	return err
}

// checkMark refuses a log that lacks entries of which the others were told. What a snapshot covers is not lacking.
func (d *disk) checkMark(dir string, logger raftLogger) error {
	last, err := d.wal.LastIndex()
	if err != nil {
		return err
	}
	snapshots, err := d.snapshots.List()
	if err != nil {
		return err
	}
	for _, s := range snapshots {
		last = max(last, s.Index)
	}
	marked, err := d.mark.read()
	if err != nil {
		logger.Warn("the mark of the last acknowledged entry cannot be read: whether the log is whole is not known", "file", markFile, "error", err)
		return d.mark.raise(last)
	}
	if last < marked {
		return fmt.Errorf("the log ends at entry %d, but this node has acknowledged entry %d: the disk has lost or overwritten the end of it; %s; "+
			"if no other node votes, remove %s to go on without the lost entries", last, marked, joinAnew, filepath.Join(dir, markFile))
	}
	return d.mark.raise(last)
}
