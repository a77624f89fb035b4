package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
)

// Document is one policy document: the struct that belongs to Kind is set, the other is nil.
type Document struct {
	Kind     Kind
	Failover *FailoverPolicy
	Export   *ExportRule
}

// Kinds lists the kinds of document.
func Kinds() []Kind { return []Kind{KindFailoverPolicy, KindExportRule} }

// Name returns the document's name.
func (d Document) Name() string {
	switch {
	case d.Failover != nil:
		return d.Failover.Name
	case d.Export != nil:
		return d.Export.Name
	}
	return ""
}

// Spec returns the document's spec, a FailoverPolicySpec or an ExportRuleSpec; nil for an empty Document.
func (d Document) Spec() any {
	switch {
	case d.Failover != nil:
		return d.Failover.Spec
	case d.Export != nil:
		return d.Export.Spec
	}
	return nil
}

// Validate reports what is wrong with the document. known are the names that references are checked against: regions for a
// FailoverPolicy, clusters for an ExportRule; without any nothing is warned of.
func (d Document) Validate(known []string) (warnings []string, err error) {
	switch {
	case d.Failover != nil:
		return d.Failover.Validate(known)
	case d.Export != nil:
		return d.Export.Validate(known)
	}
	return nil, errors.New("the document is empty")
}

// CanonicalJSON returns the form in which a document is kept and compared: equal documents have equal bytes.
func (d Document) CanonicalJSON() ([]byte, error) {
	out := struct {
		Kind Kind   `json:"kind"`
		Name string `json:"name"`
		Spec any    `json:"spec"`
	}{d.Kind, d.Name(), nil}
	switch {
	case d.Failover != nil:
		out.Spec = d.Failover.Spec.canonical()
	case d.Export != nil:
		out.Spec = d.Export.Spec.canonical()
	default:
		return nil, errors.New("the document is empty")
	}
	return json.Marshal(out)
}

// canonical writes lists that must be given as [], never as null.
func (s FailoverPolicySpec) canonical() FailoverPolicySpec {
	orders := make([]RegionOrder, len(s.Failover))
	for i, o := range s.Failover {
		o.To = orEmpty(o.To)
		orders[i] = o
	}
	s.Failover = orders
	return s
}

func (s ExportRuleSpec) canonical() ExportRuleSpec {
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
	d := Document{Kind: Kind(name)}
	var target any
	switch d.Kind {
	case KindFailoverPolicy:
		d.Failover = &FailoverPolicy{}
		target = d.Failover
	case KindExportRule:
		d.Export = &ExportRule{}
		target = d.Export
	default:
		return Document{}, []fault{unknownKind(name, isText)}
	}
	rest := make(map[string]any, len(fields))
	for k, v := range fields {
		if k != "kind" {
			rest[k] = v
		}
	}
	if faults := check(rest, reflect.TypeOf(target).Elem(), nil); len(faults) > 0 {
		return Document{}, faults
	}
	text, err := json.Marshal(rest)
	if err == nil {
		err = json.Unmarshal(text, target)
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
