package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

// maxPolicy bounds a policy document, in bytes of JSON.
const maxPolicy = 256 << 10

// document is a policy document of any kind. The kind stands in the document itself or beside it.
type document[S any] struct {
	Kind   string        `json:"kind,omitempty"`
	Name   string        `json:"name"`
	Labels policy.Labels `json:"labels,omitempty"`
	Spec   S             `json:"spec"`
}

func (s *State) putPolicy(c PutPolicy) (bool, error) {
	put, err := s.preparePolicy(c)
	if err != nil {
		return false, err
	}
	return put(), nil
}

// preparePolicy checks a document and returns what puts it in its place and reports whether that was a change.
func (s *State) preparePolicy(c PutPolicy) (func() bool, error) {
	if err := model.ValidateLabel("policy name", c.Name); err != nil {
		return nil, refuse(Invalid, "%v", err)
	}
	switch policy.Kind(c.Kind) {
	case policy.KindFailoverPolicy:
		return prepare(s, c, failover, &s.view.Failover, func(d document[policy.FailoverPolicySpec]) policy.FailoverPolicy {
			return policy.FailoverPolicy{Name: d.Name, Labels: d.Labels, Spec: d.Spec}
		})
	case policy.KindExportRule:
		return prepare(s, c, exports, &s.view.Exports, func(d document[policy.ExportRuleSpec]) policy.ExportRule {
			return policy.ExportRule{Name: d.Name, Labels: d.Labels, Spec: d.Spec}
		})
	case policy.KindImportRule:
		return prepare(s, c, imports, &s.view.Imports, func(d document[policy.ImportRuleSpec]) policy.ImportRule {
			return policy.ImportRule{Name: d.Name, Labels: d.Labels, Spec: d.Spec}
		})
	case policy.KindRoleBinding:
		return prepare(s, c, bindings, &s.view.Bindings, func(d document[policy.RoleBindingSpec]) policy.RoleBinding {
			return policy.RoleBinding{Name: d.Name, Labels: d.Labels, Spec: d.Spec}
		})
	case policy.KindIdentityProvider:
		return prepare(s, c, providers, &s.view.Providers, func(d document[policy.IdentityProviderSpec]) policy.IdentityProvider {
			return policy.IdentityProvider{Name: d.Name, Labels: d.Labels, Spec: d.Spec}
		})
	default:
		return nil, unknownKind(c.Kind)
	}
}

func prepare[S, P any](s *State, c PutPolicy, p part, m *map[string]P, make func(document[S]) P) (func() bool, error) {
	d, err := readDocument[S](c)
	if err != nil {
		return nil, refuse(Invalid, "%s %s: %v", c.Kind, c.Name, err)
	}
	next := make(d)
	return func() bool {
		if held, ok := (*m)[c.Name]; ok && bytes.Equal(encode(held), encode(next)) {
			return false
		}
		s.touch(c.Kind, c.Name)
		own(s, p, m)[c.Name] = next
		return true
	}, nil
}

func (s *State) deletePolicy(c DeletePolicy) (bool, error) {
	if !isPolicy(c.Kind) {
		return false, unknownKind(c.Kind)
	}
	if s.view.Object(model.Ref(c)) == nil {
		return false, refuse(NotFound, "there is no %s %.80q", c.Kind, c.Name)
	}
	s.removePolicy(c)
	return true, nil
}

func (s *State) removePolicy(c DeletePolicy) {
	s.touch(c.Kind, c.Name)
	switch policy.Kind(c.Kind) {
	case policy.KindFailoverPolicy:
		delete(own(s, failover, &s.view.Failover), c.Name)
	case policy.KindExportRule:
		delete(own(s, exports, &s.view.Exports), c.Name)
	case policy.KindImportRule:
		delete(own(s, imports, &s.view.Imports), c.Name)
	case policy.KindRoleBinding:
		delete(own(s, bindings, &s.view.Bindings), c.Name)
	case policy.KindIdentityProvider:
		delete(own(s, providers, &s.view.Providers), c.Name)
	}
}

// applyPolicies checks everything before it changes anything. What is to go and is not there is no error: the set is as it should be.
func (s *State) applyPolicies(c ApplyPolicies) (bool, error) {
	puts := make([]func() bool, 0, len(c.Put))
	for _, p := range c.Put {
		put, err := s.preparePolicy(p)
		if err != nil {
			return false, err
		}
		puts = append(puts, put)
	}
	for _, d := range c.Delete {
		if !isPolicy(d.Kind) {
			return false, unknownKind(d.Kind)
		}
	}
	changed := false
	for _, d := range c.Delete {
		if s.view.Object(model.Ref(d)) != nil {
			s.removePolicy(d)
			changed = true
		}
	}
	for _, put := range puts {
		changed = put() || changed
	}
	return changed, nil
}

func isPolicy(kind string) bool { return slices.Contains(policy.Kinds(), policy.Kind(kind)) }

// readDocument checks the form only. Whether a policy makes sense was judged before it was proposed: that judgement may differ
// between builds, and what Apply decides may not.
func readDocument[S any](c PutPolicy) (document[S], error) {
	var d document[S]
	if len(c.JSON) > maxPolicy {
		return d, tooLarge(len(c.JSON))
	}
	in := json.NewDecoder(bytes.NewReader(c.JSON))
	in.DisallowUnknownFields()
	if err := in.Decode(&d); err != nil {
		return d, fmt.Errorf("the document is not readable: %w", err)
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return d, errors.New("the document is followed by something else")
	}
	if d.Name != c.Name || d.Kind != "" && d.Kind != c.Kind {
		return d, fmt.Errorf("the document itself is of kind %.20q and name %.80q", d.Kind, d.Name)
	}
	// The canonical form can be longer, and a snapshot must be readable.
	if n := len(encode(d)); n > maxPolicy {
		return d, tooLarge(n)
	}
	return d, nil
}

func tooLarge(n int) error {
	return fmt.Errorf("the document has %d bytes, more than the %d allowed", n, maxPolicy)
}

// encode cannot fail: policies are structs of strings, lists and truth values.
func encode(v any) []byte {
	out, _ := json.Marshal(v)
	return out
}

func unknownKind(kind string) error {
	return refuse(Invalid, "policy kind %.40q is not one of %s", kind, policy.Names(policy.Kinds()))
}
