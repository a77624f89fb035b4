package rest

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// RequestIDHeader names a request in answers, logs and the audit log: the caller's own name for it when that is 1 to 64 letters, digits,
// '.', '_' and '-', else a random one.
const RequestIDHeader = "Hanse-Request-Id"

type requestIDKey struct{}

// requestIDOf returns the name of the request that is being answered.
func requestIDOf(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// identify gives every request its name, and every answer the request's.
func identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(RequestIDHeader)
		if !isRequestID(id) {
			id = strings.ToLower(rand.Text()[:16])
		}
		// A request that is sent on keeps its name.
		r.Header.Set(RequestIDHeader, id)
		a := &answer{ResponseWriter: w, begin: func(h http.Header) { h.Set(RequestIDHeader, id) }}
		next.ServeHTTP(a, r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id)))
	})
}

func isRequestID(id string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
	return id != "" && len(id) <= 64 && strings.Trim(id, letters) == ""
}

// answer is an answer whose header is completed when it begins.
type answer struct {
	http.ResponseWriter
	begin func(http.Header)
	// status is 0 until the answer begins.
	status int
}

// WriteHeader begins the answer.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK {
		a.status = status
		a.begin(a.Header())
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write begins the answer, if it has not begun, and goes on with it.
func (a *answer) Write(data []byte) (int, error) {
	a.start()
	return a.ResponseWriter.Write(data)
}

// FlushError sends what there is.
func (a *answer) FlushError() error {
	a.start()
	return http.NewResponseController(a.ResponseWriter).Flush()
}

func (a *answer) start() {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// account says with every answer how new it is, and writes requests down: writes and failures for everybody to read, the rest for those
// who look for it.
func (s *service) account(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := s.Clock.Now()
		a := &answer{ResponseWriter: w, begin: func(h http.Header) {
			// An answer that was asked of the leader says itself how new it is.
			if h.Get(indexHeader) == "" {
				s.describe(h)
			}
		}}
		next.ServeHTTP(a, r)
		s.Logger.Log(r.Context(), levelOf(r, a.status), "request", "method", r.Method, "path", clip(r.URL.Path), "status", a.status,
			"request_id", requestIDOf(r.Context()), "actor", callerOf(r.Context()).Actor.Name, "took", s.Clock.Now().Sub(begun).Round(time.Microsecond))
	})
}

func levelOf(r *http.Request, status int) slog.Level {
	switch {
	case status >= http.StatusInternalServerError && status != http.StatusServiceUnavailable:
		return slog.LevelError
	case reads(r) || status == http.StatusTooManyRequests:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}
