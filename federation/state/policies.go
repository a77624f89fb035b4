package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
)

// maxPolicy bounds a policy document, in bytes of JSON.
const maxPolicy = 256 << 10

// document is a policy document of any kind. The kind stands in the document itself or beside it.
type document[S any] struct {
	Kind string `json:"kind,omitempty"`
	Name string `json:"name"`
	Spec S      `json:"spec"`
}

func (s *State) putPolicy(index uint64, c PutPolicy) (bool, error) {
	if err := model.ValidateLabel("policy name", c.Name); err != nil {
		return false, refuse(Invalid, "%v", err)
	}
	var changed bool
	var err error
	switch policy.Kind(c.Kind) {
	case policy.KindFailoverPolicy:
		var d document[policy.FailoverPolicySpec]
		if d, err = readDocument[policy.FailoverPolicySpec](c); err == nil {
			next := policy.FailoverPolicy{Name: d.Name, Spec: d.Spec}
			changed = replace(s, failover, &s.view.Failover, c.Name, next)
		}
	case policy.KindExportRule:
		var d document[policy.ExportRuleSpec]
		if d, err = readDocument[policy.ExportRuleSpec](c); err == nil {
			next := policy.ExportRule{Name: d.Name, Spec: d.Spec}
			changed = replace(s, exports, &s.view.Exports, c.Name, next)
		}
	default:
		return false, unknownKind(c.Kind)
	}
	if err != nil {
		return false, refuse(Invalid, "%s %s: %v", c.Kind, c.Name, err)
	}
	if changed {
		own(s, policyIndex, &s.view.PolicyIndex)[policyKey(c.Kind, c.Name)] = index
	}
	return changed, nil
}

func (s *State) deletePolicy(c DeletePolicy) (bool, error) {
	if k := policy.Kind(c.Kind); k != policy.KindFailoverPolicy && k != policy.KindExportRule {
		return false, unknownKind(c.Kind)
	}
	key := policyKey(c.Kind, c.Name)
	if _, ok := s.view.PolicyIndex[key]; !ok {
		return false, refuse(NotFound, "there is no %s %.80q", c.Kind, c.Name)
	}
	if policy.Kind(c.Kind) == policy.KindFailoverPolicy {
		delete(own(s, failover, &s.view.Failover), c.Name)
	} else {
		delete(own(s, exports, &s.view.Exports), c.Name)
	}
	delete(own(s, policyIndex, &s.view.PolicyIndex), key)
	return true, nil
}

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

// replace puts next under name and reports whether that is a change.
func replace[P any](s *State, p part, m *map[string]P, name string, next P) bool {
	if held, ok := (*m)[name]; ok && bytes.Equal(encode(held), encode(next)) {
		return false
	}
	own(s, p, m)[name] = next
	return true
}

// encode cannot fail: policies are structs of strings, lists and truth values.
func encode(v any) []byte {
	out, _ := json.Marshal(v)
	return out
}

func policyKey(kind, name string) string { return kind + "/" + name }

func unknownKind(kind string) error {
	return refuse(Invalid, "policy kind %.40q is not one of %s, %s", kind, policy.KindFailoverPolicy, policy.KindExportRule)
}
