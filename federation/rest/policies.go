package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/state"
)

// NameInPath is the name of the object that a request is about.
type NameInPath struct {
	Name string `path:"name" minLength:"1" maxLength:"63" pattern:"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" patternDescription:"a name of lower-case letters, digits and '-'" example:"shop"`
}

// SelectorOption chooses documents by their labels.
type SelectorOption struct {
	Selector string `query:"selector" maxLength:"1024" pattern:"^((!?([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?|([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?(=|==|!=)([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?)(,(!?([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?|([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?(=|==|!=)([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?))*)?$" patternDescription:"terms such as a=b,c!=d,e,!f" doc:"Terms that must all hold for the labels: name=value, name!=value, name, !name" example:"hanse.dev/set=shop"`
}

// tagged is one object with the version that If-Match takes.
type tagged[T any] struct {
	ETag string `header:"ETag" doc:"The object's version, for If-Match"`
	Body T
}

// kind is how one kind of document is served.
type kind[S any] struct {
	// path is the list's, without /v1/; one names a document of the kind in a sentence, and id in operations.
	path, one, id string
	all           func(*state.View) []Document[S]
}

func (s *service) registerPolicies(api huma.API) {
	registerKind(s, api, kind[policy.FailoverPolicySpec]{"failover-policies", "a failover policy", "failover-policy", func(v *state.View) []FailoverPolicy {
		return mapped(v.FailoverList(), func(p policy.FailoverPolicy) FailoverPolicy { return documentOf(p.Name, p.Labels, p.Spec) })
	}})
	registerKind(s, api, kind[policy.ExportRuleSpec]{"export-rules", "an export rule", "export-rule", func(v *state.View) []ExportRule {
		return mapped(v.ExportList(), func(p policy.ExportRule) ExportRule { return documentOf(p.Name, p.Labels, p.Spec) })
	}})
	registerKind(s, api, kind[policy.ImportRuleSpec]{"import-rules", "an import rule", "import-rule", func(v *state.View) []ImportRule {
		return mapped(v.ImportList(), func(p policy.ImportRule) ImportRule { return documentOf(p.Name, p.Labels, p.Spec) })
	}})
	registerKind(s, api, kind[policy.RoleBindingSpec]{"role-bindings", "a role binding", "role-binding", func(v *state.View) []RoleBinding {
		return mapped(v.BindingList(), func(p policy.RoleBinding) RoleBinding { return documentOf(p.Name, p.Labels, p.Spec) })
	}})
	registerKind(s, api, kind[policy.IdentityProviderSpec]{"identity-providers", "an identity provider", "identity-provider", func(v *state.View) []IdentityProvider {
		return mapped(v.ProviderList(), func(p policy.IdentityProvider) IdentityProvider { return documentOf(p.Name, p.Labels, p.Spec) })
	}})
}

func documentOf[S any](name string, labels policy.Labels, spec S) Document[S] {
	return Document[S]{Kind: kindOf[S](), Name: name, Labels: labels, Spec: spec}
}

func mapped[A, B any](list []A, f func(A) B) []B {
	out := make([]B, len(list))
	for i, a := range list {
		out[i] = f(a)
	}
	return out
}

// registerKind registers the operations on one kind of document.
func registerKind[S any](s *service, api huma.API, k kind[S]) {
	const tag = "Policies"
	list, object := "/v1/"+k.path, "/v1/"+k.path+"/{name}"
	huma.Register(api, operation(tag, "list-"+k.path, http.MethodGet, list, "List "+k.path+" by name"),
		func(_ context.Context, in *struct {
			ReadOptions
			PageOptions
			SelectorOption
		}) (*struct{ Body List[Document[S]] }, error) {
			selector, err := parseSelector(in.Selector)
			if err != nil {
				return nil, err
			}
			items := keep(k.all(s.Consensus.View()), func(d Document[S]) bool { return selector.Matches(d.Labels) })
			found, err := page(items, func(d Document[S]) string { return d.Name }, in.PageOptions, k.path, in.Selector)
			return &struct{ Body List[Document[S]] }{found}, err
		})
	huma.Register(api, operation(tag, "get-"+k.id, http.MethodGet, object, "Get "+k.one),
		func(_ context.Context, in *struct {
			NameInPath
			ReadOptions
		}) (*tagged[Document[S]], error) {
			return getDocument[S](s.Consensus.View(), in.Name)
		})
	put := described(operation(tag, "put-"+k.id, http.MethodPut, object, "Write "+k.one),
		"The body is the whole document, as in a file. What it does not say is not kept. To write the same again changes nothing.")
	huma.Register(api, put, func(ctx context.Context, in *struct {
		NameInPath
		WriteOptions
		Body json.RawMessage
	}) (*writtenAnswer, error) {
		return s.putDocument(ctx, kindOf[S](), in.Name, in.Body, in.WriteOptions)
	})
	// The library would describe the body as anything.
	body := api.OpenAPI().Paths[object].Put.RequestBody.Content["application/json"]
	body.Schema = &huma.Schema{Ref: schemaPrefix + string(kindOf[S]())}
	huma.Register(api, operation(tag, "delete-"+k.id, http.MethodDelete, object, "Delete "+k.one),
		func(ctx context.Context, in *struct {
			NameInPath
			WriteOptions
		}) (*writtenAnswer, error) {
			return s.deleteDocument(ctx, model.Ref{Kind: string(kindOf[S]()), Name: in.Name}, in.WriteOptions)
		})
}

func parseSelector(text string) (policy.Selector, error) {
	selector, err := policy.ParseSelector(text)
	if err != nil {
		return selector, unprocessable(&Fault{Location: "query.selector", Message: err.Error()})
	}
	return selector, nil
}

func getDocument[S any](v *state.View, name string) (*tagged[Document[S]], error) {
	ref := model.Ref{Kind: string(kindOf[S]()), Name: name}
	text := v.Object(ref)
	if text == nil {
		return nil, missing(ref.Kind, name)
	}
	out := &tagged[Document[S]]{ETag: etag(v, ref)}
	if err := json.Unmarshal(text, &out.Body); err != nil {
		return nil, huma.Error500InternalServerError("read " + ref.String() + ": " + err.Error())
	}
	out.Body.Kind = kindOf[S]()
	return out, nil
}

func (s *service) putDocument(ctx context.Context, kind policy.Kind, name string, body []byte, options WriteOptions) (*writtenAnswer, error) {
	d, faults := s.parseDocument(documentText{at: "body", kind: kind, name: name, data: body})
	if len(faults) > 0 {
		return nil, refuseDocument(faults)
	}
	v := s.Consensus.View()
	warnings, err := d.Validate(known(v, kind))
	if err != nil {
		return nil, unprocessable(documentFault("body", err))
	}
	put, err := putOf(d)
	if err != nil {
		return nil, err
	}
	ref := model.Ref{Kind: string(kind), Name: name}
	return s.write(ctx, write{
		command: put, verb: verbOn(kind), namespaces: slices.Concat(namespacesOf(d.Spec()), heldNamespaces(v, ref)), on: ref, options: options,
	}, warnings...)
}

func putOf(d policy.Document) (state.PutPolicy, error) {
	text, err := d.CanonicalJSON()
	if err != nil {
		return state.PutPolicy{}, huma.Error422UnprocessableEntity(err.Error())
	}
	return state.PutPolicy{Kind: string(d.Kind), Name: d.Name(), JSON: text}, nil
}

func (s *service) deleteDocument(ctx context.Context, ref model.Ref, options WriteOptions) (*writtenAnswer, error) {
	v := s.Consensus.View()
	if v.Object(ref) == nil && options.IfMatch == "" {
		return nil, missing(ref.Kind, ref.Name)
	}
	return s.write(ctx, write{
		command: state.DeletePolicy(ref), verb: verbOn(policy.Kind(ref.Kind)), namespaces: heldNamespaces(v, ref), on: ref, options: options,
	})
}
