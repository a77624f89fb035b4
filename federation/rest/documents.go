package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/access"
	"github.com/hanse-mesh/hanse/federation/state"
)

// Document is a policy document with a spec of type S, as it is written and read: the same fields as in a file.
type Document[S any] struct {
	Kind   policy.Kind   `json:"kind,omitempty" doc:"May be left out where the path says it"`
	Name   string        `json:"name,omitempty" minLength:"1" maxLength:"63" pattern:"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" example:"shop" doc:"May be left out where the path says it"`
	Labels policy.Labels `json:"labels,omitempty" doc:"By which documents are selected; hanse.dev/set is the set that the document was applied with"`
	Spec   S             `json:"spec"`
}

// The kinds of document.
type (
	FailoverPolicy   = Document[policy.FailoverPolicySpec]
	ExportRule       = Document[policy.ExportRuleSpec]
	ImportRule       = Document[policy.ImportRuleSpec]
	RoleBinding      = Document[policy.RoleBindingSpec]
	IdentityProvider = Document[policy.IdentityProviderSpec]
)

// TransformSchema adds to the schema what its type cannot say.
func (Document[S]) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Properties["kind"].Enum = []any{string(kindOf[S]())}
	s.Properties["labels"] = labelsSchema(s.Properties["labels"].Description)
	return s
}

func labelsSchema(description string) *huma.Schema {
	const name, value = `^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`, `^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$`
	most, nameLength, valueLength := 64, 317, 63
	s := &huma.Schema{
		Type: huma.TypeObject, Description: description, MaxProperties: &most,
		AdditionalProperties: &huma.Schema{Type: huma.TypeString, Pattern: value, MaxLength: &valueLength},
		Extensions:           map[string]any{"propertyNames": &huma.Schema{Type: huma.TypeString, Pattern: name, MaxLength: &nameLength}},
		Examples:             []any{map[string]any{policy.SetLabel: "shop"}},
	}
	s.AdditionalProperties.(*huma.Schema).PrecomputeMessages()
	return s
}

func kindOf[S any]() policy.Kind {
	var spec S
	switch any(spec).(type) {
	case policy.FailoverPolicySpec:
		return policy.KindFailoverPolicy
	case policy.ExportRuleSpec:
		return policy.KindExportRule
	case policy.ImportRuleSpec:
		return policy.KindImportRule
	case policy.RoleBindingSpec:
		return policy.KindRoleBinding
	default:
		return policy.KindIdentityProvider
	}
}

// nameSchemas gives documents the names of their kinds in the description.
func nameSchemas(name string) string {
	for _, k := range policy.Kinds() {
		name = strings.ReplaceAll(name, "Document"+string(k)+"Spec", string(k))
	}
	return name
}

// documentText is a document as a request brings it.
type documentText struct {
	// at is where it stands in the request.
	at   string
	kind policy.Kind
	// name is the one in the path, if there is one, and set the set that the document is to be of.
	name, set string
	data      []byte
}

// parseDocument reads a document and checks its form.
func (s *service) parseDocument(t documentText) (policy.Document, []*Fault) {
	var fields map[string]any
	if err := json.Unmarshal(t.data, &fields); err != nil || fields == nil {
		return policy.Document{}, []*Fault{{Location: t.at, Message: "is not a document", Remedy: "give the fields kind, name, labels and spec"}}
	}
	if f := t.complete(fields); f != nil {
		return policy.Document{}, []*Fault{f}
	}
	whole, err := json.Marshal(fields)
	if err != nil {
		return policy.Document{}, []*Fault{{Location: t.at, Message: err.Error()}}
	}
	d, err := policy.ParseJSON(t.kind, whole)
	if err == nil {
		_, err = d.Validate(nil)
	}
	if err != nil {
		return d, []*Fault{documentFault(t.at, err)}
	}
	return d, s.schemaFaults(t.at, t.kind, fields)
}

// complete adds what the request says outside the document, and finds what contradicts it.
func (t documentText) complete(fields map[string]any) *Fault {
	if kind, given := fields["kind"]; given && kind != string(t.kind) {
		return &Fault{Location: t.at + ".kind", Message: "is not " + string(t.kind), Remedy: "leave it out, or write to the path of that kind"}
	}
	if name, given := fields["name"].(string); given && t.name != "" && name != t.name {
		return &Fault{Location: t.at + ".name", Message: fmt.Sprintf("%q is not the name in the path, %q", clip(name), t.name), Remedy: "leave it out, or write to the other path"}
	} else if _, given := fields["name"]; !given {
		fields["name"] = t.name
	}
	labels, given := fields["labels"].(map[string]any)
	if _, other := fields["labels"]; t.set == "" || other && !given {
		return nil
	}
	if other, labelled := labels[policy.SetLabel].(string); labelled && other != t.set {
		return &Fault{
			Location: t.at + ".labels." + policy.SetLabel, Message: fmt.Sprintf("the document is of the set %q, not of %q", clip(other), t.set),
			Remedy: "remove the label, or apply the document with its own set",
		}
	}
	if !given {
		labels = map[string]any{}
		fields["labels"] = labels
	}
	labels[policy.SetLabel] = t.set
	return nil
}

// schemaFaults holds a document against its schema: what the description forbids is refused, whoever else would take it.
func (s *service) schemaFaults(at string, kind policy.Kind, fields map[string]any) []*Fault {
	path, found := huma.NewPathBuffer(nil, 0), huma.ValidateResult{}
	path.Push(at)
	huma.Validate(s.schemas, s.schemas.SchemaFromRef(schemaPrefix+string(kind)), path, huma.ModeWriteToServer, fields, &found)
	var faults []*Fault
	for _, err := range found.Errors {
		f := asFault(err)
		faults = append(faults, &f)
	}
	return faults
}

// verbOn is what it takes to change a document.
func verbOn(kind policy.Kind) access.Verb {
	switch kind {
	case policy.KindFailoverPolicy, policy.KindExportRule, policy.KindImportRule:
		return access.WritePolicy
	}
	return access.Administer
}

// namespacesOf are the namespaces that a document is about.
func namespacesOf(spec any) []string {
	switch s := spec.(type) {
	case policy.FailoverPolicySpec:
		if s.Namespace == "" {
			return []string{policy.Any}
		}
		return []string{s.Namespace}
	case policy.ExportRuleSpec:
		return s.Namespaces
	case policy.ImportRuleSpec:
		// What it does not name it keeps out.
		return []string{policy.Any}
	}
	return nil
}

// heldNamespaces are the namespaces that the document is about as it stands; none when there is no such document.
func heldNamespaces(v *state.View, ref model.Ref) []string {
	switch policy.Kind(ref.Kind) {
	case policy.KindFailoverPolicy:
		if held, ok := v.Failover[ref.Name]; ok {
			return namespacesOf(held.Spec)
		}
	case policy.KindExportRule:
		if held, ok := v.Exports[ref.Name]; ok {
			return namespacesOf(held.Spec)
		}
	case policy.KindImportRule:
		if held, ok := v.Imports[ref.Name]; ok {
			return namespacesOf(held.Spec)
		}
	}
	return nil
}

// known are the names that the references of a kind of document are checked against.
func known(v *state.View, kind policy.Kind) []string {
	switch kind {
	case policy.KindFailoverPolicy:
		return knownRegions(v)
	case policy.KindExportRule, policy.KindImportRule:
		return v.Names(model.KindCluster)
	case policy.KindRoleBinding:
		return v.Names(string(policy.KindIdentityProvider))
	}
	return nil
}

// knownRegions are the regions in which anything of the federation stands.
func knownRegions(v *state.View) []string {
	var out []string
	for _, n := range v.Nodes {
		out = append(out, n.Region)
	}
	for _, c := range v.Clusters {
		out = append(out, c.Region)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// refuseDocument is the answer to documents with faults.
func refuseDocument(faults []*Fault) error {
	slices.SortStableFunc(faults, func(a, b *Fault) int { return strings.Compare(a.Location, b.Location) })
	return unprocessable(faults...)
}

// missing is the answer to a request about what does not exist.
func missing(kind, name string) error {
	return newProblem(http.StatusNotFound, fmt.Sprintf("there is no %s %.80q", kind, name))
}
