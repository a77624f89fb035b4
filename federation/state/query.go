package state

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

// CheckToken finds the token that the credential names and checks its secret, kind, revocation and end. Its error is an *Error with
// the code Denied.
func (v *View) CheckToken(id string, secretHash []byte, kind model.TokenKind, now time.Time) (model.Token, error) {
	t, err := v.credential(id, secretHash, kind)
	if err != nil {
		return model.Token{}, err
	}
	if err := checkExpiry(t, now); err != nil {
		return model.Token{}, err
	}
	return t, nil
}

// CommandVersion is the newest command version that every node can apply; before there are nodes, this build's.
func (v *View) CommandVersion() uint32 {
	return min(model.CommandVersion, v.lowestCommand())
}

// lowestCommand does not depend on the build: what Apply decides by it is the same everywhere.
func (v *View) lowestCommand() uint32 {
	lowest := uint32(math.MaxUint32)
	for _, n := range v.Nodes {
		lowest = min(lowest, n.CommandMax)
	}
	return lowest
}

// Voters counts the nodes that are not replicas.
func (v *View) Voters() int {
	voters := 0
	for _, n := range v.Nodes {
		if !n.Replica {
			voters++
		}
	}
	return voters
}

// Versioned returns the entry with the version that a proposer gives it who knows that all nodes can apply common. It fails when the
// entry says more than they understand.
func (e Entry) Versioned(common uint32) (Entry, error) {
	e.Version = versionOf(e.Command)
	if len(e.Expect) > 0 {
		e.Version = max(e.Version, recorded)
	}
	if e.Version > common {
		return e, refuse(Conflict, "command %T needs version %d and some node knows only %d: upgrade all nodes first", e.Command, e.Version, common)
	}
	if e.Version = max(e.Version, min(common, recorded)); e.Version < recorded {
		e.Actor = model.Actor{}
	}
	return e, nil
}

// versionOf is the lowest command version that knows the command with all that it says.
func versionOf(command Command) uint32 {
	var node model.Node
	switch c := command.(type) {
	case RecordDeed:
		return 4
	case ApplyPolicies:
		return versionOfSet(c)
	case PutPolicy:
		if policy.Kind(c.Kind) == policy.KindImportRule {
			return 4
		}
		// Whether there are labels does not show from outside: the whole document is read.
		d, _ := readDocument[json.RawMessage](c)
		if k := policy.Kind(c.Kind); k == policy.KindRoleBinding || k == policy.KindIdentityProvider || len(d.Labels) > 0 {
			return 3
		}
	case DeletePolicy:
		if policy.Kind(c.Kind) == policy.KindImportRule {
			return 4
		}
		if k := policy.Kind(c.Kind); k == policy.KindRoleBinding || k == policy.KindIdentityProvider {
			return 3
		}
	case CreateToken:
		if c.Token.Role != "" || len(c.Token.Namespaces) > 0 || c.Token.Label != "" {
			return 3
		}
	case PutNode:
		node = c.Node
	case RedeemNodeToken:
		node = c.Node
	}
	if node.Replica {
		return 2
	}
	return 1
}

// versionOfSet is that of the newest of its documents, and at least that of sets.
func versionOfSet(set ApplyPolicies) uint32 {
	version := uint32(3)
	for _, p := range set.Put {
		version = max(version, versionOf(p))
	}
	for _, d := range set.Delete {
		version = max(version, versionOf(d))
	}
	return version
}

// ClusterByTrustDomain finds the member that owns the trust domain.
func (v *View) ClusterByTrustDomain(trustDomain string) (model.Cluster, bool) {
	for _, c := range v.Clusters {
		if c.TrustDomain == trustDomain {
			return c, true
		}
	}
	return model.Cluster{}, false
}

// NodeList returns the nodes sorted by name.
func (v *View) NodeList() []model.Node { return sorted(v.Nodes) }

// ClusterList returns the members sorted by name.
func (v *View) ClusterList() []model.Cluster { return sorted(v.Clusters) }

// TokenList returns the tokens sorted by id.
func (v *View) TokenList() []model.Token { return sorted(v.Tokens) }

// FailoverList returns the failover policies sorted by name.
func (v *View) FailoverList() []policy.FailoverPolicy { return sorted(v.Failover) }

// ExportList returns the export rules sorted by name.
func (v *View) ExportList() []policy.ExportRule { return sorted(v.Exports) }

// ImportList returns the import rules sorted by name.
func (v *View) ImportList() []policy.ImportRule { return sorted(v.Imports) }

// BindingList returns the role bindings sorted by name.
func (v *View) BindingList() []policy.RoleBinding { return sorted(v.Bindings) }

// ProviderList returns the identity providers sorted by name.
func (v *View) ProviderList() []policy.IdentityProvider { return sorted(v.Providers) }

func sorted[K cmp.Ordered, V any](m map[K]V) []V {
	out := make([]V, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}
