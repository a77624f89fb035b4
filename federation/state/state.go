package state

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

// BundleRule decides whether next may take the place of held (nil when there is none) and returns its content. It must be
// deterministic: every node runs it on its own.
type BundleRule func(held *model.SignedBundle, next model.SignedBundle) (model.Bundle, error)

// Result is what a command did.
type Result struct {
	Index uint64
	// Err is the refusal, an *Error.
	Err error
	// Fatal says that this build cannot apply the entry. The state is unchanged and must not be used any further: a node that goes
	// on would differ from the others.
	Fatal error
	// Cluster is the membership that JoinCluster made or found.
	Cluster model.Cluster
	// Changed tells whether the command changed more than the index.
	Changed bool
}

// State is the replicated state. It is not safe for concurrent use; its views are.
type State struct {
	rule BundleRule
	view View
	// touched are the objects that the present entry changes, as JSON, as they were before; nil where there was none.
	touched map[model.Ref]json.RawMessage
	// changeBytes and auditBytes are the sizes of what the view remembers.
	changeBytes, auditBytes int
	// owned are the maps of view that no View shares: they may be changed in place, so that a batch of entries copies a map once.
	owned map[part]bool
}

// part names a map of the view.
type part int

const (
	nodes part = iota
	clusters
	tokens
	bundles
	failover
	exports
	imports
	bindings
	providers
	modified
)

// New returns an empty state at index 0.
func New(rule BundleRule) *State {
	return Restore(&View{
		Nodes:     map[string]model.Node{},
		Clusters:  map[model.ClusterName]model.Cluster{},
		Tokens:    map[string]model.Token{},
		Bundles:   map[string]model.SignedBundle{},
		Failover:  map[string]policy.FailoverPolicy{},
		Exports:   map[string]policy.ExportRule{},
		Imports:   map[string]policy.ImportRule{},
		Bindings:  map[string]policy.RoleBinding{},
		Providers: map[string]policy.IdentityProvider{},
		Modified:  map[model.Ref]uint64{},
	}, rule)
}

// Restore returns a state that goes on from v.
func Restore(v *View, rule BundleRule) *State {
	s := &State{rule: rule, view: *v, owned: map[part]bool{}, touched: map[model.Ref]json.RawMessage{}}
	// The next append must not write into what another state that goes on from v sees.
	s.view.changes, s.view.audit = slices.Clip(v.changes), slices.Clip(v.audit)
	for _, c := range v.changes {
		s.changeBytes += len(c.Object)
	}
	for _, e := range v.audit {
		s.auditBytes += auditSize(e)
	}
	return s
}

// View returns the state as it is now. Later entries do not change it.
func (s *State) View() *View {
	clear(s.owned)
	v := s.view
	return &v
}

// Apply runs one entry of the log. Entries must come in the order of their indexes. A refused entry changes nothing but the index.
func (s *State) Apply(index uint64, e Entry) Result {
	if e.Version > model.CommandVersion {
		return Result{Index: index, Fatal: fmt.Errorf("entry %d needs command version %d, this build knows %d: upgrade this node", index, e.Version, model.CommandVersion)}
	}
	if index <= s.view.Index {
		return Result{Index: index, Fatal: fmt.Errorf("entry %d comes after entry %d: the log is not in order", index, s.view.Index)}
	}
	r := Result{Index: index}
	if _, first := e.Command.(InitFederation); !first && s.view.Federation == "" {
		r.Err = refuse(Invalid, "the federation is not initialised yet: run 'hanse server init' on its first node")
	} else if r.Err = s.view.meets(e.Expect); r.Err == nil {
		clear(s.touched)
		s.run(index, e, &r)
		if r.Changed {
			s.record(index, e)
		}
	}
	if r.Fatal == nil {
		s.view.Index = index
	}
	return r
}

// meets refuses when an object is not as a writer saw it.
func (v *View) meets(expected []Expectation) error {
	for _, x := range expected {
		switch held := v.ModifiedAt(x.Ref); {
		case held == x.Index:
		case held == 0:
			return refuse(Mismatch, "%s does not exist any more", x.Ref)
		case x.Index == 0:
			return refuse(Mismatch, "%s exists already", x.Ref)
		default:
			return refuse(Mismatch, "%s was changed meanwhile, at index %d: read it again and repeat the change", x.Ref, held)
		}
	}
	return nil
}

func (s *State) run(index uint64, e Entry, r *Result) {
	switch c := e.Command.(type) {
	case InitFederation:
		r.Changed, r.Err = s.initFederation(c)
	case PutNode:
		r.Changed, r.Err = s.putNode(c.Node)
	case RemoveNode:
		r.Changed, r.Err = s.removeNode(c.Name)
	case CreateToken:
		r.Changed, r.Err = s.createToken(c.Token, e.At)
	case RevokeToken:
		r.Changed, r.Err = s.revokeToken(c.ID)
	case RedeemNodeToken:
		r.Changed, r.Err = s.redeemNodeToken(c, e.At)
	case JoinCluster:
		r.Cluster, r.Changed, r.Err = s.joinCluster(index, c, e.At)
	case RemoveCluster:
		r.Changed, r.Err = s.removeCluster(c.Name)
	case PutBundle:
		r.Changed, r.Err = s.putBundle(c)
	case PutPolicy:
		r.Changed, r.Err = s.putPolicy(c)
	case DeletePolicy:
		r.Changed, r.Err = s.deletePolicy(c)
	case ApplyPolicies:
		r.Changed, r.Err = s.applyPolicies(c)
	case RecordDeed:
		r.Changed, r.Err = s.recordDeed(index, e, c)
	default:
		r.Fatal = fmt.Errorf("entry %d holds a command that this build does not know (%T): upgrade this node", index, e.Command)
	}
}

func (s *State) initFederation(c InitFederation) (bool, error) {
	if s.view.Federation != "" {
		return false, refuse(Conflict, "this is the federation %s already: to start another, use an empty data directory", s.view.Federation)
	}
	if !validTrustDomain(c.Name) {
		return false, refuse(Invalid, "federation name %.80q is not a valid trust domain: use lower-case letters, digits, '-' and '.'", c.Name)
	}
	if len(c.Root) == 0 {
		return false, refuse(Invalid, "the federation's root certificate is missing")
	}
	if err := checkNode(c.Node); err != nil {
		return false, err
	}
	if c.Node.Replica {
		return false, refuse(Invalid, "node %s cannot begin a federation as a replica: somebody must vote", c.Node.Name)
	}
	if c.OperatorToken.Kind != model.TokenOperator {
		return false, refuse(Invalid, "the first token must be an operator token, not %q", c.OperatorToken.Kind)
	}
	if err := checkNewToken(c.OperatorToken); err != nil {
		return false, err
	}
	s.touch(model.KindNode, c.Node.Name)
	s.touch(model.KindToken, c.OperatorToken.ID)
	s.view.Federation, s.view.Root = c.Name, c.Root
	own(s, nodes, &s.view.Nodes)[c.Node.Name] = c.Node
	own(s, tokens, &s.view.Tokens)[c.OperatorToken.ID] = c.OperatorToken
	return true, nil
}

// own returns a map of the view that may be changed: a copy, unless one was made since the last view was given out.
func own[K comparable, V any](s *State, p part, m *map[K]V) map[K]V {
	if !s.owned[p] {
		if *m = maps.Clone(*m); *m == nil {
			*m = map[K]V{}
		}
		s.owned[p] = true
	}
	return *m
}
