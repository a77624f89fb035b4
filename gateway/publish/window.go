package publish

import "time"

// The first change after quiet goes at once; those that follow wait for quiet, but no longer than limit however steady they come.
const (
	quiet = 10 * time.Millisecond
	limit = 100 * time.Millisecond
)

// window decides when pending changes are published. Its zero value has seen nothing.
type window struct {
	pending bool
	// leading says that the first pending change came after quiet.
	leading bool
	// first and last bound the pending changes; active is when anything last happened.
	first, last, active time.Time
}

// changed notes a change.
func (w *window) changed(now time.Time) {
	if !w.pending {
		w.pending, w.first = true, now
		w.leading = now.Sub(w.active) >= quiet
	}
	w.last, w.active = now, now
}

// published notes that everything pending went out.
func (w *window) published(now time.Time) { w.pending, w.active = false, now }

// due is when the pending changes are to be published.
func (w *window) due() time.Time {
	if w.leading {
		return w.first
	}
	due, latest := w.last.Add(quiet), w.first.Add(limit)
	if latest.Before(due) {
		return latest
	}
	return due
}
