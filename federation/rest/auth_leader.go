package rest

import (
	"net/http"
	"net/netip"

	"github.com/hanse-mesh/hanse/api/model"
)

// sourceHeader carries where a request came from that a node sends on to the leader, as IP:PORT. Only a node's word on it counts, and
// only on this: who the caller is, the leader finds out itself.
const sourceHeader = "Hanse-Source-Address"

// sourceOf is where a request comes from. It takes the header away, so that nobody further on believes it by accident.
func (s *service) sourceOf(r *http.Request) string {
	told := r.Header.Get(sourceHeader)
	r.Header.Del(sourceHeader)
	if told == "" || !s.sentByNode(r) {
		return r.RemoteAddr
	}
	if _, err := netip.ParseAddrPort(told); err != nil {
		return r.RemoteAddr
	}
	return told
}

// sentByNode reports whether the connection is a node's of this federation, as its certificate and the replicated state say.
func (s *service) sentByNode(r *http.Request) bool {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || s.Certificates == nil {
		return false
	}
	id, err := s.Certificates.Peer(*r.TLS)
	if err != nil {
		return false
	}
	v := s.Consensus.View()
	name, ok := model.NodeOfID(v.Federation, id)
	_, member := v.Nodes[name]
	return ok && member
}

// toLeader gets a request to the leader with the caller's own credential; a node never speaks for a caller.
func (s *service) toLeader(w http.ResponseWriter, r *http.Request, leader model.Node) {
	who := admittedOf(r.Context())
	switch who.passage {
	case travels:
		r.Header.Set(sourceHeader, who.Actor.Address)
		// It would let a caller name headers that are not sent on: where it comes from, or that the request was sent on before.
		r.Header.Del("Connection")
		s.sendOn(w, r, leader)
	case redirected:
		// RFC 9110, 15.4.8: the client repeats the request with its method and body, and shows its certificate itself.
		w.Header().Set("Location", "https://"+leader.RESTAddress+r.URL.RequestURI())
		w.WriteHeader(http.StatusTemporaryRedirect)
	case stays:
		writeProblem(w, http.StatusMisdirectedRequest, "only the leader can do this, and it does not know this node's socket: repeat it on the socket of node "+
			leader.Name+", in its --data-dir (its REST API is at "+leader.RESTAddress+")")
	}
}
