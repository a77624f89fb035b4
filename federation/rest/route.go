package rest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/hanse-mesh/hanse/api/model"
)

// indexHeader carries a Raft index that the answer is not older than.
const indexHeader = "Hanse-Index"

// ServersHeader lists the REST addresses of all nodes, separated by commas: a client that remembers them outlives the node it knows.
const ServersHeader = "Hanse-Servers"

// forwardedHeader marks a request that a follower has sent on, so that it is not sent in a circle.
const forwardedHeader = "Hanse-Forwarded-By"

// reads reports whether the request changes nothing.
func reads(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// route answers reads here and has the leader do what only it can do.
func (s *service) route(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		consistent, err := wantsConsistent(r)
		switch {
		case err != nil:
			writeProblem(w, http.StatusBadRequest, err.Error())
		case reads(r) && !consistent:
			s.describe(w)
			next.ServeHTTP(w, r)
		default:
			s.haveLeaderServe(w, r, next)
		}
	})
}

func (s *service) haveLeaderServe(w http.ResponseWriter, r *http.Request, next http.Handler) {
	leader, _, ok := s.Consensus.Leader()
	switch {
	case !ok:
		writeUnavailable(w, "the federation has no leader at the moment: a majority of its nodes must be up; try again")
	case leader == s.Node:
		s.serveAsLeader(w, r, next)
	case r.Header.Get(forwardedHeader) != "":
		// The sender's view of who leads is older than ours, or ours than its: let the client try again.
		writeUnavailable(w, "leadership is changing; try again")
	default:
		node, known := s.Consensus.View().Nodes[leader]
		if !known {
			writeUnavailable(w, "the leader's address is not known yet; try again")
			return
		}
		s.sendOn(w, r, node)
	}
}

// wantsConsistent refuses what is neither true nor false: who mistypes it must not get a weaker read than was meant.
func wantsConsistent(r *http.Request) (bool, error) {
	text := r.URL.Query().Get("consistent")
	if text == "" {
		return false, nil
	}
	consistent, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("consistent=%.20q is neither true nor false", text)
	}
	return consistent, nil
}

func (s *service) serveAsLeader(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if !reads(r) {
		next.ServeHTTP(&indexedWriter{w, s}, r)
		return
	}
	if err := s.Consensus.Barrier(r.Context()); err != nil {
		writeUnavailable(w, "consistent read: "+err.Error())
		return
	}
	s.describe(w)
	next.ServeHTTP(w, r)
}

// sendOn reads the body whole before it goes on, so that a body that is too large is told from a leader that does not answer.
func (s *service) sendOn(w http.ResponseWriter, r *http.Request, leader model.Node) {
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		writeProblem(w, http.StatusRequestEntityTooLarge, "the request's body is larger than "+strconv.Itoa(maxBody)+" bytes")
		return
	case err != nil:
		writeProblem(w, http.StatusBadRequest, "the request's body cannot be read: "+err.Error())
		return
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set(forwardedHeader, s.Node)
	s.Forward(w, r, leader)
}

// describe says how new the answer is, and where else the API is answered.
func (s *service) describe(w http.ResponseWriter) {
	v := s.Consensus.View()
	w.Header().Set(indexHeader, strconv.FormatUint(v.Index, 10))
	servers := make([]string, 0, len(v.Nodes))
	for _, n := range v.NodeList() {
		servers = append(servers, n.RESTAddress)
	}
	w.Header().Set(ServersHeader, strings.Join(servers, ","))
}

// indexedWriter notes the index when the answer begins: by then a write is applied here.
type indexedWriter struct {
	http.ResponseWriter
	s *service
}

// WriteHeader begins the answer.
func (w *indexedWriter) WriteHeader(status int) {
	w.s.describe(w.ResponseWriter)
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *indexedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// problems answers what no route of the mux matches with a problem, where the mux itself would answer in plain text.
func problems(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		v := verdict{header: http.Header{}, status: http.StatusOK}
		h.ServeHTTP(&v, r)
		if allow := v.header.Get("Allow"); allow != "" {
			w.Header().Set("Allow", allow)
		}
		writeProblem(w, v.status, fmt.Sprintf("%s %.200s is not part of this API: /openapi.json describes it", r.Method, r.URL.Path))
	})
}

// verdict keeps of an answer what is not its text.
type verdict struct {
	header http.Header
	status int
}

// Header returns the answer's header.
func (v *verdict) Header() http.Header { return v.header }

// Write drops the text.
func (v *verdict) Write(data []byte) (int, error) { return len(data), nil }

// WriteHeader keeps the status.
func (v *verdict) WriteHeader(status int) { v.status = status }
