// Package state owns the replicated state: members, tokens, bundles and policy, as a deterministic function of a log.
//
// It is pure. Apply has no clock, no random source and no I/O; times and identifiers arrive inside the command. Views are
// immutable and may be shared between goroutines.
package state

import (
	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

// View is the state at one index. It and everything in it is immutable.
type View struct {
	// Index is the Raft index of the last entry applied.
	Index      uint64
	Federation string
	// Root is the federation's root certificate, DER.
	Root     []byte
	Nodes    map[string]model.Node
	Clusters map[model.ClusterName]model.Cluster
	Tokens   map[string]model.Token
	// Bundles are keyed by trust domain.
	Bundles map[string]model.SignedBundle
	// Failover and Exports are keyed by policy name.
	Failover map[string]policy.FailoverPolicy
	Exports  map[string]policy.ExportRule
	// Imports are keyed by policy name.
	Imports map[string]policy.ImportRule
	// Bindings and Providers are keyed by policy name.
	Bindings  map[string]policy.RoleBinding
	Providers map[string]policy.IdentityProvider
	// Modified is the Raft index of each object's last change. An object that was last changed before it was noted is absent.
	Modified map[model.Ref]uint64

	// changes are remembered since the index forgotten.
	changes   []Change
	forgotten uint64
	audit     []model.AuditEntry
}
