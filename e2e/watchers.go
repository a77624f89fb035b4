//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// watchers are clients that watch, each over a connection of its own.
type watchers struct {
	f       *federation
	query   string
	clients []*watchClient
	seen    *sightings
	counts  watchCounts
	streams []*http.Client
	group   sync.WaitGroup
	cancel  context.CancelFunc
}

// watchCounts are what happened to all clients together.
type watchCounts struct {
	events, connections, lists atomic.Int64
	// gone were told so with status 410, cut within a stream; busy were sent elsewhere; silent streams were given up.
	gone, cut, busy, silent atomic.Int64
}

// watchClient is one of them. Its fields are its own goroutine's until the watchers have stopped, but for at.
type watchClient struct {
	*watchers
	number int
	// loyal ones bear a long silence and come back to their node; others go to the next one.
	loyal bool
	// last is the id to go on from; at is its index.
	last string
	at   atomic.Uint64
	// passages are what it read without a gap: each begins with a list.
	passages []*passage
	failed   error
}

// passage is what a client read from one list on.
type passage struct {
	// from is the index of the list, and listed the digest of its objects.
	from   uint64
	listed uint64
	// told are the places of the events in the log, in the order in which they came.
	told []seenEvent
}

// seenEvent is an event's place, with the digest of all that it said.
type seenEvent struct{ place, digest uint64 }

// wholeIndex is the part of a place behind which nothing else has the same index.
const wholeIndex = 1<<16 - 1

// placeOf makes a number that orders ids: INDEX or INDEX.PART.
func placeOf(id string) (uint64, error) {
	head, tail, partial := strings.Cut(id, ".")
	index, err := strconv.ParseUint(head, 10, 48)
	part := uint64(wholeIndex)
	if err == nil && partial {
		part, err = strconv.ParseUint(tail, 10, 15)
	}
	return index<<16 | part, err
}

// The longest silence that clients bear: nodes say something every five seconds.
const (
	patience      = 12 * time.Second
	loyalPatience = 2 * time.Minute
)

// startWatchers starts clients that are spread over all nodes. A third of those at each node is loyal to it.
func startWatchers(ctx context.Context, f *federation, count int, query string) *watchers {
	ctx, cancel := context.WithCancel(ctx)
	w := &watchers{f: f, query: query, seen: newSightings(), cancel: cancel}
	for _, n := range f.nodes {
		w.streams = append(w.streams, &http.Client{Transport: n.api.http.Transport})
	}
	for i := range count {
		c := &watchClient{watchers: w, number: i, loyal: i/len(f.nodes)%3 == 0}
		w.clients = append(w.clients, c)
		w.group.Go(func() { c.failed = c.follow(ctx) })
	}
	return w
}

func (w *watchers) stop() {
	w.cancel()
	w.group.Wait()
}

// behind returns how many clients have not got to an index.
func (w *watchers) behind(index uint64) int {
	n := 0
	for _, c := range w.clients {
		if c.at.Load() < index {
			n++
		}
	}
	return n
}

// follow watches until ctx ends; where a stream ends, it goes on.
func (c *watchClient) follow(ctx context.Context) error {
	random := rand.New(rand.NewPCG(uint64(c.number), 0))
	for node := c.number; ; {
		err := c.stream(ctx, node%len(c.f.nodes))
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errProtocol):
			return err
		}
		if !c.loyal {
			node++
		}
		sleep(ctx, time.Duration(50+random.IntN(450))*time.Millisecond)
	}
}

// errProtocol is what no node may answer.
var errProtocol = errors.New("protocol")

// stream reads one stream to its end.
func (c *watchClient) stream(ctx context.Context, node int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	bears := patience
	if c.loyal {
		bears = loyalPatience
	}
	silence := time.AfterFunc(bears, func() { c.counts.silent.Add(1); cancel() })
	defer silence.Stop()
	api := c.f.nodes[node].api
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+api.address+"/v1/watch"+c.query, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	req.Header.Set("Authorization", "Bearer "+api.credential)
	if c.last != "" {
		req.Header.Set("Last-Event-ID", c.last)
	}
	resp, err := c.streams[node].Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusOK:
		c.counts.connections.Add(1)
		return c.read(resp.Body, func() { silence.Reset(bears) })
	case http.StatusGone:
		c.counts.gone.Add(1)
		c.last = ""
		return nil
	case http.StatusServiceUnavailable:
		c.counts.busy.Add(1)
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
	return fmt.Errorf("%w: after %q: status %d: %s", errProtocol, c.last, resp.StatusCode, text)
}

// read reads events; heard is called after each.
func (c *watchClient) read(body io.Reader, heard func()) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 1024), 1<<20)
	var id, event, data string
	listed := uint64(0)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			id = value
		case "event":
			event = value
		case "data":
			data = value
		case "":
			if err := c.take(id, event, data, &listed); err != nil {
				return err
			}
			heard()
			id, event, data = "", "", ""
		}
	}
	return lines.Err()
}

// take takes one event in. listed is the digest of the objects of a list that has not come to its end.
func (c *watchClient) take(id, event, data string, listed *uint64) error {
	place, err := placeOf(id)
	switch {
	case event == "gone":
		c.counts.cut.Add(1)
		c.last = ""
		return nil
	case c.last == "" && event == "put" && id == "":
		ref, object, err := objectOf(data)
		*listed ^= digest(ref, object)
		return err
	case err != nil:
		return fmt.Errorf("%w: event %s with id %q after %q: %s", errProtocol, event, id, c.last, data)
	case c.last == "" && event == "bookmark":
		c.counts.lists.Add(1)
		c.passages = append(c.passages, &passage{from: place >> 16, listed: *listed})
	case c.last == "":
		return fmt.Errorf("%w: event %s with id %q within a list: %s", errProtocol, event, id, data)
	case event != "bookmark":
		c.counts.events.Add(1)
		e := seenEvent{place, digest(event, data)}
		p := c.passages[len(c.passages)-1]
		p.told = append(p.told, e)
		c.seen.add(e, event, data)
	}
	c.last = id
	c.at.Store(place >> 16)
	return nil
}

func digest(parts ...string) uint64 {
	h := fnv.New64a()
	for _, p := range parts {
		_, _ = h.Write([]byte(p))
		_, _ = h.Write([]byte{0})
	}
	return h.Sum64()
}

// objectOf returns what an event is about, and the object as it is written.
func objectOf(data string) (ref, object string, err error) {
	var e struct {
		Kind, Name string
		Object     json.RawMessage
	}
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		return "", "", fmt.Errorf("%w: %w in %s", errProtocol, err, data)
	}
	return e.Kind + "/" + e.Name, string(e.Object), nil
}
