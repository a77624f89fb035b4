package publish

import "time"

// A pass that follows another one begins pause later at the earliest and limit later at the latest, however steadily changes come. In
// between, the rest is twice as long as the last pass took: then publishing takes at most a third of the time, and what is cheap is
// not held back. To wait for quiet instead would make a change that meets steady churn wait for the whole limit.
const (
	pause = 10 * time.Millisecond
	limit = 100 * time.Millisecond
)

// window decides when pending changes are published. Its zero value has seen nothing.
type window struct {
	pending bool
	// first is when the first pending change came.
	first time.Time
	// rested is when the rest after the last pass ends.
	rested time.Time
}

// changed notes a change, and reports whether it is the first that is pending.
func (w *window) changed(now time.Time) bool {
	if w.pending {
		return false
	}
	w.pending, w.first = true, now
	return true
}

// published notes that everything pending went out in a pass that began and ended then.
func (w *window) published(began, ended time.Time) {
	w.pending = false
	w.rested = ended.Add(min(max(2*ended.Sub(began), pause), limit))
}

// due is when the pending changes are to be published: at once, unless a pass has just been.
func (w *window) due() time.Time {
	if w.rested.After(w.first) {
		return w.rested
	}
	return w.first
}
