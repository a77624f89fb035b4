package rest

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/access"
	"github.com/hanse-mesh/hanse/federation/state"
)

// planned is what it takes to make a set of documents so.
type planned struct {
	results []AppliedResult
	command state.ApplyPolicies
	// expect says that everything is still as the plan found it.
	expect []state.Expectation
	needs  []need
}

// need is what a caller must be allowed to do.
type need struct {
	verb       access.Verb
	namespaces []string
	on         model.Ref
}

// plan compares documents with what is held. When prune names a set, what carries its label and is not among them is to go.
func plan(v *state.View, docs []policy.Document, prune string) (planned, error) {
	var p planned
	for _, d := range docs {
		if err := p.put(v, d, docs); err != nil {
			return p, err
		}
	}
	if prune == "" {
		return p, nil
	}
	set, err := policy.ParseSelector(policy.SetLabel + "=" + prune)
	if err != nil {
		return p, unprocessable(&Fault{Location: "body.prune", Message: err.Error()})
	}
	for _, held := range heldDocuments(v) {
		ref := model.Ref{Kind: string(held.Kind), Name: held.Name()}
		if set.Matches(held.Labels()) && !slices.ContainsFunc(docs, func(d policy.Document) bool { return d.Kind == held.Kind && d.Name() == held.Name() }) {
			if err := p.delete(v, held, ref); err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

func (p *planned) put(v *state.View, d policy.Document, all []policy.Document) error {
	ref := model.Ref{Kind: string(d.Kind), Name: d.Name()}
	warnings, err := d.Validate(knownWith(v, d.Kind, all))
	if err != nil {
		return unprocessable(documentFault("body.documents", err))
	}
	put, err := putOf(d)
	if err != nil {
		return err
	}
	before, err := heldText(v, ref)
	if err != nil {
		return err
	}
	result := AppliedResult{Kind: d.Kind, Name: d.Name(), Action: ActionCreated, Before: before, After: put.JSON, Warnings: warnings}
	p.expect = append(p.expect, state.Expectation{Ref: ref, Index: v.ModifiedAt(ref)})
	switch {
	case bytes.Equal(before, put.JSON):
		result.Action = ActionUnchanged
	case before != nil:
		result.Action = ActionChanged
	}
	if result.Action != ActionUnchanged {
		p.command.Put = append(p.command.Put, put)
		p.needs = append(p.needs, need{verbOn(d.Kind), slices.Concat(namespacesOf(d.Spec()), heldNamespaces(v, ref)), ref})
	}
	p.results = append(p.results, result)
	return nil
}

func (p *planned) delete(v *state.View, held policy.Document, ref model.Ref) error {
	before, err := held.CanonicalJSON()
	if err != nil {
		return huma.Error500InternalServerError("read " + ref.String() + ": " + err.Error())
	}
	p.results = append(p.results, AppliedResult{Kind: held.Kind, Name: ref.Name, Action: ActionDeleted, Before: before})
	p.expect = append(p.expect, state.Expectation{Ref: ref, Index: v.ModifiedAt(ref)})
	p.needs = append(p.needs, need{verbOn(held.Kind), heldNamespaces(v, ref), ref})
	p.command.Delete = append(p.command.Delete, state.DeletePolicy(ref))
	return nil
}

// allowed refuses a plan that the caller may not carry out whole.
func (p *planned) allowed(c access.Caller) error {
	for _, n := range p.needs {
		if err := c.May(n.verb, n.namespaces); err != nil {
			return huma.Error403Forbidden(n.on.String() + ": " + err.Error())
		}
	}
	return nil
}

// knownWith is known with what the set itself brings.
func knownWith(v *state.View, kind policy.Kind, set []policy.Document) []string {
	names := known(v, kind)
	if kind == policy.KindRoleBinding {
		for _, d := range set {
			if d.Kind == policy.KindIdentityProvider {
				names = append(names, d.Name())
			}
		}
	}
	return names
}

// heldText is a document as it is held, in its canonical form; nil when there is none.
func heldText(v *state.View, ref model.Ref) (json.RawMessage, error) {
	text := v.Object(ref)
	if text == nil {
		return nil, nil
	}
	d, err := policy.ParseJSON(policy.Kind(ref.Kind), text)
	if err == nil {
		text, err = d.CanonicalJSON()
	}
	if err != nil {
		return nil, huma.Error500InternalServerError("read " + ref.String() + ": " + err.Error())
	}
	return text, nil
}

// heldDocuments are all documents of the state, by kind and name.
func heldDocuments(v *state.View) []policy.Document {
	var out []policy.Document
	for _, p := range v.FailoverList() {
		out = append(out, policy.Document{Kind: policy.KindFailoverPolicy, Policy: &p})
	}
	for _, p := range v.ExportList() {
		out = append(out, policy.Document{Kind: policy.KindExportRule, Policy: &p})
	}
	for _, p := range v.ImportList() {
		out = append(out, policy.Document{Kind: policy.KindImportRule, Policy: &p})
	}
	for _, p := range v.BindingList() {
		out = append(out, policy.Document{Kind: policy.KindRoleBinding, Policy: &p})
	}
	for _, p := range v.ProviderList() {
		out = append(out, policy.Document{Kind: policy.KindIdentityProvider, Policy: &p})
	}
	return out
}
