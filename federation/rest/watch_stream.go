package rest

import (
	"net/http"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/access"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/internal/clock"
)

const (
	// bookmarkEvery is the longest silence of a watch: dead connections are noticed, and the client's place moves on with the log.
	bookmarkEvery = 5 * time.Second
	// recheckEvery is how long a credential counts without being looked at again. A change of who may do what has it looked at at once.
	recheckEvery = 30 * time.Second
	// writePatience is how long a client may take no byte.
	writePatience = 10 * time.Second
	// writePiece is how many bytes may be written before the client is given patience anew.
	writePiece = 32 << 10
	// batchOfEvents is how many events a watch takes at a time: a client that is slow must not keep many more from being forgotten.
	batchOfEvents = 256
	// restPerWatch bounds the work of a node under churn: its watches together look for news at most ten thousand times a second.
	restPerWatch = 100 * time.Microsecond
)

// watcher is one client's watch. It runs in the request's goroutine, and nobody waits for it: it reads what is shared and immutable.
type watcher struct {
	*service
	input   *watchInput
	filter  watchFilter
	out     http.ResponseWriter
	control *http.ResponseController
	// at is where the client stands: all before it was told, or is not for it. Before the first event it may stand nowhere.
	at      position
	resumes bool
	// told is when something was last written, checked when the credential was found good. wrote is set when there is something to flush.
	told, checked time.Time
	wrote         bool
	// piece is how many bytes may go before the deadline is set anew.
	piece int
}

// run tells the client everything until it goes away, does not read, may not read any more, or cannot be told.
func (w *watcher) run(r *http.Request) {
	w.checked = w.Clock.Now()
	timer := w.Clock.NewTimer(bookmarkEvery)
	defer timer.Stop()
	for first := true; ; first = false {
		v, changed := w.Consensus.Watch()
		if !w.catchUp(v, r) {
			return
		}
		if (first || w.Clock.Now().Sub(w.told) >= bookmarkEvery) && !w.bookmark() {
			return
		}
		if !w.flush() || !w.rest(timer, r) {
			return
		}
		timer.Reset(bookmarkEvery - w.Clock.Now().Sub(w.told))
		select {
		case <-changed:
		case <-timer.C():
		case <-r.Context().Done():
			return
		case <-w.stopping:
			return
		}
	}
}

// rest gathers what comes next for a moment when there are many watches.
func (w *watcher) rest(timer clock.Timer, r *http.Request) bool {
	pause := time.Duration(w.seats.count()-1) * restPerWatch
	if pause <= 0 {
		return true
	}
	timer.Reset(pause)
	select {
	case <-timer.C():
		return true
	case <-r.Context().Done():
	case <-w.stopping:
	}
	return false
}

// catchUp tells everything up to the view, and perhaps beyond it.
func (w *watcher) catchUp(v *state.View, r *http.Request) bool {
	if !w.resumes {
		if !w.list(v) {
			return false
		}
		w.at, w.resumes = whole(v.Index), true
	}
	suspicious := w.Clock.Now().Sub(w.checked) >= recheckEvery
	for w.at.compare(whole(v.Index)) < 0 {
		events, next, ok := w.changes.after(v, w.at, batchOfEvents)
		if !ok {
			w.write(encodeEvent(eventGone, "", WatchEvent{Index: v.Index, At: w.Clock.Now()}))
			w.flush()
			return false
		}
		// Who may do what can have changed with these very events.
		suspicious = suspicious || slices.ContainsFunc(events, func(e event) bool { return secret(e.ref.Kind) })
		if suspicious && !w.still(r) {
			return false
		}
		suspicious = false
		for _, e := range events {
			if w.filter.admits(e.ref) && !w.write(e.text) {
				return false
			}
		}
		w.at = next
	}
	return !suspicious || w.still(r)
}

// still reports whether the caller is still somebody who may read all that the watch is about.
func (w *watcher) still(r *http.Request) bool {
	caller, err := w.recogniseAgain(r)
	if err != nil {
		return false
	}
	kinds, err := w.input.kinds(caller)
	w.checked = w.Clock.Now()
	// More kinds than before end the watch, too: their objects have not been listed.
	return err == nil && slices.Equal(kinds, w.filter.kinds)
}

// recogniseAgain finds out by the state as it is now who sent a request that was let in. That is no attempt to guess a credential.
func (s *service) recogniseAgain(r *http.Request) (access.Caller, error) {
	if owner, ok := ownerOf(r.Context()); ok {
		return owner, nil
	}
	shown, err := s.credentialOf(r)
	if err != nil {
		return access.Caller{}, err
	}
	return shown.check(r.Context(), s.Consensus.View())
}

// list tells the objects that there are, without ids: a client that loses the connection on the way begins again.
func (w *watcher) list(v *state.View) bool {
	for _, kind := range w.filter.kinds {
		for _, name := range v.Names(kind) {
			ref := model.Ref{Kind: kind, Name: name}
			if !w.filter.admits(ref) {
				continue
			}
			data := WatchEvent{Index: v.ModifiedAt(ref), Kind: kind, Name: name, Object: v.Object(ref)}
			if !w.write(encodeEvent(eventPut, "", data)) {
				return false
			}
		}
	}
	return true
}

// bookmark tells where the client stands.
func (w *watcher) bookmark() bool {
	return w.write(encodeEvent(eventBookmark, w.at.String(), WatchEvent{Index: w.at.index, At: w.Clock.Now()}))
}

// write sends bytes. It waits while the client's buffers are full, but not for long; once it reports false, nothing more may be written.
func (w *watcher) write(text []byte) bool {
	if w.piece -= len(text); w.piece < 0 || !w.wrote {
		w.piece = writePiece
		_ = w.control.SetWriteDeadline(w.Clock.Now().Add(writePatience))
	}
	w.wrote = true
	_, err := w.out.Write(text)
	return err == nil
}

// flush sends what stands in the answer's own buffer.
func (w *watcher) flush() bool {
	if !w.wrote {
		return true
	}
	w.wrote, w.told = false, w.Clock.Now()
	return w.control.Flush() == nil
}
