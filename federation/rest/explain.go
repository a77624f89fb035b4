package rest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/gateway/explain"
)

type explainInput struct {
	ReadOptions
	Cluster string `query:"cluster" required:"true" minLength:"1" maxLength:"63" doc:"The callers' cluster: its agent is asked" example:"eu"`
	Proxy   string `query:"proxy" maxLength:"63" doc:"The calling workload's proxy; without it the cluster's callers in general" example:"web-1"`
	Service string `query:"service" required:"true" minLength:"3" maxLength:"127" doc:"NAMESPACE/NAME of the service that is called" example:"shop/payments"`
	Port    string `query:"port" maxLength:"63" doc:"Name or number of its port; may be left out when it has one" example:"http"`
}

func (s *service) registerExplain(api huma.API) {
	huma.Register(api, described(ofAgents(operation("Agents", "explain", http.MethodGet, "/v1/explain", "Explain why calls of a service go where they go")),
		"The facts, policies and verdicts behind the endpoints, weights and permission in force at a proxy, and what would change if."), s.explain)
}

func (s *service) explain(ctx context.Context, in *explainInput) (*struct{ Body explain.Explanation }, error) {
	namespace, name, _ := strings.Cut(in.Service, "/")
	key := model.ServiceKey{Namespace: namespace, Name: name}
	if err := key.Validate(); err != nil {
		return nil, unprocessable(&Fault{Location: "query.service", Message: err.Error(), Remedy: "give NAMESPACE/NAME"})
	}
	var out explain.Explanation
	q := explain.Question{Proxy: in.Proxy, Service: key, Port: in.Port}
	if err := s.ask(ctx, model.ClusterName(in.Cluster), model.QueryExplain, q, &out); err != nil {
		return nil, err
	}
	out.Problems = append(orEmpty(out.Problems), s.saidElsewhere(out)...)
	out.Permissions, out.Priorities = orEmpty(out.Permissions), orEmpty(out.Priorities)
	out.LeftOut, out.WhatIf = orEmpty(out.LeftOut), orEmpty(out.WhatIf)
	return &struct{ Body explain.Explanation }{out}, nil
}

// saidElsewhere is what the clusters that do not offer a service say about it: their own agents, and the nodes that judge what they publish,
// know why, while the callers' agent only knows that nothing comes.
func (s *service) saidElsewhere(e explain.Explanation) []string {
	var out []string
	for _, p := range e.Permissions {
		if p.Offered || p.Cluster == e.Cluster {
			continue
		}
		for _, text := range s.Live.Refused(p.Cluster) {
			if strings.HasPrefix(text, model.RecordKey(e.Service)+":") {
				out = append(out, fmt.Sprintf("cluster %s: its record is refused: %s", p.Cluster, text))
			}
		}
		_, status := s.siteRecords(p.Cluster)
		if status == nil {
			continue
		}
		for _, text := range status.Dropped {
			if strings.Contains(text, "service "+e.Service.String()+" ") {
				out = append(out, fmt.Sprintf("cluster %s: %s", p.Cluster, text))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
