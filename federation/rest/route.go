package rest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/access"
)

// indexHeader carries a Raft index that the answer is not older than.
const indexHeader = "Hanse-Index"

// AgeHeader carries the seconds since the node that answers last heard from its leader.
const AgeHeader = "Hanse-Age-Seconds"

// ServersHeader lists the REST addresses of all nodes, separated by commas: a client that remembers them outlives the node it knows.
const ServersHeader = "Hanse-Servers"

// forwardedHeader marks a request that a follower has sent on, so that it is not sent in a circle.
const forwardedHeader = "Hanse-Forwarded-By"

// reads reports whether the request changes nothing.
func reads(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// route answers reads here and has the leader do what only it can do.
func (s *service) route(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		consistent, err := wantsConsistent(r)
		switch {
		case err != nil:
			writeProblem(w, http.StatusBadRequest, err.Error())
		case reads(r) && !consistent, passesOn(r):
			s.describe(w.Header())
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
		s.toLeader(w, r, node)
	}
}

// wantsConsistent refuses what is neither true nor false: who mistypes it must not get a weaker read than was meant.
func wantsConsistent(r *http.Request) (bool, error) {
	text := r.URL.Query().Get("consistent")
	if text == "" {
		return false, nil
	}
	if text != "true" && text != "false" {
		return false, fmt.Errorf("consistent=%.20q is neither true nor false", text)
	}
	return text == "true", nil
}

func (s *service) serveAsLeader(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if !reads(r) {
		next.ServeHTTP(w, r)
		return
	}
	if err := s.Consensus.Barrier(r.Context()); err != nil {
		writeUnavailable(w, "consistent read: "+err.Error())
		return
	}
	s.describe(w.Header())
	next.ServeHTTP(w, r)
}

func (s *service) sendOn(w http.ResponseWriter, r *http.Request, leader model.Node) {
	r.Header.Set(forwardedHeader, s.Node)
	s.Forward(w, r, leader)
}

// takeBody reads the body whole before anything is done with it, so that a body that is too large, too slow or breaks off is told from
// what goes wrong later.
func (s *service) takeBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 || r.Body == nil {
			next.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.Limits.BodySize))
		var tooLarge *http.MaxBytesError
		switch {
		case errors.As(err, &tooLarge):
			writeProblem(w, http.StatusRequestEntityTooLarge, "the request's body is larger than "+strconv.FormatInt(s.Limits.BodySize, 10)+" bytes")
		case errors.Is(err, os.ErrDeadlineExceeded):
			writeProblem(w, http.StatusRequestTimeout, "the request's body did not arrive within "+s.Limits.Body.String())
		case err != nil:
			writeProblem(w, http.StatusBadRequest, "the request's body cannot be read: "+err.Error())
		default:
			_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
			r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
			next.ServeHTTP(w, r)
		}
	})
}

// admit refuses those who may not even read, and lets everybody ask who he is.
func (s *service) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := callerOf(r.Context()).May(access.Read, nil); err != nil && r.URL.Path != whoamiPath {
			writeProblem(w, http.StatusForbidden, err.Error())
			return
		}
		next.ServeHTTP(w, r)
	})
}

// describe says how new the answer is, and where else the API is answered.
func (s *service) describe(h http.Header) {
	v := s.Consensus.View()
	h.Set(indexHeader, strconv.FormatUint(v.Index, 10))
	if age, known := s.Live.Age(); known {
		h.Set(AgeHeader, strconv.FormatFloat(age.Seconds(), 'f', 3, 64))
	}
	servers := make([]string, 0, len(v.Nodes))
	for _, n := range v.NodeList() {
		servers = append(servers, n.RESTAddress)
	}
	h.Set(ServersHeader, strings.Join(servers, ","))
}

// problems answers what no route of the mux matches with a problem, where the mux itself would answer in plain text.
func problems(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		v := verdict{header: http.Header{}, status: http.StatusNotFound}
		// The mux would send a client on to the path as it should be.
		if clean := path.Clean(r.URL.Path); clean != r.URL.Path {
			writeProblem(w, v.status, fmt.Sprintf("%.200q is not part of this API: leave out empty and dotted segments", r.URL.Path))
			return
		}
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
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
