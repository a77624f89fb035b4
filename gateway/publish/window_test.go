package publish

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestWindowTable(t *testing.T) {
	ms := func(n int) time.Time { return time.UnixMilli(1_000_000).Add(time.Duration(n) * time.Millisecond) }
	tests := map[string]struct {
		published int
		changes   []int
		due       int
	}{
		"after quiet":                    {published: -10, changes: []int{0}, due: 0},
		"after quiet, more before it is": {published: -50, changes: []int{0, 1, 2}, due: 0},
		"just after a pass":              {published: -9, changes: []int{0}, due: 10},
		"each change extends the quiet":  {published: -1, changes: []int{0, 5, 12}, due: 22},
		"but not beyond the limit":       {published: -1, changes: []int{0, 9, 18, 27, 36, 45, 54, 63, 72, 81, 90, 99}, due: 100},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var w window
			w.published(ms(tt.published))
			for _, c := range tt.changes {
				w.changed(ms(c))
			}
			if got := w.due(); !got.Equal(ms(tt.due)) {
				t.Errorf("due at %v ms, want %d", got.Sub(ms(0)).Milliseconds(), tt.due)
			}
		})
	}
}

// However changes come, none waits longer than the limit, and passes after the first are never closer than the quiet time.
func TestWindowLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		now := time.UnixMilli(1_000_000)
		var last time.Time
		for range rapid.IntRange(1, 200).Draw(t, "changes") {
			now = now.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "gap")) * time.Millisecond)
			if w.pending && !w.due().After(now) {
				at := w.due()
				if wait := at.Sub(w.first); wait < 0 || wait > limit {
					t.Fatalf("a change waits %v", wait)
				}
				if !last.IsZero() && at.Sub(last) < quiet {
					t.Fatalf("two passes within %v", at.Sub(last))
				}
				w.published(at)
				last = at
			}
			w.changed(now)
		}
	})
}
