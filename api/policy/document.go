package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
)

// Document is one policy document.
type Document struct {
	Kind Kind
	// Policy is a pointer to the struct that belongs to Kind; nil in an empty Document.
	Policy Policy
}

// Policy is a *FailoverPolicy, *ExportRule, *ImportRule, *RoleBinding or *IdentityProvider.
type Policy interface {
	// Validate reports what is wrong with the policy. known are the names that its references are checked against: regions for a
	// FailoverPolicy, clusters for an ExportRule or an ImportRule; without any nothing is warned of.
	Validate(known []string) (warnings []string, err error)

	policyName() string
	policyLabels() Labels
	policySpec() any
	// canonicalSpec is the spec with lists that must be given written as [], never as null.
	canonicalSpec() any
}

// newPolicy returns an empty policy of a kind, nil for a kind that is not known.
func newPolicy(k Kind) Policy {
	switch k {
	case KindFailoverPolicy:
		return &FailoverPolicy{}
	case KindExportRule:
		return &ExportRule{}
	case KindImportRule:
		return &ImportRule{}
	case KindRoleBinding:
		return &RoleBinding{}
	case KindIdentityProvider:
		return &IdentityProvider{}
	}
	return nil
}

// Name returns the document's name.
func (d Document) Name() string {
	if d.Policy == nil {
		return ""
	}
	return d.Policy.policyName()
}

// Labels returns the document's labels.
func (d Document) Labels() Labels {
	if d.Policy == nil {
		return nil
	}
	return d.Policy.policyLabels()
}

// Spec returns the document's spec, for example an ExportRuleSpec; nil for an empty Document.
func (d Document) Spec() any {
	if d.Policy == nil {
		return nil
	}
	return d.Policy.policySpec()
}

// Validate is the policy's Validate, with its labels.
func (d Document) Validate(known []string) (warnings []string, err error) {
	if d.Policy == nil {
		return nil, errors.New("the document is empty")
	}
	if err := d.Policy.policyLabels().validate(); err != nil {
		return nil, err
	}
	return d.Policy.Validate(known)
}

// CanonicalJSON returns the form in which a document is kept and compared: equal documents have equal bytes.
func (d Document) CanonicalJSON() ([]byte, error) {
	if d.Policy == nil {
		return nil, errors.New("the document is empty")
	}
	return json.Marshal(struct {
		Kind   Kind   `json:"kind"`
		Name   string `json:"name"`
		Labels Labels `json:"labels,omitempty"`
		Spec   any    `json:"spec"`
	}{d.Kind, d.Name(), d.Policy.policyLabels(), d.Policy.canonicalSpec()})
}

func (p *FailoverPolicy) policyName() string   { return p.Name }
func (p *FailoverPolicy) policyLabels() Labels { return p.Labels }
func (p *FailoverPolicy) policySpec() any      { return p.Spec }
func (p *FailoverPolicy) canonicalSpec() any {
	s := p.Spec
	orders := make([]RegionOrder, len(s.Failover))
	for i, o := range s.Failover {
		o.To = orEmpty(o.To)
		orders[i] = o
	}
	s.Failover = orders
	return s
}

func (r *ExportRule) policyName() string   { return r.Name }
func (r *ExportRule) policyLabels() Labels { return r.Labels }
func (r *ExportRule) policySpec() any      { return r.Spec }
func (r *ExportRule) canonicalSpec() any {
	s := r.Spec
	s.From, s.Namespaces, s.To = orEmpty(s.From), orEmpty(s.Namespaces), orEmpty(s.To)
	return s
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// ParseJSON reads one JSON document of a kind. The document itself may name its kind, too, and then must name this one. It checks the
// form only: unknown fields, wrong types and anything after the document are errors.
func ParseJSON(kind Kind, data []byte) (Document, error) {
	if len(data) > MaxBytes {
		return Document{}, fmt.Errorf("document has %d bytes, more than the %d allowed", len(data), MaxBytes)
	}
	in := json.NewDecoder(bytes.NewReader(data))
	var fields map[string]any
	if err := in.Decode(&fields); err != nil {
		return Document{}, fmt.Errorf("document is not valid JSON: %w", err)
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return Document{}, errors.New("document is followed by something else")
	}
	if fields == nil {
		return Document{}, errors.New("document is null")
	}
	if _, ok := fields["kind"]; !ok {
		fields["kind"] = string(kind)
	}
	d, faults := fromFields(fields)
	if len(faults) > 0 {
		return Document{}, faults[0]
	}
	if d.Kind != kind {
		return Document{}, fmt.Errorf("document is of kind %s, not %.40q", d.Kind, kind)
	}
	return d, nil
}

// fromFields makes a document of decoded fields.
func fromFields(fields map[string]any) (Document, []fault) {
	name, isText := fields["kind"].(string)
	d := Document{Kind: Kind(name), Policy: newPolicy(Kind(name))}
	if d.Policy == nil {
		return Document{}, []fault{unknownKind(name, isText)}
	}
	rest := make(map[string]any, len(fields))
	for k, v := range fields {
		if k != "kind" {
			rest[k] = v
		}
	}
	if faults := check(rest, reflect.TypeOf(d.Policy).Elem(), nil); len(faults) > 0 {
		return Document{}, faults
	}
	text, err := json.Marshal(rest)
	if err == nil {
		err = json.Unmarshal(text, d.Policy)
	}
	if err != nil {
		return Document{}, []fault{{text: err.Error()}}
	}
	return d, nil
}

func unknownKind(name string, isText bool) fault {
	var names []string
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	if !isText || name == "" {
		return fault{[]string{"kind"}, "is missing: give " + oneOf(names)}
	}
	return fault{[]string{"kind"}, fmt.Sprintf("%.40q is not known%s", name, didYouMean(name, names))}
}
