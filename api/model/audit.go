package model

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"
)

// The kinds of object that the replicated state holds beside policy documents.
const (
	KindNode        = "Node"
	KindCluster     = "Cluster"
	KindToken       = "Token"
	KindTrustDomain = "TrustDomain"
)

// The kinds of what operators change through the federation and the replicated state does not hold: their changes stand in the audit log alone.
const (
	// KindWorkload is a site's workload, by the name CLUSTER/WORKLOAD.
	KindWorkload = "Workload"
	// KindOperatorCertificate is a certificate that was signed for an operator, by his name.
	KindOperatorCertificate = "OperatorCertificate"
)

// Ref names an object of the replicated state: its kind, and its name within the kind. A token's name is its id.
type Ref struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// String returns KIND/NAME.
func (r Ref) String() string { return r.Kind + "/" + r.Name }

// Compare orders by kind, then by name.
func (r Ref) Compare(o Ref) int {
	return cmp.Or(strings.Compare(r.Kind, o.Kind), strings.Compare(r.Name, o.Name))
}

// Actor is who asked for a write, as the node that took the request found out. The zero value is the federation itself.
type Actor struct {
	Name string `json:"name"`
	// Credential names what the actor showed: "token ID", "certificate", "oidc ISSUER" or "socket NODE".
	Credential string `json:"credential"`
	// Address is where the request came from, as IP:PORT; empty for a Unix socket.
	Address   string `json:"address,omitempty"`
	RequestID string `json:"requestId,omitempty"`
}

// AuditEntry is one object's change by one write of an actor.
type AuditEntry struct {
	// Index is the Raft index of the write; a write of several objects has an entry for each.
	Index uint64    `json:"index"`
	At    time.Time `json:"at"`
	Actor Actor     `json:"actor"`
	Ref
	// Before and After are the object as JSON, without secrets; nil where there is none.
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}
