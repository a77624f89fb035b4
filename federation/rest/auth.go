package rest

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/federation/state"
)

// describes tells requests that read the description of the API, which holds nothing of the federation.
func describes(r *http.Request) bool {
	path := r.URL.Path
	return reads(r) && (strings.HasPrefix(path, "/openapi") || strings.HasPrefix(path, "/schemas/") || path == "/docs")
}

// authenticate gives the API's description to everybody, and api to whom it recognises.
func (s *service) authenticate(description, api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case describes(r):
			description.ServeHTTP(w, r)
		case s.Consensus.View().Federation == "":
			// Nobody can be told from anybody else yet: to refuse a good credential would be wrong.
			writeUnavailable(w, "this node has not received the federation's state yet: a majority of the nodes must be up; try again")
		default:
			who, refused := s.recognise(r, s.sourceOf(r))
			if refused != nil {
				refused.write(w)
				return
			}
			api.ServeHTTP(w, r.WithContext(withCaller(r.Context(), who)))
		}
	})
}

// refusal is why a request is not let in.
type refusal struct {
	status int
	detail string
	// shown is whether there was a credential at all, after how long the caller shall wait before it tries again.
	shown bool
	after time.Duration
}

func (f *refusal) write(w http.ResponseWriter) {
	if f.status == http.StatusUnauthorized {
		challenge := `Bearer realm="hanse"`
		if f.shown {
			// RFC 6750, 3.1.
			challenge += `, error="invalid_token"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
	}
	if f.after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((f.after+time.Second-1)/time.Second)))
	}
	writeProblem(w, f.status, f.detail)
}

// problem is an RFC 9457 problem for answers that are given before the API's own handlers.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problem{Title: http.StatusText(status), Status: status, Detail: detail})
}

// writeUnavailable says that the same request may succeed in a moment.
func writeUnavailable(w http.ResponseWriter, detail string) {
	w.Header().Set("Retry-After", retryAfter)
	writeProblem(w, http.StatusServiceUnavailable, detail)
}

// retryAfter is after how many seconds a request that met no leader may be repeated: an election takes about that long.
const retryAfter = "1"

// asProblem turns a failed proposal into the API's answer.
func asProblem(err error) error {
	var domain *state.Error
	if !errors.As(err, &domain) {
		return huma.ErrorWithHeaders(huma.Error503ServiceUnavailable(err.Error()), http.Header{"Retry-After": {retryAfter}})
	}
	switch domain.Code {
	case state.NotFound:
		return huma.Error404NotFound(domain.Message)
	case state.Conflict:
		return huma.Error409Conflict(domain.Message)
	case state.Mismatch:
		return huma.Error412PreconditionFailed(domain.Message)
	case state.Denied:
		return huma.Error403Forbidden(domain.Message)
	default:
		return huma.Error422UnprocessableEntity(domain.Message)
	}
}
