package state

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

const (
	// maxChanges and maxChangeBytes bound the changes that a node remembers for those who watch.
	maxChanges     = 4096
	maxChangeBytes = 8 << 20
)

// Change is one object's change by one entry of the log.
type Change struct {
	Index uint64    `json:"index"`
	At    time.Time `json:"at"`
	model.Ref
	// Object is the object as JSON, without secrets, as the entry left it; nil when the entry removed it.
	Object json.RawMessage `json:"object,omitempty"`
}

// Changes returns the changes of objects after an index, in their order: those of one entry by kind and name. It is false when this node does not remember them all: it
// was given a snapshot since, or there were too many. Then the caller begins again with the objects as they are.
func (v *View) Changes(after uint64) ([]Change, bool) {
	if after < v.forgotten {
		return nil, false
	}
	first, _ := slices.BinarySearchFunc(v.changes, after+1, func(c Change, index uint64) int {
		switch {
		case c.Index < index:
			return -1
		case c.Index > index:
			return 1
		}
		return 0
	})
	return v.changes[first:len(v.changes):len(v.changes)], true
}

// Remembered is the index after which this node remembers all changes.
func (v *View) Remembered() uint64 { return v.forgotten }

// touch notes that the present entry changes an object; it is called before the change.
func (s *State) touch(kind, name string) {
	ref := model.Ref{Kind: kind, Name: name}
	if _, noted := s.touched[ref]; !noted {
		s.touched[ref] = s.view.Object(ref)
	}
}

// recorded is the command version from which on all nodes note the last change of every object; before it, of policies alone. Entries that
// a build without the note may have applied must not be noted: the nodes would differ.
const recorded = 3

// ModifiedAt is the Raft index of an object's last change, and 0 when the object does not exist.
func (v *View) ModifiedAt(ref model.Ref) uint64 {
	if index, ok := v.Modified[ref]; ok {
		return index
	}
	if c, ok := v.Clusters[model.ClusterName(ref.Name)]; ok && ref.Kind == model.KindCluster {
		return c.Incarnation
	}
	if v.Object(ref) != nil {
		return 1
	}
	return 0
}

// record writes down what the present entry changed, by kind and name: the order must be the same on every node, as the audit log stands
// in snapshots, and as who watches at one node may go on at another from the middle of an entry.
func (s *State) record(index uint64, e Entry) {
	m := own(s, modified, &s.view.Modified)
	for _, ref := range slices.SortedFunc(maps.Keys(s.touched), model.Ref.Compare) {
		after := s.view.Object(ref)
		switch {
		case after == nil:
			delete(m, ref)
		case e.Version >= recorded || isPolicy(ref.Kind):
			m[ref] = index
		}
		s.remember(Change{Index: index, At: e.At, Ref: ref, Object: after})
		if e.Actor != (model.Actor{}) {
			s.audit(model.AuditEntry{Index: index, At: e.At, Actor: e.Actor, Ref: ref, Before: s.touched[ref], After: after})
		}
	}
}

// remember appends a change. Views share the slice and see no more than what was there, so nothing of it is ever written again.
func (s *State) remember(c Change) {
	s.view.changes = append(s.view.changes, c)
	s.changeBytes += len(c.Object)
	gone := 0
	for len(s.view.changes)-gone > maxChanges || s.changeBytes > maxChangeBytes {
		s.view.forgotten = s.view.changes[gone].Index
		s.changeBytes -= len(s.view.changes[gone].Object)
		gone++
	}
	s.view.changes = s.view.changes[gone:]
}

// Object returns an object as JSON, without secrets; nil when it does not exist.
func (v *View) Object(ref model.Ref) json.RawMessage {
	switch ref.Kind {
	case model.KindNode:
		return encoded(v.Nodes, ref.Name)
	case model.KindCluster:
		return encoded(v.Clusters, model.ClusterName(ref.Name))
	case model.KindToken:
		return encoded(v.Tokens, ref.Name)
	case model.KindTrustDomain:
		return encoded(v.Bundles, ref.Name)
	case string(policy.KindFailoverPolicy):
		return encoded(v.Failover, ref.Name)
	case string(policy.KindExportRule):
		return encoded(v.Exports, ref.Name)
	case string(policy.KindImportRule):
		return encoded(v.Imports, ref.Name)
	case string(policy.KindRoleBinding):
		return encoded(v.Bindings, ref.Name)
	case string(policy.KindIdentityProvider):
		return encoded(v.Providers, ref.Name)
	}
	return nil
}

// Kinds are the kinds of object that the state holds.
func Kinds() []string {
	out := []string{model.KindNode, model.KindCluster, model.KindToken, model.KindTrustDomain}
	for _, k := range policy.Kinds() {
		out = append(out, string(k))
	}
	return out
}

// Names returns the names of a kind's objects, sorted.
func (v *View) Names(kind string) []string {
	switch kind {
	case model.KindNode:
		return names(v.Nodes)
	case model.KindCluster:
		return names(v.Clusters)
	case model.KindToken:
		return names(v.Tokens)
	case model.KindTrustDomain:
		return names(v.Bundles)
	case string(policy.KindFailoverPolicy):
		return names(v.Failover)
	case string(policy.KindExportRule):
		return names(v.Exports)
	case string(policy.KindImportRule):
		return names(v.Imports)
	case string(policy.KindRoleBinding):
		return names(v.Bindings)
	case string(policy.KindIdentityProvider):
		return names(v.Providers)
	}
	return nil
}

func names[K ~string, V any](m map[K]V) []string {
	out := make([]string, 0, len(m))
	for name := range m {
		out = append(out, string(name))
	}
	slices.Sort(out)
	return out
}

func encoded[K comparable, V any](m map[K]V, name K) json.RawMessage {
	if v, ok := m[name]; ok {
		return encode(v)
	}
	return nil
}
