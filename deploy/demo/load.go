package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// The load's shape: an open loop on a fixed schedule, no client retry, half of the calls on new connections.
const (
	loadRate        = 200
	loadTimeout     = 2 * time.Second
	loadConnections = 24
)

// outcome is one call, counted by the time it was due.
type outcome struct {
	start   time.Time
	latency time.Duration
	region  string
	err     error
}

// load sends calls at a fixed rate and keeps every outcome.
type load struct {
	url    string
	cancel context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex
	outcomes []outcome
}

// startLoad begins to call url, at loadRate calls a second, until stop.
func startLoad(ctx context.Context, url string) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{url: url, cancel: cancel, done: make(chan struct{})}
	go l.run(ctx)
	return l
}

func (l *load) run(ctx context.Context) {
	defer close(l.done)
	kept := make([]*http.Client, loadConnections)
	for i := range kept {
		kept[i] = &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1}}
	}
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	// Every kept client has one connection; it is handed out again only when its call has ended, as a pool would.
	idle := make(chan *http.Client, loadConnections)
	for _, c := range kept {
		idle <- c
	}
	var calls sync.WaitGroup
	begin := time.Now()
	for i := 0; ; i++ {
		due := begin.Add(time.Duration(i) * time.Second / loadRate)
		select {
		case <-ctx.Done():
			calls.Wait()
			return
		case <-time.After(time.Until(due)):
		}
		calls.Add(1)
		go func() {
			defer calls.Done()
			if i%2 == 0 {
				l.call(fresh, due)
				return
			}
			client := <-idle
			defer func() { idle <- client }()
			l.call(client, due)
		}()
	}
}

// call makes one call; the time that it waited to be sent counts.
func (l *load) call(client *http.Client, due time.Time) {
	ctx, cancel := context.WithDeadline(context.Background(), due.Add(loadTimeout))
	defer cancel()
	region, err := callHTTP(ctx, client, l.url, "")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outcomes = append(l.outcomes, outcome{start: due, latency: time.Since(due), region: region.Region, err: err})
}

// stop ends the load and waits for the calls under way.
func (l *load) stop() { l.cancel(); <-l.done }

// window is what happened to the calls due in a span of time.
type window struct {
	calls, failed, slow int
	// lastFailed is how long after the span's begin the last failing call was due.
	lastFailed time.Duration
	regions    map[string]int
	// first is when the first answer from each region came, from the span's begin.
	first  map[string]time.Duration
	worst  time.Duration
	sample error
}

// slowCall is the latency from which an answered call counts as slow.
const slowCall = time.Second

// between sums up the calls due from start on, for the given span, or to the end when span is zero.
func (l *load) between(start time.Time, span time.Duration) window {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := window{regions: map[string]int{}, first: map[string]time.Duration{}}
	for _, o := range l.outcomes {
		since := o.start.Sub(start)
		if since < 0 || span > 0 && since >= span {
			continue
		}
		w.calls++
		w.worst = max(w.worst, o.latency)
		if o.err != nil {
			w.failed++
			w.lastFailed = max(w.lastFailed, since)
			w.sample = o.err
			continue
		}
		if o.latency > slowCall {
			w.slow++
		}
		w.regions[o.region]++
		if answered, ok := w.first[o.region]; !ok || since+o.latency < answered {
			w.first[o.region] = since + o.latency
		}
	}
	return w
}

// recovery says how soon another region answered, and how long the slowest call took.
func (w window) recovery(region string) string {
	return fmt.Sprintf("first answer from %s after %d ms, slowest call %d ms", region, w.first[region].Milliseconds(), w.worst.Milliseconds())
}

func (w window) String() string {
	names := make([]string, 0, len(w.regions))
	for r := range w.regions {
		names = append(names, r)
	}
	slices.Sort(names)
	text := fmt.Sprintf("%d calls, %d failed, %d slow", w.calls, w.failed, w.slow)
	if w.failed > 0 {
		text += fmt.Sprintf(" (last failing call due at +%.1f s: %v)", w.lastFailed.Seconds(), w.sample)
	}
	for _, r := range names {
		text += fmt.Sprintf(", %s %d", r, w.regions[r])
	}
	return text
}

// callHTTP makes one GET, with another Host when host is set, and reads who answered.
func callHTTP(ctx context.Context, client *http.Client, url, host string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return answer{}, err
	}
	if host != "" {
		req.Host = host
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return answer{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return answer{}, fmt.Errorf("status %d: %.200s", resp.StatusCode, body)
	}
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		return answer{}, errors.New("the answer is not the demo application's")
	}
	return a, nil
}
