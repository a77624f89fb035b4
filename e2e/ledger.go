//go:build e2e

package e2e

import (
	"fmt"
	"sync"
	"time"
)

// ledger is what the writers were told of their writes. It is safe for concurrent use.
//
// Each name has one writer, which writes one value after the other and gives the name up when the fate of a write is unknown: such a
// write may take effect at any later time, so that only the name's last write may be one. What a name must hold is then certain but
// for that one.
type ledger struct {
	mu      sync.Mutex
	names   map[string]*fate
	tally   tally
	last    time.Time
	longest time.Duration
}

// tally counts writes.
type tally struct {
	acknowledged int
	// refused found no process at the node's address, unknown had another answer than success, or none.
	refused, unknown int
}

// fate is what is known of a name.
type fate struct {
	// acknowledged is the last value that a node acknowledged, index the Raft index that it named; "" is none.
	acknowledged string
	index        uint64
	// unknown is the value of a last write whose fate is unknown; "" is none.
	unknown string
}

func newLedger() *ledger { return &ledger{names: map[string]*fate{}, last: time.Now()} }

func (l *ledger) of(name string) *fate {
	f := l.names[name]
	if f == nil {
		f = &fate{}
		l.names[name] = f
	}
	return f
}

// acknowledge notes that a value was acknowledged, and returns an error when its index contradicts an earlier one.
func (l *ledger) acknowledge(name, value string, index uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.of(name)
	if index <= f.index {
		return fmt.Errorf("%s=%s was acknowledged at index %d, but the value before it at %d", name, value, index, f.index)
	}
	f.acknowledged, f.index = value, index
	l.tally.acknowledged++
	now := time.Now()
	l.longest = max(l.longest, now.Sub(l.last))
	l.last = now
	return nil
}

// lose notes that the fate of a value is unknown.
func (l *ledger) lose(name, value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of(name).unknown = value
	l.tally.unknown++
}

// refuse notes that a value reached nobody.
func (l *ledger) refuse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally.refused++
}

// counts returns what was written so far.
func (l *ledger) counts() tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tally
}

// silence returns the longest time without an acknowledgement since the last call, or since the start.
func (l *ledger) silence() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	longest := max(l.longest, time.Since(l.last))
	l.longest = 0
	return longest
}

// held returns the names with an acknowledged value. It must not be called while there are writers.
func (l *ledger) held() []string {
	var out []string
	for name, f := range l.names {
		if f.acknowledged != "" {
			out = append(out, name)
		}
	}
	return out
}

// judge returns an error when a name that was acknowledged does not hold what it must. It must not be called while there are writers.
func (l *ledger) judge(name, value string) error {
	f := l.names[name]
	if value == f.acknowledged || f.unknown != "" && value == f.unknown {
		return nil
	}
	err := fmt.Errorf("%s holds %q, but %q was acknowledged at index %d", name, value, f.acknowledged, f.index)
	if f.unknown != "" {
		err = fmt.Errorf("%w, and only %q may have come after it", err, f.unknown)
	}
	return err
}
