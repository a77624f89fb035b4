package rest

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/access"
	"github.com/hanse-mesh/hanse/federation/state"
	"github.com/hanse-mesh/hanse/trust/token"
)

// describes tells requests that read the description of the API, which holds nothing of the federation.
func describes(r *http.Request) bool {
	path := r.URL.Path
	return reads(r) && (strings.HasPrefix(path, "/openapi") || strings.HasPrefix(path, "/schemas/") || path == "/docs")
}

// authenticate gives the API's description to everybody, and api to holders of an operator token.
func (s *service) authenticate(description, api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case describes(r):
			description.ServeHTTP(w, r)
		case s.Consensus.View().Federation == "":
			// Nobody can be told from anybody else yet: to refuse a good credential would be wrong.
			writeUnavailable(w, "this node has not received the federation's state yet: a majority of the nodes must be up; try again")
		default:
			caller, reason := s.checkOperator(r)
			if reason != "" {
				w.Header().Set("WWW-Authenticate", `Bearer realm="hanse"`)
				writeProblem(w, http.StatusUnauthorized, reason)
				return
			}
			api.ServeHTTP(w, r.WithContext(withCaller(r.Context(), caller)))
		}
	})
}

// checkOperator finds out who sends a request, or why that is nobody.
func (s *service) checkOperator(r *http.Request) (caller access.Caller, reason string) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return caller, "no credential: send the operator token as 'Authorization: Bearer hanse-operator-1...'"
	}
	t, err := token.Parse(text)
	if err != nil {
		return caller, err.Error()
	}
	if t.Kind != model.TokenOperator {
		return caller, "this is a " + string(t.Kind) + " token; the API takes operator tokens"
	}
	held, err := s.Consensus.View().CheckToken(t.ID, token.Hash(t.Secret), model.TokenOperator, s.Clock.Now())
	if err != nil {
		return caller, err.Error()
	}
	credential := "token " + held.ID
	return access.Caller{
		Actor:  model.Actor{Name: cmp.Or(held.Label, credential), Credential: credential, Address: r.RemoteAddr},
		Grants: []access.Grant{access.OfToken(held)},
	}, ""
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
