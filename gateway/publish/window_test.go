package publish

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestWindowTable(t *testing.T) {
	ms := func(n int) time.Time { return time.UnixMilli(1_000_000).Add(time.Duration(n) * time.Millisecond) }
	tests := map[string]struct {
		began, ended int
		changes      []int
		due          int
	}{
		"after quiet":                       {began: -12, ended: -10, changes: []int{0}, due: 0},
		"after quiet, more before it is":    {began: -51, ended: -50, changes: []int{0, 1, 2}, due: 0},
		"just after a pass":                 {began: -10, ended: -9, changes: []int{0}, due: 1},
		"further changes move nothing":      {began: -2, ended: -1, changes: []int{0, 5, 8}, due: 9},
		"a longer pass is followed by ...":  {began: -20, ended: 0, changes: []int{1}, due: 40},
		"... a longer rest up to the limit": {began: -500, ended: 0, changes: []int{1}, due: 100},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var w window
			w.published(ms(tt.began), ms(tt.ended))
			for i, c := range tt.changes {
				if first := w.changed(ms(c)); first != (i == 0) {
					t.Errorf("change %d is the first that is pending: %v", i, first)
				}
			}
			if got := w.due(); !got.Equal(ms(tt.due)) {
				t.Errorf("due at %v ms, want %d", got.Sub(ms(0)).Milliseconds(), tt.due)
			}
		})
	}
}

// However changes come and however long passes take: no change waits longer than the limit, passes are never closer than the pause,
// and those that take less than half of the limit take a third of the time at most.
func TestWindowLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		now := time.UnixMilli(1_000_000)
		var ended time.Time
		var took time.Duration
		for range rapid.IntRange(1, 200).Draw(t, "changes") {
			now = now.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "gap")) * time.Millisecond)
			if w.pending && !w.due().After(now) {
				began := w.due()
				if wait := began.Sub(w.first); wait < 0 || wait > limit {
					t.Fatalf("a change waits %v", wait)
				}
				if rest := began.Sub(ended); !ended.IsZero() && (rest < pause || rest < 2*took && rest < limit) {
					t.Fatalf("a pass of %v is followed by the next one after %v", took, rest)
				}
				took = time.Duration(rapid.IntRange(0, 200).Draw(t, "pass")) * time.Millisecond
				ended = began.Add(took)
				w.published(began, ended)
				if ended.After(now) {
					now = ended
				}
			}
			w.changed(now)
		}
	})
}
