package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/api/policy"
	"github.com/hanse-mesh/hanse/federation/access"
	"github.com/hanse-mesh/hanse/federation/state"
)

// FailoverPolicyList lists failover policies by name.
type FailoverPolicyList struct {
	Policies []policy.FailoverPolicy `json:"policies"`
}

// ExportRuleList lists export rules by name.
type ExportRuleList struct {
	Rules []policy.ExportRule `json:"rules"`
}

// Written answers a policy write.
type Written struct {
	// Index is the Raft index at which the document stands.
	Index uint64 `json:"index"`
	// Warnings are what looks wrong but was written all the same.
	Warnings []string `json:"warnings,omitempty"`
}

type namedInput struct {
	Name string `path:"name" maxLength:"63"`
}

// The name is spelled out in each: huma does not look into embedded types that are not exported.
type failoverInput struct {
	Name string `path:"name" maxLength:"63"`
	Body policy.FailoverPolicySpec
}

type exportInput struct {
	Name string `path:"name" maxLength:"63"`
	Body policy.ExportRuleSpec
}

func (s *service) registerPolicies(api huma.API) {
	huma.Get(api, "/v1/failover-policies", s.listFailover)
	huma.Put(api, "/v1/failover-policies/{name}", s.putFailover)
	huma.Delete(api, "/v1/failover-policies/{name}", s.deletePolicy(policy.KindFailoverPolicy))
	huma.Get(api, "/v1/export-rules", s.listExports)
	huma.Put(api, "/v1/export-rules/{name}", s.putExport)
	huma.Delete(api, "/v1/export-rules/{name}", s.deletePolicy(policy.KindExportRule))
	huma.Register(api, huma.Operation{
		OperationID: "get-failover-policy", Method: http.MethodGet, Path: "/v1/failover-policies/{name}",
	}, s.getFailover)
	huma.Register(api, huma.Operation{
		OperationID: "get-export-rule", Method: http.MethodGet, Path: "/v1/export-rules/{name}",
	}, s.getExport)
}

func (s *service) listFailover(context.Context, *struct{}) (*struct{ Body FailoverPolicyList }, error) {
	return &struct{ Body FailoverPolicyList }{FailoverPolicyList{s.Consensus.View().FailoverList()}}, nil
}

func (s *service) listExports(context.Context, *struct{}) (*struct{ Body ExportRuleList }, error) {
	return &struct{ Body ExportRuleList }{ExportRuleList{s.Consensus.View().ExportList()}}, nil
}

func (s *service) getFailover(_ context.Context, in *namedInput) (*struct{ Body policy.FailoverPolicy }, error) {
	p, ok := s.Consensus.View().Failover[in.Name]
	if !ok {
		return nil, huma.Error404NotFound("no FailoverPolicy " + in.Name)
	}
	return &struct{ Body policy.FailoverPolicy }{p}, nil
}

func (s *service) getExport(_ context.Context, in *namedInput) (*struct{ Body policy.ExportRule }, error) {
	r, ok := s.Consensus.View().Exports[in.Name]
	if !ok {
		return nil, huma.Error404NotFound("no ExportRule " + in.Name)
	}
	return &struct{ Body policy.ExportRule }{r}, nil
}

func (s *service) putFailover(ctx context.Context, in *failoverInput) (*struct{ Body Written }, error) {
	p := policy.FailoverPolicy{Name: in.Name, Spec: in.Body}
	warnings, err := p.Validate(knownRegions(s.Consensus.View()))
	if err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	return s.putPolicy(ctx, policy.KindFailoverPolicy, in.Name, p, warnings)
}

func (s *service) putExport(ctx context.Context, in *exportInput) (*struct{ Body Written }, error) {
	r := policy.ExportRule{Name: in.Name, Spec: in.Body}
	warnings, err := r.Validate(knownClusters(s.Consensus.View()))
	if err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	return s.putPolicy(ctx, policy.KindExportRule, in.Name, r, warnings)
}

func (s *service) putPolicy(ctx context.Context, kind policy.Kind, name string, doc any, warnings []string) (*struct{ Body Written }, error) {
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	result, err := s.do(ctx, write{
		command: state.PutPolicy{Kind: string(kind), Name: name, JSON: text}, verb: access.WritePolicy,
		on: model.Ref{Kind: string(kind), Name: name},
	})
	if err != nil {
		return nil, err
	}
	return &struct{ Body Written }{Written{Index: result.Index, Warnings: warnings}}, nil
}

func (s *service) deletePolicy(kind policy.Kind) func(context.Context, *namedInput) (*struct{}, error) {
	return func(ctx context.Context, in *namedInput) (*struct{}, error) {
		ref := model.Ref{Kind: string(kind), Name: in.Name}
		_, err := s.do(ctx, write{command: state.DeletePolicy(ref), verb: access.WritePolicy, on: ref})
		return nil, err
	}
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

func knownClusters(v *state.View) []string {
	var out []string
	for name := range v.Clusters {
		out = append(out, string(name))
	}
	slices.Sort(out)
	return out
}
