package rest

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Limits bound what callers may ask of a node. A zero is the default.
type Limits struct {
	// PerSecond and Burst bound the requests of one caller: 500 a second, 1,000 at once.
	PerSecond float64
	Burst     int
	// Concurrent bounds the requests that are answered at one time, but for streams: 512.
	Concurrent int
	// Body bounds how long a client may take to send a body: 10 s.
	Body time.Duration
	// BodySize bounds a body, in bytes: 1 MiB.
	BodySize int64
	// Watches bounds the watches that are served at one time, WatchesPerCaller those of one credential among them: 2,000 and 1,000.
	Watches, WatchesPerCaller int
}

// DefaultLimits are those of a node that is told none.
func DefaultLimits() Limits { return Limits{}.filled() }

func (l Limits) filled() Limits {
	return Limits{
		PerSecond: cmp.Or(l.PerSecond, 500), Burst: cmp.Or(l.Burst, 1000), Concurrent: cmp.Or(l.Concurrent, 512), Body: cmp.Or(l.Body, 10*time.Second),
		BodySize: cmp.Or(l.BodySize, 1<<20), Watches: cmp.Or(l.Watches, 2000), WatchesPerCaller: cmp.Or(l.WatchesPerCaller, 1000),
	}
}

const (
	// answerTimeout bounds how long an answer may take with its sending.
	answerTimeout = 60 * time.Second
	// workTimeout bounds what is waited for while a request is answered: a write that meets no quorum ends before it.
	workTimeout = 20 * time.Second
)

// streams tells requests whose answers have no end. They are bounded by those who answer them.
func streams(r *http.Request) bool { return r.URL.Path == watchPath }

// hurry gives slow clients an end. What of a body was not read when the answer begins is not waited for.
func (s *service) hurry(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A connection that knows no deadlines, such as a test's, has none.
		connection := http.NewResponseController(w)
		if streams(r) {
			_ = connection.SetWriteDeadline(time.Time{})
		} else {
			_ = connection.SetWriteDeadline(time.Now().Add(answerTimeout))
		}
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		_ = connection.SetReadDeadline(time.Now().Add(s.Limits.Body))
		body := &readToEnd{ReadCloser: r.Body}
		r.Body = body
		next.ServeHTTP(&answer{ResponseWriter: w, begin: func(h http.Header) {
			if !body.done {
				h.Set("Connection", "close")
			}
		}}, r)
	})
}

// readToEnd notes whether a body was read to its end.
type readToEnd struct {
	io.ReadCloser
	done bool
}

// Read reads on.
func (b *readToEnd) Read(data []byte) (int, error) {
	n, err := b.ReadCloser.Read(data)
	b.done = b.done || errors.Is(err, io.EOF)
	return n, err
}

// bound answers so many requests at one time. A request comes here whole: who is slow to send it holds up nobody.
func (s *service) bound(next http.Handler) http.Handler {
	slots := make(chan struct{}, s.Limits.Concurrent)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if streams(r) {
			next.ServeHTTP(w, r)
			return
		}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			writeUnavailable(w, "this node answers as many requests as it can at one time: try again, or ask another node")
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), workTimeout)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// limit keeps one caller from taking what is there for all.
func (s *service) limit(next http.Handler) http.Handler {
	callers := newBuckets(s.Limits.PerSecond, float64(s.Limits.Burst))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		actor := callerOf(r.Context()).Actor
		wait := callers.take(actor.Credential+" "+actor.Name, s.Clock.Now())
		if wait > 0 {
			w.Header().Set("Retry-After", strconv.FormatFloat(math.Ceil(wait.Seconds()), 'f', 0, 64))
			writeProblem(w, http.StatusTooManyRequests, "too many requests: "+strconv.FormatFloat(s.Limits.PerSecond, 'g', -1, 64)+
				" a second are answered to one caller; wait for as long as Retry-After says, or watch instead of asking again")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// buckets are token buckets by caller. They are safe for concurrent use.
type buckets struct {
	rate, burst float64

	mu   sync.Mutex
	held map[string]bucket
}

// bucket held so many tokens at a time.
type bucket struct {
	tokens float64
	at     time.Time
}

// maxBuckets is how many callers are remembered before those are forgotten whose bucket is full again.
const maxBuckets = 4096

func newBuckets(rate, burst float64) *buckets {
	return &buckets{rate: rate, burst: burst, held: map[string]bucket{}}
}

// take takes a token, or says after how long there is one.
func (b *buckets) take(who string, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	held, known := b.held[who]
	if !known {
		b.forget(now)
		held = bucket{b.burst, now}
	}
	held = bucket{b.tokens(held, now), now}
	if held.tokens < 1 {
		b.held[who] = held
		return time.Duration((1 - held.tokens) / b.rate * float64(time.Second))
	}
	held.tokens--
	b.held[who] = held
	return 0
}

func (b *buckets) tokens(held bucket, now time.Time) float64 {
	return min(b.burst, held.tokens+b.rate*max(0, now.Sub(held.at).Seconds()))
}

// forget makes room: a full bucket is as good as none.
func (b *buckets) forget(now time.Time) {
	if len(b.held) < maxBuckets {
		return
	}
	for who, held := range b.held {
		if b.tokens(held, now) >= b.burst {
			delete(b.held, who)
		}
	}
}
