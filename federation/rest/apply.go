package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/state"
)

// Apply asks for a set of documents to be as given, all or none.
type Apply struct {
	// Documents are whole documents, with kind and name.
	Documents []json.RawMessage `json:"documents" maxItems:"1000" doc:"Whole documents, with kind and name"`
	// Prune, when not empty, is the set that the documents are: what else carries its label is deleted.
	Prune string `json:"prune,omitempty" maxLength:"63" pattern:"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$" doc:"The set that the documents are: they get its label hanse.dev/set, and what else carries it is deleted" example:"shop"`
}

// Applied says what became of each document.
type Applied struct {
	Index   uint64          `json:"index" doc:"The Raft index at which everything is as asked for"`
	DryRun  bool            `json:"dryRun,omitempty" doc:"Whether this only says what would be"`
	Results []AppliedResult `json:"results" doc:"The documents in their order, and then what was deleted"`
}

// AppliedResult is what became of one document.
type AppliedResult struct {
	Kind   policy.Kind `json:"kind"`
	Name   string      `json:"name"`
	Action string      `json:"action" enum:"created,changed,unchanged,deleted"`
	// Before and After are the whole document; absent where there is none.
	Before   json.RawMessage `json:"before,omitempty" doc:"The whole document as it was"`
	After    json.RawMessage `json:"after,omitempty" doc:"The whole document as it is now"`
	Warnings []string        `json:"warnings,omitempty" doc:"What looks wrong, but was written all the same"`
}

// What can become of a document.
const (
	ActionCreated   = "created"
	ActionChanged   = "changed"
	ActionUnchanged = "unchanged"
	ActionDeleted   = "deleted"
)

// DryRunOption is the option of writes that have no single object.
type DryRunOption struct {
	DryRun bool `query:"dryRun" doc:"Check everything and say what would be, but write nothing"`
}

func (s *service) registerApply(api huma.API) {
	const path = "/v1/apply"
	huma.Register(api, described(operation("Policies", "apply", http.MethodPost, path, "Write a set of documents, all or none"),
		"Everything is checked before anything is written, and it is written at one index. A set that is as asked for is not written again."),
		func(ctx context.Context, in *struct {
			DryRunOption
			Body Apply
		}) (*struct{ Body Applied }, error) {
			out, err := s.apply(ctx, in.Body, in.DryRun)
			return &struct{ Body Applied }{out}, err
		})
	var kinds []any
	for _, k := range policy.Kinds() {
		kinds = append(kinds, map[string]any{"$ref": schemaPrefix + string(k)})
	}
	// The library only shows extensions. Documents are held against their own schema, with better words.
	s.schemas.SchemaFromRef(schemaPrefix + "Apply").Properties["documents"].Items = &huma.Schema{Extensions: map[string]any{
		"type": huma.TypeObject, "required": []string{"kind", "name"}, "oneOf": kinds,
	}}
}

// applyTries is how often a set is looked at anew when somebody else changes it between the look and the write.
const applyTries = 4

func (s *service) apply(ctx context.Context, in Apply, dryRun bool) (Applied, error) {
	docs, faults := s.parseSet(in)
	if len(faults) > 0 {
		return Applied{}, refuseDocument(faults)
	}
	for range applyTries {
		out, err := s.applyOnce(ctx, docs, in.Prune, dryRun)
		if !changedMeanwhile(err) {
			return out, err
		}
	}
	return Applied{}, huma.Error409Conflict("others change the same documents all the time: try again")
}

func changedMeanwhile(err error) bool {
	p, ok := err.(huma.StatusError)
	return ok && p.GetStatus() == http.StatusPreconditionFailed
}

// parseSet reads all documents and finds the faults of all.
func (s *service) parseSet(in Apply) ([]policy.Document, []*Fault) {
	var docs []policy.Document
	var faults []*Fault
	seen := map[model.Ref]int{}
	for i, text := range in.Documents {
		at := fmt.Sprintf("body.documents[%d]", i)
		d, found := s.parseMember(at, in.Prune, text)
		if faults = append(faults, found...); len(found) > 0 {
			continue
		}
		ref := model.Ref{Kind: string(d.Kind), Name: d.Name()}
		if first, twice := seen[ref]; twice {
			faults = append(faults, &Fault{Location: at, Message: fmt.Sprintf("%s stands at body.documents[%d] already", ref, first), Remedy: "remove one"})
		}
		seen[ref] = i
		docs = append(docs, d)
	}
	return docs, faults
}

// parseMember reads a document that says itself what it is.
func (s *service) parseMember(at, set string, text []byte) (policy.Document, []*Fault) {
	var head struct {
		Kind *policy.Kind `json:"kind"`
		Name *string      `json:"name"`
	}
	_ = json.Unmarshal(text, &head)
	switch {
	case head.Kind == nil || !slices.Contains(policy.Kinds(), *head.Kind):
		return policy.Document{}, []*Fault{{Location: at + ".kind", Message: "is missing or not known", Remedy: "give one of " + policy.Names(policy.Kinds())}}
	case head.Name == nil:
		return policy.Document{}, []*Fault{{Location: at + ".name", Message: "is missing", Remedy: "give the document a name"}}
	}
	return s.parseDocument(documentText{at: at, kind: *head.Kind, set: set, data: text})
}

// applyOnce compares the set with what is held and writes the difference, if what is held is still the same then.
func (s *service) applyOnce(ctx context.Context, docs []policy.Document, prune string, dryRun bool) (Applied, error) {
	v := s.Consensus.View()
	plan, err := plan(v, docs, prune)
	if err != nil {
		return Applied{}, err
	}
	out := Applied{Index: v.Index, DryRun: dryRun, Results: orEmpty(plan.results)}
	if err := plan.allowed(callerOf(ctx)); err != nil {
		return Applied{}, err
	}
	if len(plan.command.Put)+len(plan.command.Delete) == 0 {
		return out, nil
	}
	r, err := s.propose(ctx, v, state.Entry{Command: plan.command, Expect: plan.expect}, dryRun)
	out.Index = r.Index
	return out, err
}
