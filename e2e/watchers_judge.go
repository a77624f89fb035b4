//go:build e2e

package e2e

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxIndex bounds the indexes of a run.
const maxIndex = 1 << 18

// sightings are what all clients together saw. They are safe for concurrent use.
type sightings struct {
	mu sync.RWMutex
	// text is what an event said, with its kind in front, by its digest.
	text map[uint64]string
	// last is when the last client so far saw an event with an index, seen how many did.
	last [maxIndex]atomic.Int64
	seen [maxIndex]atomic.Int32
}

func newSightings() *sightings { return &sightings{text: map[uint64]string{}} }

func (s *sightings) add(e seenEvent, event, data string) {
	if index := e.place >> 16; index < maxIndex {
		s.seen[index].Add(1)
		// Another client may have been later by the clock and earlier here: by less than what is measured.
		s.last[index].Store(time.Now().UnixNano())
	}
	s.mu.RLock()
	_, known := s.text[e.digest]
	s.mu.RUnlock()
	if !known {
		s.mu.Lock()
		s.text[e.digest] = event + " " + data
		s.mu.Unlock()
	}
}

// eventLog is what happened, as all clients together know it.
type eventLog struct {
	events []seenEvent
	// after are the digests of all objects, after each event.
	after []uint64
	// values are the texts of puts, by index.
	values map[uint64][]string
}

// log puts together what clients saw. It is an error when two saw something different at one place.
func (w *watchers) log() (*eventLog, error) {
	at := map[uint64]uint64{}
	for _, c := range w.clients {
		for _, p := range c.passages {
			for _, e := range p.told {
				if held, ok := at[e.place]; ok && held != e.digest {
					return nil, fmt.Errorf("client %d saw at %s\n%s\nothers saw\n%s", c.number, placeText(e.place), w.seen.text[e.digest], w.seen.text[held])
				}
				at[e.place] = e.digest
			}
		}
	}
	l := &eventLog{values: map[uint64][]string{}}
	held, all := map[string]uint64{}, uint64(0)
	for _, place := range slices.Sorted(maps.Keys(at)) {
		e := seenEvent{place, at[place]}
		text := w.seen.text[e.digest]
		_, data, _ := strings.Cut(text, " ")
		ref, object, err := objectOf(data)
		if err != nil {
			return nil, err
		}
		all ^= held[ref]
		delete(held, ref)
		if object != "" {
			held[ref] = digest(ref, object)
			all ^= held[ref]
		}
		l.events, l.after = append(l.events, e), append(l.after, all)
		l.values[place>>16] = append(l.values[place>>16], data)
	}
	return l, nil
}

func placeText(place uint64) string {
	if place&wholeIndex == wholeIndex {
		return fmt.Sprint(place >> 16)
	}
	return fmt.Sprintf("%d.%d", place>>16, place&wholeIndex)
}

// judge returns an error when a client did not read what it must: after each list, whose objects must be those of the log up to there,
// each event once and in the order of the log, after the last list to the end.
func (l *eventLog) judge(c *watchClient) error {
	for i, p := range c.passages {
		first, _ := slices.BinarySearchFunc(l.events, p.from<<16|wholeIndex, func(e seenEvent, place uint64) int {
			return cmp.Or(cmp.Compare(e.place, place), -1)
		})
		listed := uint64(0)
		if first > 0 {
			listed = l.after[first-1]
		}
		if p.listed != listed {
			return fmt.Errorf("client %d: its list at %d is not what the log says", c.number, p.from)
		}
		for n, e := range p.told {
			if first+n == len(l.events) || l.events[first+n] != e {
				return fmt.Errorf("client %d: event %d after the list at %d is at %s, which is not what comes next", c.number, n, p.from, placeText(e.place))
			}
		}
		if last := i == len(c.passages)-1; last && first+len(p.told) != len(l.events) {
			return fmt.Errorf("client %d: it was not told the last %d events", c.number, len(l.events)-first-len(p.told))
		}
	}
	if len(c.passages) == 0 {
		return fmt.Errorf("client %d: it has never read anything", c.number)
	}
	return nil
}

// acknowledged is a write that a node acknowledged.
type acknowledged struct {
	name, value string
	index       uint64
	at          time.Time
}

// has returns an error when the log does not have a write.
func (l *eventLog) has(a acknowledged) error {
	for _, data := range l.values[a.index] {
		if strings.Contains(data, strconv.Quote(a.name)) && strings.Contains(data, strconv.Quote(a.value)) {
			return nil
		}
	}
	return fmt.Errorf("%s=%s was acknowledged at index %d, of which clients were told %q", a.name, a.value, a.index, l.values[a.index])
}

// delays are how long after the answer to a write the last of all clients was told, sorted; of writes that not all were told, there is none.
func (s *sightings) delays(of []acknowledged, clients int) []time.Duration {
	var out []time.Duration
	for _, a := range of {
		if a.index < maxIndex && int(s.seen[a.index].Load()) == clients {
			out = append(out, max(0, time.Unix(0, s.last[a.index].Load()).Sub(a.at)))
		}
	}
	slices.Sort(out)
	return out
}

// quantile of sorted values; 0 when there are none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))].Round(100 * time.Microsecond)
}
