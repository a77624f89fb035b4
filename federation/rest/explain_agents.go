package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hanse-mesh/hanse/api/model"
	"github.com/hanse-mesh/hanse/federation/access"
)

// ofAgents is an operation that only a site's agent can answer.
func ofAgents(op huma.Operation) huma.Operation {
	op.Errors = append(op.Errors, http.StatusNotFound, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout)
	return op
}

type agentInput struct {
	ReadOptions
	Cluster string `path:"cluster" maxLength:"63" doc:"Whose agent is asked" example:"eu"`
}

func (s *service) registerAgents(api huma.API) {
	const tag = "Agents"
	huma.Register(api, ofAgents(operation(tag, "get-agent-gateways", http.MethodGet, "/v1/agents/{cluster}/gateways",
		"List what a site's agent finds of other clusters' gateways")),
		func(ctx context.Context, in *agentInput) (*struct {
			Body List[model.GatewayFinding]
		}, error) {
			var out List[model.GatewayFinding]
			err := s.ask(ctx, model.ClusterName(in.Cluster), model.QueryGateways, nil, &out.Items)
			out.Items = orEmpty(out.Items)
			return &struct {
				Body List[model.GatewayFinding]
			}{out}, err
		})
	huma.Register(api, ofAgents(operation(tag, "get-agent-clock", http.MethodGet, "/v1/agents/{cluster}/clock",
		"Show a site's agent: its clock, build and certificates")),
		func(ctx context.Context, in *agentInput) (*struct{ Body model.AgentClock }, error) {
			var out model.AgentClock
			err := s.ask(ctx, model.ClusterName(in.Cluster), model.QueryClock, nil, &out)
			out.Certificates = orEmpty(out.Certificates)
			return &struct{ Body model.AgentClock }{out}, err
		})
	passed := operation(tag, "pass-question-on", http.MethodGet, "/v1/agents/{cluster}/answers/{kind}", "Pass on a question of another node to an agent with a session here")
	passed.Hidden = true
	huma.Register(api, passed, s.answerNode)
	changed := operation(tag, "pass-change-on", http.MethodPost, "/v1/agents/{cluster}/answers/{kind}", "Pass on what another node asks an agent with a session here to do")
	changed.Hidden = true
	huma.Register(api, changed, s.changeForNode)
}

type passedOnInput struct {
	Cluster string `path:"cluster" maxLength:"63"`
	Kind    string `path:"kind" maxLength:"63"`
	Request string `query:"request" maxLength:"16384"`
}

// asksAsNode lets a node of this federation pass a question on, which is all that it may do in its own name.
func (s *service) asksAsNode(r *http.Request) (access.Caller, bool) {
	if !passesOn(r) || r.Header.Get("Authorization") != "" || !s.sentByNode(r) {
		return access.Caller{}, false
	}
	return access.Caller{
		Actor:  model.Actor{Name: "a node", Credential: nodeCredential, Address: r.RemoteAddr},
		Grants: []access.Grant{{Role: model.RoleViewer}},
	}, true
}

// nodeCredential is what a node shows that passes a question on. Nobody else's credential has this name.
const nodeCredential = "node certificate"

// passesOn tells requests that are answered by the node that gets them, whoever leads.
func passesOn(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodPost) && passedOnForm.MatchString(r.URL.Path)
}

var passedOnForm = regexp.MustCompile(`^/v1/agents/[^/]+/answers/[^/]+$`)

// answerNode puts a question that another node passes on to an agent with a session here. Whoever may read may ask.
func (s *service) answerNode(ctx context.Context, in *passedOnInput) (*struct{ Body passedOn }, error) {
	if model.QueryKind(in.Kind).Changes() {
		return nil, huma.Error403Forbidden("this changes something: " + in.Kind)
	}
	return s.askHere(ctx, in.Cluster, in.Kind, []byte(in.Request))
}

// changeForNode has an agent with a session here do what another node asks for. That node has found out that its caller may do it; nobody
// but a node is believed so.
func (s *service) changeForNode(ctx context.Context, in *struct {
	Cluster string `path:"cluster" maxLength:"63"`
	Kind    string `path:"kind" maxLength:"63"`
	Body    json.RawMessage
}) (*struct{ Body passedOn }, error) {
	if callerOf(ctx).Actor.Credential != nodeCredential || !model.QueryKind(in.Kind).Changes() {
		return nil, huma.Error403Forbidden("only a node of the federation may pass on what another one asks an agent to do")
	}
	return s.askHere(ctx, in.Cluster, in.Kind, in.Body)
}

func (s *service) askHere(ctx context.Context, cluster, kind string, request []byte) (*struct{ Body passedOn }, error) {
	raw, err := s.Agents.Ask(ctx, model.ClusterName(cluster), model.QueryKind(kind), request)
	var known *model.QueryError
	switch {
	case errors.As(err, &known):
		return &struct{ Body passedOn }{passedOn{Code: known.Code, Message: known.Message}}, nil
	case err != nil:
		return nil, huma.Error503ServiceUnavailable(err.Error())
	case !json.Valid(raw):
		return &struct{ Body passedOn }{passedOn{Code: model.QueryFailed, Message: "the agent's answer is not JSON"}}, nil
	}
	return &struct{ Body passedOn }{passedOn{Code: model.QueryOK, Answer: raw}}, nil
}
