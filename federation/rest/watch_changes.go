package rest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/state"
)

// position is a place in the log's changes: behind the first parts of the changes with an index, or behind all of them. One entry may
// change several objects, and a client may lose its connection between two of them.
type position struct {
	index uint64
	// part counts the changes with that index; allParts is behind the last one.
	part int
}

const allParts = math.MaxInt

// whole is the position behind everything with an index and before.
func whole(index uint64) position { return position{index, allParts} }

func (p position) compare(o position) int {
	return cmp.Or(cmp.Compare(p.index, o.index), cmp.Compare(p.part, o.part))
}

// String is the event id: INDEX, or INDEX.PART.
func (p position) String() string {
	if p.part == allParts {
		return strconv.FormatUint(p.index, 10)
	}
	return fmt.Sprintf("%d.%d", p.index, p.part)
}

var errPosition = errors.New("is not the id of an event, which is INDEX or INDEX.N with N from 1 on")

func parsePosition(text string) (position, error) {
	head, tail, partial := strings.Cut(text, ".")
	index, err := strconv.ParseUint(head, 10, 64)
	if err != nil {
		return position{}, errPosition
	}
	if !partial {
		return whole(index), nil
	}
	part, err := strconv.ParseUint(tail, 10, 31)
	if err != nil || part == 0 {
		return position{}, errPosition
	}
	return position{index, int(part)}, nil
}

// event is a change as watches are told it.
type event struct {
	// at is the position behind it.
	at  position
	ref model.Ref
	// text is its form in the stream. It is shared and never changed.
	text []byte
}

// changeLog holds the changes that a node remembers, each encoded once for all who watch. It is bounded as the state's own is, of which
// it is a copy. It is safe for concurrent use.
type changeLog struct {
	mu sync.Mutex
	// events are all after the index since, up to upTo. Readers share the slice; only its end grows.
	events      []event
	since, upTo uint64
}

// after returns the first events after a position, at most limit, and the position behind them: behind all that is known when there are no
// more. It is false when something in between is not remembered.
func (c *changeLog) after(v *state.View, p position, limit int) ([]event, position, bool) {
	c.mu.Lock()
	c.follow(v)
	events, since, end := c.events, c.since, whole(c.upTo)
	c.mu.Unlock()
	if p.index < since || p.index == since && p.part != allParts {
		return nil, p, false
	}
	first, found := slices.BinarySearchFunc(events, p, func(e event, p position) int { return e.at.compare(p) })
	if found {
		first++
	}
	if last := first + limit; last < len(events) {
		events, end = events[:last:last], p
		if limit > 0 {
			end = events[last-1].at
		}
	}
	if end.compare(p) < 0 {
		end = p
	}
	return events[first:], end, true
}

// follow takes in what a view knows beyond what is held. The lock is held.
func (c *changeLog) follow(v *state.View) {
	if v.Index <= c.upTo {
		return
	}
	more, ok := v.Changes(c.upTo)
	if !ok {
		c.events, c.since = nil, v.Remembered()
		more, _ = v.Changes(c.since)
	}
	for i := range more {
		c.events = append(c.events, encodeChange(more, i))
	}
	c.upTo = v.Index
	forgotten, _ := slices.BinarySearchFunc(c.events, v.Remembered()+1, func(e event, index uint64) int { return cmp.Compare(e.at.index, index) })
	c.events, c.since = c.events[forgotten:], max(c.since, v.Remembered())
}

// encodeChange makes the event of one of several changes, of which all with the same index are there.
func encodeChange(list []state.Change, i int) event {
	c, at := list[i], whole(list[i].Index)
	if i+1 < len(list) && list[i+1].Index == c.Index {
		at.part = 1
		for i > 0 && list[i-1].Index == c.Index {
			at.part++
			i--
		}
	}
	data := WatchEvent{Index: c.Index, At: c.At, Kind: c.Kind, Name: c.Name}
	kind := eventDelete
	if c.Object != nil {
		kind, data.Object = eventPut, c.Object
	}
	return event{at: at, ref: c.Ref, text: encodeEvent(kind, at.String(), data)}
}

// encodeEvent writes an event of the stream; without an id, the client's stays what it was. JSON holds no line break, so that the data is
// one line.
func encodeEvent(kind, id string, data WatchEvent) []byte {
	var out []byte
	if id != "" {
		out = append(append(append(out, "id: "...), id...), '\n')
	}
	text, _ := json.Marshal(data)
	out = append(append(append(out, "event: "...), kind...), "\ndata: "...)
	return append(append(out, text...), "\n\n"...)
}
