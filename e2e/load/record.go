package load

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Slow is the latency from which an answered call counts as slow.
const Slow = time.Second

// Record keeps outcomes. The zero Record is ready; its methods are safe for concurrent use.
type Record struct {
	mu       sync.Mutex
	outcomes []Outcome
}

// Add keeps an outcome.
func (r *Record) Add(o Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcomes = append(r.outcomes, o)
}

// Troubled returns the calls due from start on that failed or were slow, in the order in which they ended.
func (r *Record) Troubled(start time.Time) []Outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Outcome
	for _, o := range r.outcomes {
		if !o.Due.Before(start) && (o.Err != "" || o.Latency > Slow) {
			out = append(out, o)
		}
	}
	return out
}

// Series sums up the calls due from start on, for the given span, step by step. What is left of the span is left out.
func (r *Record) Series(start time.Time, span, step time.Duration) []Window {
	var out []Window
	for at := time.Duration(0); at+step <= span; at += step {
		out = append(out, r.Between(start.Add(at), step, nil))
	}
	return out
}

// Window is what happened to the calls due in a span of time.
type Window struct {
	Calls, Failed, Slow int
	// LastFailed is how long after the span's begin the last failing call was due, LastTrouble the last failing or slow one.
	LastFailed, LastTrouble time.Duration
	// Regions and Instances count the answers by who gave them.
	Regions, Instances map[string]int
	// First is when the first answer from each region came, from the span's begin.
	First map[string]time.Duration
	Worst time.Duration
	// Sample is the error of the last failing call.
	Sample string
}

// Between sums up the calls due from start on, for the given span or to the end when span is zero, for which want, which may be nil,
// is true.
func (r *Record) Between(start time.Time, span time.Duration, want func(Outcome) bool) Window {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := Window{Regions: map[string]int{}, Instances: map[string]int{}, First: map[string]time.Duration{}}
	for _, o := range r.outcomes {
		since := o.Due.Sub(start)
		if since >= 0 && (span == 0 || since < span) && (want == nil || want(o)) {
			w.add(o, since)
		}
	}
	return w
}

func (w *Window) add(o Outcome, since time.Duration) {
	w.Calls++
	w.Worst = max(w.Worst, o.Latency)
	if o.Err != "" {
		w.Failed++
		w.LastTrouble = max(w.LastTrouble, since)
		if since >= w.LastFailed {
			w.LastFailed, w.Sample = since, o.Err
		}
		return
	}
	if o.Latency > Slow {
		w.Slow++
		w.LastTrouble = max(w.LastTrouble, since)
	}
	w.Regions[o.Region]++
	w.Instances[o.Instance]++
	if answered, ok := w.First[o.Region]; !ok || since+o.Latency < answered {
		w.First[o.Region] = since + o.Latency
	}
}

// Recovery says how soon another region answered, and how long the slowest call took.
func (w Window) Recovery(region string) string {
	return fmt.Sprintf("first answer from %s after %d ms, slowest call %d ms", region, w.First[region].Milliseconds(), w.Worst.Milliseconds())
}

// String is one line.
func (w Window) String() string {
	text := fmt.Sprintf("%d calls, %d failed, %d slow", w.Calls, w.Failed, w.Slow)
	if w.Failed > 0 {
		text += fmt.Sprintf(" (last failing call due at +%.1f s: %s)", w.LastFailed.Seconds(), w.Sample)
	}
	return text + Shares(w.Regions)
}

// Shares lists counts by name: ", ap 3, us 40".
func Shares(counts map[string]int) string {
	names := make([]string, 0, len(counts))
	for n := range counts {
		names = append(names, n)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, n := range names {
		fmt.Fprintf(&b, ", %s %d", n, counts[n])
	}
	return b.String()
}
