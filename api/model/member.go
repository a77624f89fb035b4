package model

import "time"

// Cluster is a member of the federation as the replicated state holds it.
type Cluster struct {
	Name ClusterName `json:"name"`
	// Incarnation is the Raft index of the join: a cluster that leaves and joins again is another one.
	Incarnation uint64 `json:"incarnation"`
	TrustDomain string `json:"trustDomain"`
	// AgentKey is the agent's public key, PKIX DER. Only certificates for this key count.
	AgentKey []byte `json:"-"`
	Region   string `json:"region"`
	// ExportNamespaces are the namespaces that the cluster may export; "*" is all, none is none.
	ExportNamespaces []string  `json:"exportNamespaces"`
	JoinedAt         time.Time `json:"joinedAt"`
}

// Node is a federation node.
type Node struct {
	Name          string `json:"name"`
	Region        string `json:"region"`
	GRPCAddress   string `json:"grpcAddress"`
	RESTAddress   string `json:"restAddress"`
	RaftAddress   string `json:"raftAddress"`
	GossipAddress string `json:"gossipAddress"`
	// ProtocolMin and ProtocolMax bound the stream versions that the node speaks.
	ProtocolMin uint32 `json:"protocolMin"`
	ProtocolMax uint32 `json:"protocolMax"`
	// CommandMax is the newest Raft command version that the node can apply.
	CommandMax uint32 `json:"commandMax"`
	// Replica is true for a node that follows the log without a vote. It is settled when the node joins.
	Replica bool `json:"replica"`
}

// Role is what the node does in the Raft group: "voter" or "replica".
func (n Node) Role() string {
	if n.Replica {
		return "replica"
	}
	return "voter"
}

// TokenKind says what a token is good for.
type TokenKind string

// The kinds of token that the replicated state holds. Workload tokens belong to a site's agent.
const (
	TokenCluster  TokenKind = "cluster"
	TokenNode     TokenKind = "node"
	TokenOperator TokenKind = "operator"
)

// Token is a credential as it is kept: hashed, with a scope and an end.
type Token struct {
	ID         string    `json:"id"`
	Kind       TokenKind `json:"kind"`
	SecretHash []byte    `json:"-"`
	CreatedAt  time.Time `json:"createdAt"`
	// ExpiresAt is zero for an operator token without an end.
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
	// Cluster is the only name that a cluster token may join under; ClusterPrefix allows all names that begin with it.
	Cluster       string `json:"cluster,omitempty"`
	ClusterPrefix string `json:"clusterPrefix,omitempty"`
	// ExportNamespaces is what the joining cluster may export.
	ExportNamespaces []string `json:"exportNamespaces,omitempty"`
	// BoundKey is the SHA-256 of the public key that used the token first: the same key may repeat it, another may not.
	BoundKey  []byte `json:"-"`
	BoundName string `json:"boundName,omitempty"`
	Revoked   bool   `json:"revoked,omitempty"`
	// Role and Namespaces bound what an operator token may do; no role is admin, no namespaces are all. Label says for whom it is.
	Role       Role     `json:"role,omitempty"`
	Namespaces []string `json:"namespaces,omitempty"`
	Label      string   `json:"label,omitempty"`
}

// Role says what an operator may do.
type Role string

// The roles; each may do what those before it may.
const (
	// RoleViewer reads everything but tokens and the audit log.
	RoleViewer Role = "viewer"
	// RoleOperator writes policies.
	RoleOperator Role = "operator"
	// RoleAdmin does everything.
	RoleAdmin Role = "admin"
)

// Roles lists the roles, weakest first.
func Roles() []Role { return []Role{RoleViewer, RoleOperator, RoleAdmin} }

// SignedBundle is a cluster's statement of its trust domain's roots: a marshalled statement with signatures by CA keys.
type SignedBundle struct {
	Statement  []byte
	Signatures []BundleSignature
}

// BundleSignature is one CA key's signature over a bundle's statement.
type BundleSignature struct {
	// KeyHash is the SHA-256 of the signing public key, PKIX DER.
	KeyHash   []byte
	Signature []byte
}

// Bundle is the content of a SignedBundle.
type Bundle struct {
	TrustDomain string
	Sequence    uint64
	// Roots are X.509 CA certificates, DER, in the statement's order.
	Roots [][]byte
}

// Protocol and command versions that this build speaks. Streams negotiate within [ProtocolMin, ProtocolMax]; a Raft command
// is proposed only when every node can apply its version.
const (
	ProtocolMin    = 1
	ProtocolMax    = 4
	CommandVersion = 4
)
