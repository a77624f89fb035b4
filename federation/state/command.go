package state

import (
	"encoding/json"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
)

// Command is one change of the replicated state: a closed sum. Its wire form is hanse.v1.Command.
type Command interface{ isCommand() }

// Entry is a command as it stands in the log: with the proposer's schema version and clock.
type Entry struct {
	// Version is the lowest command version that can apply this entry.
	Version uint32
	At      time.Time
	Command Command
	// Actor is whose request it is; the zero value is the federation itself.
	Actor model.Actor
	// Expect must all hold, else the command is refused with the code Mismatch.
	Expect []Expectation
}

// Expectation is a condition of a write: the object was last changed at Index. Index 0 is an object that does not exist.
type Expectation struct {
	model.Ref
	Index uint64
}

// InitFederation makes an empty state a federation; it is the first entry of every log.
type InitFederation struct {
	Name          string
	Root          []byte
	Node          model.Node
	OperatorToken model.Token
}

// PutNode adds a federation node or replaces what is known of it.
type PutNode struct{ Node model.Node }

// RemoveNode forgets a federation node.
type RemoveNode struct{ Name string }

// CreateToken keeps a token, hashed.
type CreateToken struct{ Token model.Token }

// RevokeToken ends a token.
type RevokeToken struct{ ID string }

// RedeemNodeToken uses a node token: it binds the token to the key and records the node.
type RedeemNodeToken struct {
	TokenID    string
	SecretHash []byte
	KeyHash    []byte
	Node       model.Node
}

// JoinCluster uses a cluster token: it binds the token to the agent's key and makes the cluster a member. The same key may repeat
// it and gets the same incarnation.
type JoinCluster struct {
	TokenID     string
	SecretHash  []byte
	Cluster     model.ClusterName
	TrustDomain string
	AgentKey    []byte
	Region      string
}

// RemoveCluster ends a membership, with its bundle.
type RemoveCluster struct{ Name model.ClusterName }

// PutBundle replaces the bundle of the cluster's own trust domain, if a key of the held one vouches for it.
type PutBundle struct {
	Cluster model.ClusterName
	Bundle  model.SignedBundle
}

// PutPolicy creates or replaces a policy document, given in its canonical JSON form.
type PutPolicy struct {
	Kind string
	Name string
	JSON []byte
}

// DeletePolicy removes a policy document.
type DeletePolicy struct {
	Kind string
	Name string
}

// ApplyPolicies writes and removes policy documents, all or none. It changes nothing that is already as it should be.
type ApplyPolicies struct {
	Put    []PutPolicy
	Delete []DeletePolicy
}

// RecordDeed writes into the audit log what an actor does that the state does not hold. It changes nothing else.
type RecordDeed struct {
	// Ref is of a kind that the state does not hold.
	Ref model.Ref
	// Before and After are JSON, nil where there is nothing.
	Before, After json.RawMessage
}

func (InitFederation) isCommand()  {}
func (PutNode) isCommand()         {}
func (RemoveNode) isCommand()      {}
func (CreateToken) isCommand()     {}
func (RevokeToken) isCommand()     {}
func (RedeemNodeToken) isCommand() {}
func (JoinCluster) isCommand()     {}
func (RemoveCluster) isCommand()   {}
func (PutBundle) isCommand()       {}
func (PutPolicy) isCommand()       {}
func (DeletePolicy) isCommand()    {}
func (ApplyPolicies) isCommand()   {}
func (RecordDeed) isCommand()      {}
