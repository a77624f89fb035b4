package rest

import (
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// revalidate answers a read with 304 and no body where the caller has the object as it is: If-None-Match names its ETag (RFC 9110, 13.1.2).
func revalidate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		held := r.Header.Get("If-None-Match")
		if held == "" || !reads(r) {
			next.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(&unchanged{ResponseWriter: w, held: held}, r)
	})
}

// unchanged drops the body of an answer that the caller has already.
type unchanged struct {
	http.ResponseWriter
	held string
	// dropped is set once the answer is known to be the same.
	dropped bool
}

// WriteHeader begins the answer, or says that it is the same.
func (u *unchanged) WriteHeader(status int) {
	h := u.Header()
	if tag := h.Get("ETag"); status == http.StatusOK && tag != "" && names(u.held, tag) {
		h.Del("Content-Type")
		h.Del("Content-Length")
		u.dropped, status = true, http.StatusNotModified
	}
	u.ResponseWriter.WriteHeader(status)
}

// Write goes on with the answer, unless the caller has it.
func (u *unchanged) Write(data []byte) (int, error) {
	if u.dropped {
		return len(data), nil
	}
	return u.ResponseWriter.Write(data)
}

// Unwrap lets http.ResponseController reach the connection.
func (u *unchanged) Unwrap() http.ResponseWriter { return u.ResponseWriter }

// names reports whether a list of ETags has this one; * is any. Ours hold no comma.
func names(list, tag string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == tag {
			return true
		}
	}
	return false
}

// describeRevalidation describes the condition, and its answer, of reads that have an ETag.
func describeRevalidation(op *huma.Operation) {
	if op.Method != http.MethodGet || op.Responses["200"] == nil || op.Responses["200"].Headers["ETag"] == nil {
		return
	}
	op.Parameters = append(op.Parameters, &huma.Param{
		Name: "If-None-Match", In: "header", Description: "ETags that the caller has: if one is the object's, the answer is 304 without a body",
		Schema: &huma.Schema{Type: huma.TypeString}, Example: "\"42\"",
	})
	op.Responses["304"] = &huma.Response{
		Description: "The caller has the object as it is",
		Headers:     map[string]*huma.Param{"ETag": op.Responses["200"].Headers["ETag"]},
	}
}
