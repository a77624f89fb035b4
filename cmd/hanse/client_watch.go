package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/internal/backoff"
)

// The events of a watch.
const (
	eventPut    = "put"
	eventDelete = "delete"
	// eventBookmark says that all up to its index has been told; the first one ends the objects that were there when the watch began.
	eventBookmark = "bookmark"
	// eventGone says that the watch has to begin anew: what lies between is no longer remembered.
	eventGone = "gone"
)

// change is an event of a watch.
type change struct {
	// id is the place to go on from; objects that were there when the watch began have none.
	id     string
	Event  string          `json:"event"`
	Index  uint64          `json:"index"`
	At     time.Time       `json:"at,omitzero"`
	Kind   string          `json:"kind,omitempty"`
	Name   string          `json:"name,omitempty"`
	Object json.RawMessage `json:"object,omitempty"`
}

const (
	// maxEvent bounds one event in bytes.
	maxEvent = 8 << 20
	// silence is how long a stream may be silent: nodes send a bookmark every five seconds.
	silence = 20 * time.Second
)

// errGone ends a stream that cannot be resumed.
var errGone = errors.New("the changes in between are no longer remembered")

// watch follows kinds in the log, one name when it is given, until ctx ends, see refuses an event, or no node answers for the client's
// timeout. It begins with the objects that are there, goes on at another node where a stream ended, and begins anew, which see is told by
// an event "gone", where it cannot go on.
func (c *client) watch(ctx context.Context, kinds []string, name string, see func(change) error) error {
	query := url.Values{"kind": kinds}
	if name != "" {
		query.Set("name", name)
	}
	f := follower{client: c, query: query, see: see, pause: backoff.Backoff{Min: 100 * time.Millisecond, Max: 2 * time.Second}}
	for {
		if err := f.settle(ctx, c.stream(ctx, "/v1/watch?"+query.Encode(), f.take)); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.clock.After(f.pause.Next()):
		}
	}
}

// follower is how far a watch has come.
type follower struct {
	*client
	query url.Values
	see   func(change) error
	pause backoff.Backoff
	// lost is since when no node has told anything; zero while one does.
	lost time.Time
	// said is what was told last of why nobody does.
	said string
}

func (f *follower) take(e change) error {
	f.pause.Reset()
	f.lost, f.said = time.Time{}, ""
	if e.id != "" {
		f.query.Set("after", e.id)
	}
	return f.see(e)
}

// settle judges how a stream ended; without an error the next one may begin.
func (f *follower) settle(ctx context.Context, err error) error {
	now := f.clock.Now()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errGone):
		f.query.Del("after")
		return f.see(change{Event: eventGone})
	case !broken(err):
		return err
	case f.lost.IsZero():
		f.lost = now
	case now.Sub(f.lost) > f.timeout:
		return codedError{exitUnavailable, err}
	}
	if text := err.Error(); text != f.said {
		f.said = text
		fmt.Fprintf(f.progress, "waiting for a node to go on: %s\n", text)
	}
	return nil
}

// broken reports whether a stream ended because of the node or the network, so that another one may go on.
func broken(err error) bool {
	var coded codedError
	return errors.Is(err, errStreamEnd) || errors.As(err, &coded) && coded.code == exitUnavailable
}

var errStreamEnd = errors.New("the stream ended")

// stream reads one stream of server-sent events to its end.
func (c *client) stream(ctx context.Context, path string, see func(change) error) error {
	resp, err := c.send(ctx, c.streams, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode == http.StatusGone {
		_ = resp.Body.Close()
		return errGone
	}
	if resp.StatusCode != http.StatusOK {
		return decodeAnswer(resp, nil)
	}
	defer func() { _ = resp.Body.Close() }()
	heard := c.clock.NewTimer(silence)
	defer heard.Stop()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-over:
		case <-heard.C():
			_ = resp.Body.Close()
		}
	}()
	return readEvents(resp.Body, func(e change) error {
		heard.Reset(silence)
		return see(e)
	})
}

// readEvents reads server-sent events (HTML living standard, 9.2) and tells see those that the API defines.
func readEvents(body io.Reader, see func(change) error) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxEvent)
	var event, id string
	var data strings.Builder
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			id = value
		case "event":
			event = value
		case "data":
			data.WriteString(value)
		}
		if data.Len() > maxEvent {
			return fmt.Errorf("an event has more than %d bytes", maxEvent)
		}
		if lines.Text() != "" || event == "" {
			continue
		}
		if err := dispatch(event, id, data.String(), see); err != nil {
			return err
		}
		event, id = "", ""
		data.Reset()
	}
	return errors.Join(errStreamEnd, lines.Err())
}

func dispatch(event, id, data string, see func(change) error) error {
	e := change{}
	if data != "" {
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return fmt.Errorf("the event %q is not what this version expects: %w", event, err)
		}
	}
	e.Event, e.id = event, id
	switch event {
	case eventGone:
		return errGone
	case eventPut, eventDelete, eventBookmark:
		return see(e)
	default:
		// Later versions may tell more.
		return nil
	}
}
