package consensus

import (
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/hanse-mesh/hanse/federation/state"
)

// maxSnapshot bounds what is read of a snapshot, in bytes.
const maxSnapshot = 512 << 20

// fsm gives the log's entries to the state and publishes its views. Raft calls it from one goroutine.
type fsm struct {
	state   *state.State
	rule    state.BundleRule
	current atomic.Pointer[published]
	fail    func(error)
	// broken is set by an entry that cannot be applied: from then on the state must not move.
	broken error
	// running is set when raft has started: a snapshot that cannot be read is fatal then, while at the start an older one may do.
	running atomic.Bool
}

// published is a view with the channel that its successor closes.
type published struct {
	view    *state.View
	changed chan struct{}
}

func newFSM(rule state.BundleRule, fail func(error)) *fsm {
	f := &fsm{state: state.New(rule), rule: rule, fail: fail}
	f.current.Store(&published{view: f.state.View(), changed: make(chan struct{})})
	return f
}

func (f *fsm) publish() {
	old := f.current.Swap(&published{view: f.state.View(), changed: make(chan struct{})})
	close(old.changed)
}

// Apply applies one entry.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch applies entries and publishes one view for all of them, before their proposers are answered.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	results := make([]any, len(logs))
	commands := 0
	for i, l := range logs {
		if l.Type == raft.LogCommand {
			results[i] = f.apply(l)
			commands++
		}
	}
	if commands > 0 {
		f.publish()
	}
	return results
}

func (f *fsm) apply(l *raft.Log) any {
	if f.broken != nil {
		return f.broken
	}
	e, err := state.UnmarshalEntry(l.Data)
	if err != nil {
		return f.stop(fmt.Errorf("entry %d: %w", l.Index, err))
	}
	r := f.state.Apply(l.Index, e)
	if r.Fatal != nil {
		return f.stop(r.Fatal)
	}
	return r
}

func (f *fsm) stop(err error) error {
	f.broken = err
	f.fail(err)
	return err
}

// Snapshot captures the state; writing it down goes on beside further entries.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	return snapshot{f.current.Load().view}, f.broken
}

// Restore replaces the state.
func (f *fsm) Restore(in io.ReadCloser) error {
	v, err := readSnapshot(in)
	if err != nil {
		if f.running.Load() {
			return f.stop(err)
		}
		return err
	}
	f.state = state.Restore(v, f.rule)
	f.publish()
	return nil
}

func readSnapshot(in io.Reader) (*state.View, error) {
	data, err := io.ReadAll(io.LimitReader(in, maxSnapshot+1))
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	if len(data) > maxSnapshot {
		return nil, fmt.Errorf("read snapshot: it has more than %d bytes", maxSnapshot)
	}
	return state.FromSnapshot(data)
}

type snapshot struct{ view *state.View }

// Persist writes the snapshot.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	data, err := s.view.Snapshot()
	if err == nil {
		_, err = sink.Write(data)
	}
	if err != nil {
		_ = sink.Cancel()
		return fmt.Errorf("write snapshot: %w", err)
	}
	return sink.Close()
}

// Release has nothing to free: the view is shared.
func (s snapshot) Release() {}
